"""What a plan and an outcome look like on a terminal."""

import pytest

from analysis.report import Report
from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.cost import cost_of
from sweeps.plan.plan import plan_sweep
from sweeps.terminal.console import print_failures, print_front, print_outcome, print_plan, print_status


@pytest.fixture
def shown(tiny, tmp_path, capsys, monkeypatch):
    """Returns what `plan` prints for the tiny spec with overrides."""
    monkeypatch.setenv("COLUMNS", "160")

    def show(*overrides, gains=None, **counts):
        spec = read_spec(str(tiny), overrides)
        plan = plan_sweep(spec, Store.at(tmp_path), summarize(spec.data).model_copy(update=counts))
        print_plan(plan, cost_of(plan), gains or {})
        return capsys.readouterr().err

    return show


def test_a_plan_shows_for_each_signal_who_shares_it_what_is_missing_and_what_it_saves(shown):
    (row,) = (line.split() for line in shown().splitlines() if line.startswith("resnet uniform"))
    assert row == ["resnet", "uniform", "stored", "2", "trials", "0/2", "2", "3.52", "KiB", "50%"]
    (row,) = (line.split() for line in shown("signal=live").splitlines() if line.startswith("resnet uniform"))
    assert row == ["resnet", "uniform", "live", "2", "trials", "0/2", "0%"]


def test_a_plan_begins_with_the_numbers_of_images(shown):
    assert shown().startswith("tiny: 90 training, 30 validation and 719 test images of 10 classes at 8 px\n")
    assert shown(num_unlabelled=45).startswith("tiny: 90 training and 45 unlabelled, 30 validation and 719 test images")


def test_a_plan_tells_scouts_from_followers_where_trials_are_stopped_early(shown):
    text = shown("teachers={}", "arms=[{method: classic}]", "seeds=[0, 1]", "early_stopping.pareto_asha.grace_epochs=1")
    assert ["classic", "seed", "0", "scout", "pending", "2"] in [line.split() for line in text.splitlines()]
    assert ["classic", "seed", "1", "follower", "pending", "2"] in [line.split() for line in text.splitlines()]


def test_the_cost_tells_what_it_would_be_if_every_trial_asked_its_teacher(shown):
    assert "in 2 passes over the training images" in shown()
    assert "with the teacher in every trial" in shown()
    assert "times as much" not in shown("signal=live")


def test_a_sweep_without_teachers_shows_none(shown):
    text = shown("arms=[{method: classic}]")
    assert "classic seed 0" in text
    assert "signal" not in text
    assert "teacher  " not in text


def test_a_plan_lists_a_fused_teacher_after_its_members(shown):
    arms = "arms=[{method: kd_mixup, teacher: both}]"
    rows = [line.split() for line in shown("teachers.both={fuse: [resnet], rule: entropy}", arms).splitlines()]
    place = rows.index(["resnet", "test_resnet", "pending", "1", "2"])
    assert rows[place + 1] == ["both", "entropy", "of", "resnet", "pending", "1"]


def test_a_plan_says_where_bfloat16_would_pay(shown):
    assert "bfloat16" not in shown()
    sentence = "resnet would label 2.1 times faster with --set teachers.resnet.precision=bfloat16"
    assert sentence in shown(gains={"resnet": 2.14})


def test_a_plan_says_that_a_given_teacher_may_know_the_validation_images(shown, tmp_path):
    (tmp_path / "resnet.safetensors").write_bytes(b"weights")
    said = "note: the checkpoint of the teacher resnet may have been trained on images that are validation or test here"
    assert said not in shown()
    assert said in shown(f"teachers.resnet.checkpoint={tmp_path / 'resnet.safetensors'}")


def row(arm, **values):
    """The row of an arm in a report."""
    figures = {"accuracy": 0.45296, "ece": 0.0181, "ece_scaled": 0.0203, "ece_scaled_estimate": 0.0163}
    intervals = {"accuracy_interval": [0.4435, 0.4625], "ece_scaled_interval": [0.0121, 0.0204]}
    judged = {"front_probability": 0.3, "plausible": True, "on_front": False}
    return {"arm": arm, "ece_estimate": None} | figures | intervals | judged | values


ARMS = [
    row("mixup", plausible=False, front_probability=0.001),
    row("kd resnet T=2"),
    row("kd_mixup resnet T=sigma", front_probability=0.934, on_front=True),
]


