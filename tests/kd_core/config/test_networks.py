import pytest
from pydantic import ValidationError

from kd_core.config.networks import FusedTeacherConfig, NetworkConfig, TeacherConfig
from kd_core.config.trial import TrialConfig


def test_an_architecture_is_all_of_a_network_but_the_origin_of_its_weights(config_of):
    network = config_of(**{"student.pretrained": True}).student
    weights = {"pretrained", "checkpoint", "classes"}
    assert network.architecture.keys() | weights == NetworkConfig.model_fields.keys()


@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_tiny.fb_in1k"])
def test_a_teacher_of_the_paper_has_its_timm_name(name):
    assert NetworkConfig(model=name).model == "convnext_tiny.fb_in1k"


@pytest.mark.parametrize("model", ["local-dir:", "local-dir:s3://bucket", "hf-hub:resnet18", "hf-hub:", "hf-hub:a/b@"])
def test_a_model_that_names_no_folder_or_repository_is_refused(model):
    with pytest.raises(ValueError, match=r"local-dir: takes a folder|a model of the hub is hf-hub:USER/NAME"):
        NetworkConfig(model=model)


def test_an_untrained_network_needs_no_file_of_its_weights():
    network = NetworkConfig(model="resnet18", pretrained=True, checkpoint="/weights.pth", classes="/classes.txt")
    assert network.untrained == NetworkConfig(model="resnet18")


def test_a_fused_teacher_is_read_back_as_it_was_written(config_of):
    members = [{"model": "resnet18"}, {"model": "vit", "precision": "bfloat16"}]
    config = config_of(teacher={"fuse": members, "rule": "entropy"})
    assert isinstance(config.teacher, FusedTeacherConfig)
    assert config.teachers == config.teacher.fuse == tuple(TeacherConfig(**each) for each in members)
    assert TrialConfig.model_validate(config.model_dump(mode="json")) == config
    assert config.taught_by(config.teachers[1]).teachers == config.teachers[1:]
    assert config_of("classic").teachers == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"fuse": []}, "at least 1"),
        ({"fuse": [{"model": "a"}], "rule": "max"}, "'mean', 'confidence' or 'entropy'"),
        ({"fuse": [{"model": "a"}], "seed": 1}, "seed: a fused teacher has no such key; remove it"),
        ({"fuse": [{"model": "a"}, {"model": "b"}, {"model": "a"}]}, "members 1 and 3 are the same teacher"),
        ({"fuse": [{"fuse": [{"model": "a"}]}]}, "model"),
    ],
)
def test_a_fusion_that_makes_no_sense_is_refused(config_of, content, said):
    with pytest.raises(ValidationError, match=said):
        config_of(teacher=content)
