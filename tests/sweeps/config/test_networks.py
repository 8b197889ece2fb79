"""Networks that timm cannot build: one readable sentence each, before anything runs."""

import pytest

from kd_core.config.errors import SpecError
from sweeps.config.networks import check_networks
from sweeps.config.reader import read_spec, shipped_specs

MISTAKES = {
    "student.model=resnt18": "student.model: resnt18: timm has no such model; did you mean resnet18?",
    "teachers.resnet.model=tets_resnet": "teachers.resnet.model: tets_resnet: timm has no such model",
    "arms.0.student={model: nonet}": 'arm classic student={"model":"nonet"}: student.model: nonet: timm has no',
    "teachers.resnet={model: test_vit, stem_stride: 1, pretrained: true}": "stem_stride: 1: test_vit cuts the image",
    "teachers.resnet={model: resnetv2_152, pretrained: true}": "timm has no weights for resnetv2_152",
    "student={model: test_vit, image_size: 30}": "student.image_size: 30: test_vit cannot work at this size",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_is_one_sentence_that_names_key_value_and_remedy(kdsweep, tiny, tmp_path, override):
    """On the command line: no other output, no files, and exit code 2."""
    done = kdsweep("plan", tiny, "--storage", tmp_path / "runs", "--set", override)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"kdsweep: {tiny}: ")
    assert MISTAKES[override] in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_says_the_same_and_leaves_no_trace(kdsweep, tiny, tmp_path):
    given = "--storage", tmp_path / "runs", "--set", "student.model=resnt18"
    planned, run = kdsweep("plan", tiny, *given), kdsweep("run", tiny, *given)
    assert (run.exit_code, run.stdout, run.stderr) == (planned.exit_code, planned.stdout, planned.stderr)
    assert run.stderr == (f"kdsweep: {tiny}: student.model: resnt18: timm has no such model; did you mean resnet18?\n")
    assert not (tmp_path / "runs").exists()


def test_a_teacher_as_timm_has_it_must_know_the_classes_of_the_data(tiny):
    spec = read_spec(str(tiny), ["teachers.resnet={model: resnet18, pretrained: true}"])
    check_networks(spec, num_classes=1000)
    with pytest.raises(SpecError, match=r"teachers\.resnet\.finetune: missing, .* 1000 classes .* has 10"):
        check_networks(spec, num_classes=10)


def test_a_teacher_that_names_its_classes_must_know_those_of_the_data(tiny, tmp_path):
    classes = tmp_path / "classes.txt"
    edits = [f"teachers.resnet={{model: resnet18, pretrained: true, classes: {classes}}}"]
    classes.write_text("\n".join(map(str, range(1000))))
    check_networks(read_spec(str(tiny), edits), num_classes=10)
    classes.write_text("\n".join(map(str, range(1, 1001))))
    with pytest.raises(SpecError, match=r"teachers\.resnet\.classes: .*: the data's class 0 is not among its 1000"):
        check_networks(read_spec(str(tiny), edits), num_classes=10)


@pytest.mark.parametrize("name", shipped_specs())
def test_the_networks_of_every_shipped_spec_can_be_built(name, overrides_of):
    check_networks(read_spec(name, overrides_of(name)), num_classes=1000)
