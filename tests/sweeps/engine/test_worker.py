"""The Tune trainable: one actor runs one step after another, even if some fail."""

import os
import subprocess
import sys

import pytest
import ray
import torch

from kd_core.config.identity import digest, signal_identity
from kd_core.config.networks import FusedTeacherConfig
from kd_core.config.trial import TrialConfig, finetuning_trial
from kd_core.data.dataset import load
from kd_core.store.manifest import made_from_weights
from kd_core.store.records import Store
from kd_core.training.trial import run_trial
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.worker import StepTrainable, device_of, measure_trial, task_of

MIB = 2**20


@pytest.fixture
def setting(tiny, tmp_path):
    """A store with a finished teacher, a data set, and the Tune config of each trial by its method."""
    spec, store = read_spec(str(tiny)), Store.at(tmp_path / "runs")
    dataset = load(spec.data)
    teacher = store.teacher("teacher")
    list(run_trial(finetuning_trial(spec.single_teachers["resnet"], spec.data, spec.view), dataset, teacher))
    return store, dataset, {trial.config.method: trial.config for trial in trials_of(spec)}


RESOURCES = {"cpu": 1, "gpu": 0, "workers": 0, "threads": 1}


def tune_config(key: str, config: TrialConfig, teacher_key: str | None = None):
    """The config that Tune passes to a trainable for a trial with a live signal."""
    made_from = {"teacher": "0" * 64} if teacher_key else {}
    teachers = [{"key": teacher_key, "signal": None, "made_from": made_from}] if teacher_key else []
    step = {"kind": "trial", "key": key, "config": config.model_dump(mode="json"), "teachers": teachers}
    return {"step": step | {"identity": {}, "made_from": made_from, "rungs": (), "resources": RESOURCES}}


def start(store, dataset, config, retries=0):
    """A trainable that is set up without Ray."""
    trainable = StepTrainable.__new__(StepTrainable)
    trainable.setup(config, dataset=dataset, storage=str(store.root), retries=retries)
    return trainable


def run_out(trainable):
    """All reports of a trainable until it is done."""
    reports = []
    while not (reports and reports[-1]["done"]):
        reports.append(trainable.step())
    return reports


def test_a_trial_reports_each_epoch_and_then_that_it_is_done(setting):
    store, dataset, configs = setting
    reports = run_out(start(store, dataset, tune_config("one", configs["classic"])))
    assert [report.get("epoch") for report in reports] == [1, 2, None]
    assert reports[-1]["status"] == "ended"
    assert store.trial("one").status == "finished"


def test_an_actor_outlives_a_failed_trial_and_takes_the_next(setting):
    store, dataset, configs = setting
    broken = configs["classic"].model_copy(
        update={"train": configs["classic"].train.model_copy(update={"learning_rate": 1e30})}
    )
    trainable = start(store, dataset, tune_config("broken", broken))
    assert run_out(trainable)[-1]["status"] == "failed"
    assert store.trial("broken").status == "failed"
    assert trainable.reset_config(tune_config("next", configs["kd_mixup"], "teacher"))
    assert run_out(trainable)[-1]["status"] == "ended"


def test_a_trial_with_an_error_is_tried_again_so_many_times(setting):
    store, dataset, configs = setting
    trainable = start(store, dataset, tune_config("orphan", configs["kd_mixup"], "nobody"), retries=2)
    assert [report["status"] for report in run_out(trainable)] == ["again", "again", "failed"]
    trainable.reset_config(tune_config("next", configs["classic"]))
    assert run_out(trainable)[-1]["status"] == "ended"


def test_a_teacher_stays_loaded_from_trial_to_trial(setting):
    store, dataset, configs = setting
    trainable = start(store, dataset, tune_config("one", configs["kd_mixup"], "teacher"))
    run_out(trainable)
    loaded = trainable.teachers["teacher", "float32"]
    trainable.reset_config(tune_config("two", configs["kd_mixup"], "teacher"))
    run_out(trainable)
    assert trainable.teachers == {("teacher", "float32"): loaded}


