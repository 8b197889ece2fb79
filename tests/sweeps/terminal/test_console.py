"""What a plan looks like on a terminal."""

import pytest

from kd_core.data.splits import summarize
from kd_core.store.records import Store
from sweeps.plan.cost import cost_of
from sweeps.plan.plan import plan_sweep
from sweeps.spec.reader import read_spec
from sweeps.terminal.console import print_plan


@pytest.fixture
def shown(tiny, tmp_path, capsys, monkeypatch):
    """Returns what `plan` prints for the tiny spec with overrides."""
    monkeypatch.setenv("COLUMNS", "160")

    def show(*overrides, gains=None):
        spec = read_spec(str(tiny), overrides)
        plan = plan_sweep(spec, Store.at(tmp_path), summarize(spec.data))
        print_plan(plan, cost_of(plan), gains or {})
        return capsys.readouterr().err

    return show


def test_a_plan_shows_for_each_signal_who_shares_it_what_is_missing_and_what_it_saves(shown):
    (row,) = (line.split() for line in shown().splitlines() if line.startswith("resnet uniform"))
    assert row == ["resnet", "uniform", "stored", "2", "trials", "0/2", "2", "3.52", "KiB", "50%"]
    (row,) = (line.split() for line in shown("signal=live").splitlines() if line.startswith("resnet uniform"))
    assert row == ["resnet", "uniform", "live", "2", "trials", "0/2", "0%"]


def test_the_cost_tells_what_it_would_be_if_every_trial_asked_its_teacher(shown):
    assert "in 2 passes over the training images" in shown()
    assert "with the teacher in every trial" in shown()
    assert "times as much" not in shown("signal=live")


def test_a_sweep_without_teachers_shows_none(shown):
    text = shown("arms=[{method: classic}]")
    assert "classic seed 0" in text
    assert "signal" not in text
    assert "teacher  " not in text


def test_a_plan_says_where_bfloat16_would_pay(shown):
    assert "bfloat16" not in shown()
    sentence = "resnet would label 2.1 times faster with --set teachers.resnet.precision=bfloat16"
    assert sentence in shown(gains={"resnet": 2.14})
