import pytest

from analysis.snapshot import read_sweep
from sweeps.terminal.evaluations import print_evaluations
from tests.answers import write_answers


@pytest.fixture
def snapshot(store):
    write_answers(store, "tiny")
    return read_sweep(store, "tiny")


def test_every_model_has_a_row_with_its_telling_figures_and_failures_are_named(snapshot, capsys):
    print_evaluations(snapshot, {"asked": 20, "reused": 4, "missing": 1}, ["teacher x: no weights"], "report.html")
    said = capsys.readouterr().err
    for label in ("teacher resnet", *(each.entry.label for each in snapshot.trials)):
        assert label in said
    accuracy = snapshot.evaluations[snapshot.trials[0].key]["corruption"].metrics["corruption/accuracy"]
    assert f"{accuracy:.3f}" in said
    for text in ("agreement", "failed: teacher x: no weights", "19 of 20 evaluations finished, 4 of them before"):
        assert text in said
