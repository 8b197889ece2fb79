"""The note asks, answers, counts, and shows every name as it is."""

import pytest

from kd_core.store.index import Index, TrialEntry
from sweeps.tracking.note import note_of, plain

INDEX = Index(
    sweep="s",
    objectives={"validation/accuracy": "max", "validation/ece": "min"},
    trials=tuple(
        TrialEntry(key=f"{arm}{seed}", label=f"{arm} seed {seed}", arm=arm, teacher=None, seed=seed)
        for arm in ("classic", "kd_mixup")
        for seed in (0, 1)
    ),
)
ROW = {"arm": "kd_mixup T=2", "accuracy": 0.5, "ece": 0.02, "num_seeds": 2, "front_probability": 0.75}


def test_a_note_tells_question_answer_front_counts_hours_failures_and_the_report():
    content = {"answer": ["Take kd_mixup."], "temperature_scaled": {"front": [ROW | {"accuracy_interval": [0.4, 0.6]}]}}
    note = note_of(INDEX, ["finished"] * 3 + ["failed"], 1.5, [("kd seed 1", "Error: no")], content)
    assert note.startswith("**Which of 2 arms is the best choice for high accuracy and low ECE?**")
    for part in ("Take kd\\_mixup.", "1 failed, 3 finished", "1.5 hours", "- kd seed 1: Error: no", "report.html"):
        assert part in note
    rows = [[cell.strip() for cell in line.split("|")] for line in note.replace("&ensp;", "").splitlines()]
    assert ["", "kd\\_mixup T=2", "50.00 (40.00–60.00)", "0.0200", "", "75 %", "2", ""] in rows


def test_a_note_before_the_first_report_promises_none():
    note = note_of(INDEX, ["pending"] * 4, 0, [], {})
    assert "4 pending" in note
    assert "report.html" not in note


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ("[a](http://b) | *c*", "\\[a\\]\\(http://b\\) \\| \\*c\\*"),
        ("a\nb\x1b[31m", "a b \\[31m"),
        ("`rm` & ~x~", "\\`rm\\` &amp; \\~x\\~"),
    ],
)
def test_text_is_never_markup(text, safe):
    assert plain(text) == safe


def test_a_note_fits_into_a_tag_however_much_there_is_to_tell():
    rows = [ROW | {"arm": "x" * 500} for _ in range(100)]
    failures = [("y" * 500, "*" * 500)] * 100
    note = note_of(INDEX, ["failed"] * 100, 1, failures, {"temperature_scaled": {"front": rows}})
    assert len(note) <= 8000
    assert "and 85 more on the front" in note
