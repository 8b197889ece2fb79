import pytest

from kd_core.config.networks import NetworkConfig


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
