"""Tests the model card: that it says what the student is, how good, and what it is not good for."""

import re
from dataclasses import replace

import pytest

from analysis.report import update_report
from analysis.snapshot import read_sweep
from kd_core.measure.predictions import SCALED
from sweeps.promotion.card import card_of, export_note
from sweeps.promotion.choice import choose_trial
from sweeps.promotion.formats import INT8, ONNX, FormatCheck
from sweeps.promotion.student import student_of
from sweeps.terminal.console import print_front
from tests.products import members_of

SIGMA = "kd_mixup resnet T=sigma seed 0"


def card(store, trial):
    """The card of a trial of the tiny sweep."""
    snapshot = read_sweep(store, "tiny")
    choice = choose_trial(snapshot, trial)
    return card_of(snapshot, choice, student_of(snapshot.sweep, choice.trial))


def row(text, name):
    """The cells of the row of a table that begins with a name."""
    return re.search(rf"^\| {re.escape(name)} \| (.*) \|$", text, re.MULTILINE)[1].split(" | ")


def test_the_card_says_what_the_student_is(tiny_store):
    text = card(tiny_store, SIGMA)
    assert text.startswith(f"# tiny: {SIGMA}\n")
    assert "A test_efficientnet that tells 10 classes of images apart, distilled from the teacher resnet." in text
    assert row(text, "arm") == ["kd_mixup resnet T=sigma"]
    assert row(text, "temperature of distillation") == ["sigma"]
    assert row(text, "teacher")[0].startswith("resnet, test_resnet, ")
    assert row(text, "data") == ["digits, 90 training, 30 validation and 719 test images of 8×8 pixels"]
    assert row(text, "training") == ["2 epochs, seed 0"]
    assert len(text) < 4000  # a registry keeps 5,000 characters


def test_the_card_says_of_a_fused_teacher_what_it_is_and_how_good(store, sweep_here):
    fused = "arms=[{method: classic}, {method: kd_mixup, teacher: both}]"
    sweep_here(store, "teachers.both={fuse: [resnet], rule: entropy}", fused)
    (told,) = row(card(store, "kd_mixup both T=2 seed 0"), "teacher")
    assert re.fullmatch(r"both, entropy of resnet, \d+\.\d\d % accurate with an ECE of 0\.\d{4}", told)
    metrics = read_sweep(store, "tiny").teachers[0].result.metrics
    assert told.endswith(f"{100 * metrics['test/accuracy']:.2f} % accurate with an ECE of {metrics['test/ece']:.4f}")


def test_the_figures_are_the_report_s_and_beside_them_those_of_the_record(tiny_store):
    text, choice = card(tiny_store, SIGMA), choose_trial(read_sweep(tiny_store, "tiny"), SIGMA)
    metrics = choice.trial.result.metrics
    names = {"ece_scaled": "ECE, as it answers", "ece": "ECE before the temperature", "nll_scaled": "NLL (nats)"}
    accuracy, interval, own = row(text, "accuracy %")
    assert accuracy == own == f"{100 * metrics['test/accuracy']:.2f}"  # of one seed
    low, high = map(float, interval.split("–"))
    assert [low, high] == [round(100 * end, 2) for end in choice.arm["accuracy_interval"]]
    assert low < float(accuracy) < high
    for figure, name in names.items():
        ends = "–".join(f"{end:.4f}" for end in choice.arm[f"{figure}_interval"])
        assert row(text, name) == [f"{choice.arm[f'{figure}_estimate']:.4f}", ends, f"{metrics[f'test/{figure}']:.4f}"]