def test_the_members_of_a_fused_teacher_stay_loaded_together_and_no_longer_than_needed(setting):
    store, dataset, configs = setting
    one, config = configs["kd_mixup"].teacher, configs["kd_mixup"]
    other = one.model_copy(update={"precision": "bfloat16"})
    fused = FusedTeacherConfig(fuse=(one, other))
    given = tune_config("fused", config.model_copy(update={"teacher": fused}), "teacher")
    given["step"]["teachers"] *= 2
    trainable = start(store, dataset, given)
    assert run_out(trainable)[-1]["status"] == "ended"
    assert trainable.teachers.keys() == {("teacher", "float32"), ("teacher", "bfloat16")}
    loaded = trainable.teachers["teacher", "float32"]
    trainable.reset_config(tune_config("alone", config, "teacher"))
    run_out(trainable)
    assert trainable.teachers["teacher", "float32"] is loaded


def test_a_missing_teacher_is_written_to_the_trial_that_needs_it(setting):
    store, dataset, configs = setting
    trainable = start(store, dataset, tune_config("orphan", configs["kd_mixup"], "nobody"))
    (report,) = run_out(trainable)
    assert (report["done"], report["status"]) == (True, "failed")
    assert report["error"] == store.trial("orphan").state().failure.error
    assert "holds no finished teacher" in store.trial("orphan").state().failure.error


def test_the_same_actor_fine_tunes_a_teacher_labels_its_signal_and_trains_on_the_labels(setting):
    store, dataset, configs = setting
    config = configs["kd_mixup"]
    recipe = finetuning_trial(config.teacher, config.data, config.view).model_dump(mode="json")
    step = {"kind": "teacher", "key": "new", "config": recipe, "teachers": [], "resources": RESOURCES}
    trainable = start(store, dataset, {"step": step | {"identity": {}, "made_from": None, "rungs": ()}})
    assert [report.get("epoch") for report in run_out(trainable)] == [1, 2, None]
    made_from = made_from_weights([store.teacher("new").state().manifest.weights_sha256])
    identity = signal_identity(config, dataset.fingerprint, "new")
    record = store.signal(digest(identity))
    record.begin(identity | {"made_from": made_from})
    step = {"kind": "signal", "key": record.key, "config": config.model_dump(mode="json"), "teachers": [{"key": "new"}]}
    trainable.reset_config({"step": step | {"epochs": (2, 1), "resources": RESOURCES}})
    assert [report.get("labelled") for report in run_out(trainable)] == [2, 1, None]
    stored = tune_config("stored", config, "new")
    stored["step"]["teachers"][0] |= {"signal": identity, "made_from": made_from}
    for given in (stored, tune_config("live", config, "new")):
        trainable.reset_config(given)
        assert run_out(trainable)[-1]["status"] == "ended"
    assert store.trial("stored").weights.read_bytes() == store.trial("live").weights.read_bytes()


@pytest.mark.usefixtures("ray_cluster")
def test_what_a_trial_takes_is_measured_before_it_begins(setting):
    store, dataset, configs = setting
    small, resources = configs["kd_mixup"], ResourcesConfig()
    large = small.model_copy(update={"student": small.student.model_copy(update={"image_size": 128})})
    task = task_of(measure_trial, resources)
    one, other = (
        ray.get(task.remote(config, [stored], dataset, RESOURCES)) for config, stored in ((small, True), (large, False))
    )
    assert (one.gpu_bytes, one.gpu_total_bytes) == (0, 0)
    assert 100 * MIB < one.host_bytes < other.host_bytes - 100 * MIB
    assert not list(store.local.glob("trials/*"))


def test_a_worker_without_a_gpu_trains_on_the_cpu_with_the_threads_it_is_given():
    before = torch.get_num_threads()
    assert device_of({"cpu": 1, "gpu": 0, "threads": 2}) == "cpu"
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.system
def test_the_threads_of_a_worker_wait_for_work_without_spinning():
    """Beside another busy process, threads that spin make every step many times slower."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", "import sweeps.engine.worker"]
    environment |= {"OMP_DISPLAY_ENV": "true"}  # OpenMP prints what it goes by when torch loads it
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
