"""`kdsweep confirm`: fresh seeds of what a sweep has selected; killed and resumed; nothing else is trained."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from analysis.report import update_report
from analysis.runs import runs_of
from analysis.snapshot import read_sweep
from kd_core.config.errors import SpecError
from kd_core.store.records import Store
from sweeps.commands.confirm import confirmed
from sweeps.plan.confirmation import confirmation_of
from tests.products import members_of

GRID = ("teachers={}", "arms=[{method: [classic, mixup]}]", "seeds=[0, 1]")


def fresh_runs(store):
    """The runs of the tiny sweep on fresh seeds."""
    runs = runs_of(read_sweep(store, "tiny"))
    return runs.loc[runs["role"] == "confirmation"]


@pytest.fixture(scope="session")
def selected(sweep_here, once):
    """A finished sweep of two arms by two seeds; only to be read."""
    return Store.at(once("selected", lambda folder: sweep_here(Store.at(folder), *GRID)))


@pytest.fixture
def selected_here(selected, tmp_path):
    """A copy of it."""
    shutil.copytree(selected.local, tmp_path / "runs")
    return Store.at(tmp_path / "runs")


@pytest.mark.system
def test_the_plausible_arms_and_the_baseline_get_fresh_seeds_and_are_reported_from_them(selected_here, train_here):
    store = selected_here
    content = update_report(read_sweep(store, "tiny")).content
    spec = confirmed(store, "tiny", 2)
    chosen = {row["arm"] for row in content["arms"] if row["plausible"]} | {content["baseline"]}
    assert set(confirmation_of(store, "tiny").arms) == chosen
    train_here(spec, store)
    assert set(fresh_runs(store)["arm"]) == chosen
    assert set(fresh_runs(store)["seed"]) == {2, 3}
    after = update_report(read_sweep(store, "tiny")).content
    runs = runs_of(read_sweep(store, "tiny"))
    for row, earlier in zip(after["arms"], content["arms"], strict=True):
        assert row["validation"] == earlier["validation"]  # selection is as it was
        of_test = runs.loc[(runs["arm"] == row["arm"]) & runs["seed"].isin([2, 3] if row["arm"] in chosen else [0, 1])]
        assert row["accuracy"] == pytest.approx(of_test["test/accuracy"].mean())
    assert "seeds 2, 3 alone, trained after the selection" in after["answer"][-1]
    assert "2 fresh</td>" in (store.sweep("tiny").report / "report.html").read_text()
    assert confirmed(store, "tiny", 2) == spec
    assert set(confirmation_of(store, "tiny").arms) == chosen


def test_a_sweep_that_is_not_finished_or_not_there_has_nothing_to_confirm(selected_here, kdsweep):
    record = selected_here.trial(members_of(selected_here.sweep("tiny"))["trials"][0]["key"])
    (record.path / "manifest.json").unlink()
    done = kdsweep("confirm", "tiny", "--storage", selected_here.root)
    assert done.exit_code == 2
    assert "1 of its trials are still to run" in done.stderr
    with pytest.raises(SpecError, match="still to run"):
        confirmed(selected_here, "tiny", 3)
    assert kdsweep("confirm", "nobody", "--storage", selected_here.root).exit_code == 2
    assert confirmation_of(selected_here, "tiny") is None


def test_killed_it_goes_on_and_run_again_it_trains_nothing(selected_here, ray_cluster, kdsweep, wait_until):
    store = selected_here
    arguments = ["confirm", "tiny", "--seeds=2", f"--storage={store.root}", "--json"]
    command = [sys.executable, "-m", "sweeps", *arguments, f"--address={ray_cluster}"]
    before = len(list(store.local.glob("trials/*/manifest.json")))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as driver:
        wait_until(lambda: len(list(store.local.glob("trials/*/manifest.json"))) > before, driver)
        os.killpg(driver.pid, signal.SIGKILL)
    known = confirmation_of(store, "tiny")
    fresh = store.states(map(store.trial, fresh_runs(store)["trial"]))
    kept = {state.key: state.manifest for state in fresh if state.manifest}
    done = kdsweep(*arguments)
    assert done.exit_code == 0, done.stderr
    assert confirmation_of(store, "tiny") == known
    assert fresh_runs(store)["status"].eq("finished").all()
    assert all(store.trial(key).state().manifest == manifest for key, manifest in kept.items())
    counts = json.loads(done.stdout)["trials"]
    assert (counts["finished"], counts["failed"]) == (4 + len(fresh_runs(store)), 0)
    again = kdsweep(*arguments)
    assert "are up to date" in again.stderr
    assert json.loads(again.stdout)["trials"]["reused"] == counts["finished"]