def test_page_terminal_files_and_card_give_the_recommended_arm_the_same_figures(store, sweep_here, capsys, monkeypatch):
    """Of three seeds, so that luck of the selection is taken off."""
    sweep_here(store, "seeds=[0, 1, 2]")
    snapshot = read_sweep(store, "tiny")
    report = update_report(snapshot)
    arm = report.content[SCALED]["recommended"]
    (given,) = (row for row in report.arms if row["arm"] == arm)
    assert [given] == [row for row in report.front if row["arm"] == arm]
    figures = {name: [given[f"{name}_estimate"], *given[f"{name}_interval"]] for name in given["measured"]}
    assert figures == {name: report.content[SCALED]["without_luck"][name] for name in figures}
    assert abs(given["measured"]["accuracy"][0] - figures["accuracy"][0]) > 5e-4
    assert given["measured"]["accuracy"][0] == pytest.approx(given["accuracy"], rel=1e-12)

    choice = choose_trial(snapshot, given["label"])
    text = card_of(snapshot, choice, student_of(snapshot.sweep, choice.trial))
    page = (snapshot.sweep.report / "report.html").read_text()
    shipped = next(line for line in page.split("<tr>") if line.startswith(f"<td>{arm}</td>"))
    for name, title in (("accuracy", "accuracy %"), ("ece_scaled", "ECE, as it answers")):
        value, low, high = (f"{100 * each:.2f}" if name == "accuracy" else f"{each:.4f}" for each in figures[name])
        assert row(text, title)[:2] == [value, f"{low}–{high}"]
        assert f"{value} <small>({low}–{high})</small>" in shipped
        assert f"{value} [{low}, {high}]" in (snapshot.sweep.report / "table1.md").read_text()
    assert "and without the luck of its selection; the student's" in text
    assert ",".join(f"{each!r}" for each in figures["accuracy"]) in (snapshot.sweep.report / "front.csv").read_text()

    monkeypatch.setenv("COLUMNS", "200")
    print_front(report.arms)
    (printed,) = (each for each in capsys.readouterr().err.splitlines() if each.startswith(f"{arm} "))
    accuracy, ece = figures["accuracy"], figures["ece_scaled"]
    assert "{:.1f} ({:.1f}–{:.1f})".format(*(100 * each for each in accuracy)) in printed
    assert "{:.3f} ({:.3f}–{:.3f})".format(*ece) in printed


def test_a_student_without_a_teacher_has_none_on_its_card(tiny_store):
    text = card(tiny_store, "classic seed 0")
    assert "trained on hard labels alone" in text
    assert "| teacher |" not in text
    assert "| temperature of distillation |" not in text


def test_the_card_says_whether_its_arm_is_on_the_front(tiny_store):
    members = [row["trial"] for row in choose_trial(read_sweep(tiny_store, "tiny"), "knee").report.front]
    for trial in members_of(tiny_store.sweep("tiny"))["trials"]:
        on_front = f"is one of the {len(members)} on the front" in card(tiny_store, trial["label"])
        assert on_front == (trial["key"] in members)


def test_equal_records_give_equal_cards(tiny_store, store):
    assert card(tiny_store, SIGMA) == card(store, SIGMA)


def test_the_limits_are_told(tiny_store):
    limits = card(tiny_store, SIGMA).partition("## Limits\n")[2]
    assert "images like the test images" in limits
    assert "30 validation images" in limits


def test_the_files_of_an_export_have_their_figures():
    note = export_note([FormatCheck(ONNX, 1234, 3.21e-6, 0.5, 0.1), FormatCheck(INT8, 432, 0.04, 0.49, 0.12)])
    assert "| `student.onnx` | 1,234 | 50.00 | 0.1000 | 3.2e-06 |" in note
    assert "| `student-int8.onnx` | 432 | 49.00 | 0.1200 | 0.04, 8-bit |" in note


def test_the_card_says_where_a_prior_decided_the_temperature(tiny_store):
    snapshot = read_sweep(tiny_store, "tiny")
    choice = choose_trial(snapshot, SIGMA)
    student = student_of(snapshot.sweep, choice.trial)
    assert "so that a weak prior decided it" not in card_of(snapshot, choice, student)

    class Separable:
        """The same product, with validation labels that are all predicted."""

        def __getattr__(self, name):
            return getattr(choice.trial.product, name)

        def predictions(self, split, with_logits=False):
            predictions = choice.trial.product.predictions(split, with_logits=with_logits)
            return replace(predictions, label=predictions.prediction)

    lucky = replace(student, trial=replace(choice.trial, product=Separable()))
    text = card_of(snapshot, choice, lucky)
    assert "alone they have no best one (all right, or no better than chance), so that a weak prior decided it." in text
