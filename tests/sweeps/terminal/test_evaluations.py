import pytest

from analysis.evaluations import evaluated_of
from analysis.snapshot import read_sweep
from analysis.text.trust import trust_table
from sweeps.terminal.evaluations import print_evaluations
from tests.answers import write_answers


@pytest.fixture
def snapshot(store):
    write_answers(store, "tiny")
    return read_sweep(store, "tiny")


def test_every_arm_has_a_row_with_its_telling_figures_and_failures_are_named(snapshot, capsys):
    counts = {"asked": 20, "reused": 4, "missing": 1}
    print_evaluations(snapshot, counts, ["It can be trusted."], ["teacher x: no weights"], "report.html")
    said = capsys.readouterr().err
    lines = [" ".join(line.split()) for line in said.splitlines()]
    for row in trust_table(evaluated_of(snapshot)).rows:
        assert " ".join(cell for cell in row if cell) in lines
    for text in ("agreement", "auroc", "It can be trusted.", "failed: teacher x: no weights"):
        assert text in said
    assert "19 of 20 evaluations finished, 4 of them before" in lines
