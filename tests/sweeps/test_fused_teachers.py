"""A real sweep with two teachers and their fusion: it finishes, shares what is stored, and repeats nothing."""

import json
import shutil

import pytest
from safetensors.numpy import load

from analysis.report import update_report
from analysis.snapshot import read_sweep
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.upkeep import problems_of
from sweeps.terminal.status import status_of
from tests.products import finish

TEACHERS = (
    "teachers.vit={model: test_vit, image_size: 16, finetune: {epochs: 1, batch_size: 32}}",
    "teachers.both={fuse: [resnet, vit], rule: confidence}",
    "teachers.alone={fuse: [resnet], rule: entropy}",
)
ARMS = (
    "arms=[{method: kd_mixup, teacher: [resnet, vit, both, alone], temperature: 2}, "
    "{method: kd_mixup, teacher: both, temperature: sigma}]"
)


@pytest.fixture(scope="module")
def swept(sweep, tmp_path_factory):
    """The store of the sweep, and its outcome and log."""
    store = Store.at(tmp_path_factory.mktemp("fused") / "runs")
    return store, *sweep(store, *TEACHERS, ARMS)


def weights_of(store: Store) -> dict[str, dict]:
    """The tensors of every student, by its label."""
    entries = store.sweep("tiny").index().trials
    return {entry.label: load(store.trial(entry.key).weights.read_bytes()) for entry in entries}


def test_every_trial_finishes_and_the_members_signals_are_shared(swept):
    store, outcome, log = swept
    assert outcome.counts == {"finished": 5, "stopped": 0, "failed": 0, "reused": 0}
    index = store.sweep("tiny").index()
    assert {signal.label: signal.epochs for signal in index.signals} == {"resnet uniform": 2, "vit uniform": 2}
    assert len({trial.signal for trial in index.trials if trial.teacher != "vit"}) == 1
    assert log.count("labelling 2 epochs") == 2


def test_the_fusion_of_one_teacher_trains_the_student_of_that_teacher(swept):
    students = weights_of(swept[0])
    alone, fused, both = (students[f"kd_mixup {name} T=2 seed 0"] for name in ("resnet", "alone", "both"))
    assert alone.keys() == fused.keys()
    assert all((alone[name] == fused[name]).all() for name in alone)
    assert any((alone[name] != both[name]).any() for name in alone)


def test_the_report_and_the_status_have_a_row_for_the_fused_teacher(swept):
    store, outcome, _ = swept
    page = outcome.report.path.read_text()
    assert "confidence of resnet, vit" in page
    rows = {row["label"]: row["status"] for row in status_of(read_sweep(store, "tiny"))["teachers"]}
    names = ("resnet", "vit", "both", "alone")
    assert rows == {f"teacher {name}": "finished" for name in names}
    assert json.dumps(outcome.as_json())


def test_nothing_of_it_is_stale_until_a_member_has_other_weights(swept, tmp_path):
    store = Store.at(shutil.copytree(swept[0].local, tmp_path / "runs", ignore=shutil.ignore_patterns("mlflow*")))
    assert list(problems_of(store, "tiny")) == []
    vit = store.sweep("tiny").index().teachers[1]
    finish(store.teacher(vit.key))
    stale = [problem for problem in problems_of(store, "tiny") if "other weights" in problem]
    assert [problem.split("its teacher, ")[1].split(",")[0] for problem in stale] == ["vit", "both", "both"]


def test_running_again_does_nothing(swept, sweep):
    store, *_ = swept
    before = {path: path.stat().st_mtime_ns for path in store.local.glob("*/*/*") if path.is_file()}
    again, log = sweep(store, *TEACHERS, ARMS)
    assert again.counts == {"finished": 5, "stopped": 0, "failed": 0, "reused": 5}
    assert "up to date" in log
    changed = [path for path, time in before.items() if path.stat().st_mtime_ns != time]
    assert not [path for path in changed if path.parts[-3] in ("teachers", "signals", "trials")]
    assert update_report(read_sweep(store, "tiny")).content == again.report.content


def test_live_teachers_train_the_same_students_bit_for_bit(swept, train_here, tiny, tmp_path):
    live = Store.at(tmp_path)
    train_here(read_spec(str(tiny), [*TEACHERS, ARMS, "signal=live"]), live)
    here, there = weights_of(live), weights_of(swept[0])
    assert here.keys() == there.keys()
    assert all((here[label][name] == there[label][name]).all() for label in here for name in here[label])
