"""A sweep is read once, whatever is told of it."""

import numpy as np
import pytest

from analysis.report import update_report, write_report
from analysis.snapshot import read_sweep, reader_of
from kd_core.config.errors import DamagedError
from kd_core.evaluate.latency import form_of
from tests.analysis.conftest import write_sweep
from tests.damages import damage
from tests.products import DATA, STOP, members_of, write_members


@pytest.fixture
def remote(tmp_path):
    """A sweep with a failed trial and a latency in an object store."""
    store = write_sweep(f"memory://{tmp_path.name}", unfinished=("mixup seed 1",))
    sweep, data = store.sweep("demo"), DATA.model_copy(update={"num_classes": 5}).model_dump()
    write_members(sweep, "name: demo\n", members_of(sweep) | {"data": data})
    form = form_of(store.trial("trial-0-0").state().config["student"], num_classes=5, image_size=8)
    store.keep_latency({"form": form, "device": "abacus", "ms_1": 3.0, "ms_64": 0.25, "measured_at": 1.0})
    return store


@pytest.mark.usefixtures("sketches")
def test_a_report_reads_each_file_and_lists_each_folder_once(remote, requests):
    report = write_report(read_sweep(remote, "demo"))
    known = {path: count for path, count in requests.items() if "/report" not in path}
    assert set(known.values()) == {1}
    root = remote.root.path.strip("/")
    keys = [trial for arm in report.arms for trial in arm["trials"]]
    read = [f"{root}/trials/{key}/predictions-{split}.npz" for key in keys for split in ("validation", "test")]
    assert len(keys) == 7
    assert {*read, f"{root}/teachers/teacher-resnet/predictions-test.npz", f"{root}/trials/trial-1-1"} <= known.keys()
    requests.clear()
    assert update_report(read_sweep(remote, "demo")).content == report.content  # without a prediction
    assert not [path for path in requests if path.endswith(".npz")]
    assert {count for path, count in requests.items() if "/report" not in path} == {1}


def test_what_is_known_or_has_not_begun_is_not_looked_at(remote, requests):
    sweep = remote.sweep("demo")
    entry = {"key": "later", "label": "classic seed 7", "arm": "classic", "teacher": None, "seed": 7}
    write_members(sweep, "", members_of(sweep) | {"trials": [*members_of(sweep)["trials"], entry]})
    before = read_sweep(remote, "demo")
    requests.clear()
    known = {trial.key: trial for trial in before.trials if trial.status == "finished"}
    after = read_sweep(remote, "demo", known)
    looked_at = {path.split("/trials/")[1].split("/")[0] for path in requests if "/trials/" in path}
    assert looked_at == {"trial-1-1"}
    assert [trial.status for trial in after.trials] == ["finished"] * 3 + ["failed"] + ["finished"] * 4 + ["pending"]
    assert after.trials == before.trials


def test_a_member_has_the_status_and_says_what_its_product_does(make_sweep):
    store = make_sweep()
    _, cut, flipped, failed, stopped, running, empty, _ = (
        store.trial(trial["key"]) for trial in members_of(store.sweep("demo"))["trials"]
    )
    damage(cut.path / "predictions-test.npz", "cut")
    damage(flipped.path / "manifest.json", "flipped")
    for record in (failed, stopped, running, empty):
        (record.path / "manifest.json").unlink()
    failed.fail("OSError: no", "")
    stopped.write_stop(STOP)
    with running.lease.held():
        trials = read_sweep(store, "demo").trials
        statuses = [trial.product.status for trial in trials]
    assert [trial.status for trial in trials] == statuses
    assert statuses == ["finished", "damaged", "damaged", "failed", "stopped", "running", "pending", "finished"]
    for trial in trials:
        state = trial.product.state()
        assert (trial.config, trial.result, trial.failure) == (state.config, state.result, state.failure)
        assert (trial.stop, trial.journal, trial.problem) == (state.stop, state.journal, state.problem)
    assert trials[0].result is not None
    assert [bool(trial.result) for trial in trials] == [status == "finished" for status in statuses]


def test_damaged_predictions_are_found_as_they_are_read(make_sweep):
    store = make_sweep(arms=[{"method": "classic"}], teachers=())
    whole, damaged = (store.trial(f"trial-0-{seed}") for seed in (0, 1))
    damage(damaged.path / "predictions-test.npz", "flipped")
    snapshot = read_sweep(store, "demo")
    read = reader_of(snapshot.trials, "test", with_logits=True)
    np.testing.assert_array_equal(read(whole.key).logits, whole.predictions("test", with_logits=True).logits)
    with pytest.raises(DamagedError, match=r"predictions-test\.npz: is damaged"):
        read(damaged.key)
    assert [(trial.status, bool(trial.result)) for trial in snapshot.checked().trials] == [
        ("finished", True),
        ("damaged", False),
    ]


def test_the_form_of_a_student_is_known_once_a_trial_has_finished(remote):
    snapshot = read_sweep(remote, "demo")
    finished = [trial.key for trial in snapshot.trials if trial.result]
    assert list(snapshot.forms) == finished
    form = snapshot.forms[finished[0]]
    assert (form["student"]["model"], form["num_classes"], form["image_size"]) == ("tiny", 5, 8)
    assert snapshot.latencies.keys() == set(finished)
