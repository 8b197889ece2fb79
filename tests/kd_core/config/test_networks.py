import pytest

from kd_core.config.networks import NetworkConfig


def test_an_architecture_is_all_of_a_network_but_the_origin_of_its_weights(config_of):
    network = config_of(**{"student.pretrained": True}).student
    assert network.architecture.keys() | {"pretrained", "checkpoint"} == NetworkConfig.model_fields.keys()


@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_tiny.fb_in1k"])
def test_a_teacher_of_the_paper_has_its_timm_name(name):
    assert NetworkConfig(model=name).model == "convnext_tiny.fb_in1k"