@pytest.fixture
def printed(capsys, monkeypatch):
    """Returns what a function prints on a terminal of 80 columns, as lines."""
    monkeypatch.setenv("COLUMNS", "80")

    def lines(print_it, *arguments):
        print_it(*arguments)
        return [line.rstrip() for line in capsys.readouterr().err.splitlines()]

    return lines


def test_a_front_is_the_plausible_arms_in_80_columns_the_most_probable_first(printed):
    first, rest, second = printed(print_front, ARMS)[2:]
    figures = ["45.3", "(44.4–46.2)", "0.016", "(0.012–0.020)", "0.018", "93%"]
    assert [*first.split(), *rest.split()] == ["kd_mixup", "resnet", *figures, "T=sigma"]
    assert second.split()[:3] == ["kd", "resnet", "T=2"]
    assert max(len(first), len(second)) <= 80


def test_where_plausibility_is_not_known_the_front_of_the_sample_is_shown(printed):
    unknown = [row | {"plausible": None, "front_probability": None, "accuracy_interval": None} for row in ARMS]
    (line,) = printed(print_front, unknown)[2:]
    assert line.split()[:4] == ["kd_mixup", "resnet", "T=sigma", "45.3"]
    assert line.count("–") == 1  # of ECE
    assert "%" not in line


def test_a_long_arm_is_wrapped_and_its_figures_are_not(printed):
    lines = printed(
        print_front, [row(f"kd_mixup resnet T=2 alpha=0.2 train.learning_rate=0.0{number}") for number in (1, 2)]
    )
    assert sum("45.3 (44.4–46.2)  0.016 (0.012–0.020)" in line for line in lines) == 2
    assert max(map(len, lines)) <= 80


def test_an_outcome_tells_the_front_the_answer_the_first_advice_the_counts_and_the_report(printed, tmp_path):
    content = {"arms": ARMS, "answer": ["Take kd."], "advice": ["2,400 more images would tell.", "So would 9 seeds."]}
    report = Report(Store.at(tmp_path).root / "report.html", content)
    lines = printed(print_outcome, report, {"finished": 3, "failed": 0}, "kdsweep ui")
    assert lines[-5:] == [
        "Take kd.",
        "2,400 more images would tell.",
        "3 finished, 0 failed",
        f"report: {tmp_path}/report.html",
        "runs:   kdsweep ui",
    ]


def test_of_a_search_the_keys_that_matter_are_told_in_a_line(printed, tmp_path):
    said = ["For accuracy, what matters is alpha.", "For ECE, no key visibly matters."]
    report = Report(Store.at(tmp_path).root / "report.html", {"arms": ARMS, "answer": [], "advice": [], "keys": said})
    assert " ".join(said) in printed(print_outcome, report, {"finished": 3}, None, True)
    assert " ".join(said) not in printed(print_outcome, report, {"finished": 3}, None)


def test_in_a_status_a_long_label_and_an_error_are_wrapped_and_a_key_is_not(printed):
    product = {"status": "failed", "key": "0123456789abcdef", "epoch": 3, "epochs": 500}
    label = "kd_mixup teacher T=sigma train.learning_rate=0.001 train.batch_size=128 seed 0"
    lines = printed(print_status, [product | {"label": label, "error": "NonFiniteLossError: the loss is nan [/bold]"}])
    assert "failed  3/500  0123456789abcdef" in lines[1]
    assert max(map(len, lines)) <= 80
    assert "[/bold]" in " ".join(lines)


def test_a_log_has_a_long_label_on_one_line(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    arm = "kd_mixup resnet T=2 alpha=0.25 student.model=mobilenetv2_140 seed 0"
    print_front([row(arm, on_front=True)])
    assert arm in capsys.readouterr().err


def test_failures_are_a_table_of_labels_and_reasons_as_they_are(capsys):
    print_failures([("kd [bold] seed 0", "ValueError: [red] is no number"), ("teacher resnet", "out of memory")])
    lines = [line.rstrip() for line in capsys.readouterr().err.splitlines()]
    assert [line.split() for line in lines[:1]] == [["failed", "reason"]]
    assert lines[1].endswith("ValueError: [red] is no number")
    assert lines[1].startswith("kd [bold] seed 0  ")
    assert lines[2].split("  ")[0] == "teacher resnet"
