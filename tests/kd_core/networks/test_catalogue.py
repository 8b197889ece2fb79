"""Models that are folders or repositories, as timm writes them; the hub is its cache, since no test is online."""

import argparse
import json
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from kd_core.config.errors import ModelError
from kd_core.config.model_source import WEIGHTS
from kd_core.config.networks import StudentConfig, TeacherConfig
from kd_core.networks import catalogue
from kd_core.networks.models import build_teacher, check_network, forward_flops, pretrained_classes

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def saved(folder: Path, model: str = "test_efficientnet", safe: bool = True, **options) -> nn.Module:
    """A network of five classes with weights of its own, saved in a folder by timm."""
    torch.manual_seed(5)
    network = timm.create_model(model, **({"num_classes": 5} | options)).eval()
    timm.models.save_for_hf(network, folder, safe_serialization=safe)
    return network


def edited(folder: Path, **edits: object) -> None:
    """Change the config of a saved network."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | edits))


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """The folder of user/name@main in an empty cache of the hub, without a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    catalogue._hub_file.cache_clear()
    repository = tmp_path / "models--user--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    return repository / "snapshots" / ("0" * 40)


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "torch.save"])
def test_a_folder_is_the_network_that_was_saved_there(tmp_path, safe):
    bare = saved(tmp_path, safe=safe)
    config = TeacherConfig(model=f"local-dir:{tmp_path}", pretrained=True)
    network = build_teacher(config, 5).eval()
    torch.testing.assert_close(network(IMAGES), bare((IMAGES - network.mean) / network.std))
    assert "state_dict" not in network.backbone.default_cfg


def test_without_its_weights_a_folder_is_a_form(tmp_path):
    saved(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    config = TeacherConfig(model=f"local-dir:{tmp_path}")
    assert build_teacher(config, 7)(IMAGES).shape == (2, 7)
    assert forward_flops(config, 7, 32) == forward_flops(StudentConfig(model="test_efficientnet"), 7, 32)
    assert pretrained_classes(config) == 5
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor pytorch_model\.bin; put") as caught:
        check_network(config.model_copy(update={"pretrained": True}))
    assert caught.value.key == "pretrained"


def test_the_classifier_is_new_for_other_classes_and_all_else_is_kept(tmp_path):
    bare = saved(tmp_path)
    network = build_teacher(TeacherConfig(model=f"local-dir:{tmp_path}", pretrained=True, bottleneck=8), 7).eval()
    other = build_teacher(TeacherConfig(model=f"local-dir:{tmp_path}", pretrained=True), 7).eval()
    features = bare.forward_features((IMAGES - network.mean) / network.std)
    for each in (network, other):
        assert each(IMAGES).shape == (2, 7)
        normalised = (IMAGES - each.mean) / each.std
        torch.testing.assert_close(each.backbone.forward_features(normalised), features)


def test_the_form_is_that_of_the_saved_arguments_and_of_the_image_size(tmp_path):
    saved(tmp_path, "vit_tiny_patch16_224", img_size=64)
    config = TeacherConfig(model=f"local-dir:{tmp_path}", pretrained=True)
    for size, expected in ((None, 64), (32, 32)):
        network = build_teacher(config.model_copy(update={"image_size": size}), 5)
        assert network.image_size == expected
        assert network(IMAGES).shape == (2, 5)


def test_a_config_may_be_made_by_hand(tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "test_efficientnet", "num_classes": 5}')
    torch.save(
        {"state_dict": timm.create_model("test_efficientnet", num_classes=5).state_dict()}, tmp_path / WEIGHTS[1]
    )
    config = TeacherConfig(model=f"local-dir:{tmp_path}", pretrained=True)
    assert build_teacher(config, 5)(IMAGES).shape == (2, 5)
    with pytest.raises(ModelError, match="names no first_conv") as caught:
        check_network(config.model_copy(update={"stem_stride": 1}))
    assert caught.value.key == "stem_stride"


def test_weights_of_another_network_are_refused_also_where_the_classifier_is_new(tmp_path):
    saved(tmp_path)
    content = saved(tmp_path / "other", "test_resnet").state_dict()
    timm.models.save_for_hf(timm.create_model("test_efficientnet", num_classes=5), tmp_path)
    torch.save(content, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="timm cannot make a network") as caught:
        build_teacher(TeacherConfig(model=f"local-dir:{tmp_path}", pretrained=True), 7)
    assert "\n" not in str(caught.value)


def test_a_folder_is_never_unpickled(tmp_path):
    bare = saved(tmp_path, safe=False)
    torch.save({"state_dict": bare.state_dict(), "args": argparse.Namespace()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"argparse\.Namespace\), and may run code when read"):
        build_teacher(TeacherConfig(model=f"local-dir:{tmp_path}", pretrained=True), 5)


MISTAKES = {
    "unknown architecture": ({"architecture": "resnet1"}, "timm cannot make a network of .*resnet1"),
    "grey images": ({"model_args": {"in_chans": 1}}, "takes images of 1 channels and not of 3"),
    "unknown argument": ({"model_args": {"colour": 1}}, "timm cannot make a network of .*colour"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_folder_that_timm_cannot_build_is_one_sentence(tmp_path, name):
    saved(tmp_path)
    edited(tmp_path, **MISTAKES[name][0])
    with pytest.raises(ModelError, match=MISTAKES[name][1]) as caught:
        check_network(TeacherConfig(model=f"local-dir:{tmp_path}"))
    assert caught.value.key == "model"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "problem"), [("{", "cannot make"), ("[]", "cannot make"), (None, "holds no con")])
def test_a_folder_without_a_config_is_one_sentence(tmp_path, content, problem):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=problem):
        check_network(TeacherConfig(model=f"local-dir:{tmp_path}"))


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "torch.save"])
def test_a_repository_is_the_network_in_it(hub, safe):
    bare = saved(hub, safe=safe)
    network = build_teacher(TeacherConfig(model="hf-hub:user/name", pretrained=True), 5).eval()
    torch.testing.assert_close(network(IMAGES), bare((IMAGES - network.mean) / network.std))


@pytest.mark.parametrize("model", ["hf-hub:user/name", "hf-hub:user/name@v2", "hf-hub:no/name"])
def test_a_repository_that_cannot_be_had_is_one_sentence(hub, model):
    with pytest.raises(
        ModelError, match=r"config\.json cannot be had from the hub .*; see the name and the net"
    ) as caught:
        check_network(TeacherConfig(model=model))
    assert caught.value.key == "model"
    assert "\n" not in str(caught.value)


def test_a_repository_without_a_prefix_is_asked_for_it():
    with pytest.raises(ModelError, match="did you mean hf-hub:user/name or local-dir:user/name"):
        check_network(TeacherConfig(model="user/name"))
