import pickle
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch.nn.functional import interpolate
from upath import UPath

from kd_core.config.errors import ModelError
from kd_core.config.networks import StudentConfig, TeacherConfig
from kd_core.networks.models import (
    Network,
    build_student,
    build_teacher,
    check_network,
    forward_flops,
    load_weights,
    num_parameters,
    weights_bytes,
)

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def tiny(seed: int = 0, num_classes: int = 5, **edits) -> Network:
    """A test_efficientnet student in evaluation mode, its running statistics unlike those of a fresh one."""
    torch.manual_seed(seed)
    network = build_student(StudentConfig(**({"model": "test_efficientnet", "bottleneck": 8} | edits)), num_classes)
    network.train()(torch.rand(8, 3, 16, 16))
    return network.eval()


@pytest.mark.parametrize(("num_classes", "count"), [(10, 2_554_634), (100, 2_577_764), (1000, 2_809_064)])
def test_the_student_of_the_paper_has_its_parameters(num_classes, count):
    network = build_student(StudentConfig(model="mobilenetv2_100", bottleneck=256), num_classes)
    assert num_parameters(network) == count


@pytest.mark.parametrize("model", ["mobilenetv3_small_100", "lcnet_050", "test_mambaout", "test_resnet", "test_vit"])
def test_a_bottleneck_fits_behind_any_family(model):
    network = build_student(StudentConfig(model=model, bottleneck=8, image_size=32), 5).eval()
    assert network(IMAGES).shape == (2, 5)


def test_the_head_alone_or_the_whole_network_is_trained():
    network = tiny()
    network.train_only_head()
    learning = {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    assert learning == {id(parameter) for parameter in network.classifier.parameters()} != set()
    assert network.classifier.training
    assert not network.backbone.training
    network.train_whole()
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(("model", "factor"), [("mobilenetv2_050", 2), ("resnet18", 4), ("test_efficientnet", 2)])
def test_an_open_stem_widens_the_feature_map(model, factor):
    def side(stem_stride):
        network = build_student(StudentConfig(model=model, stem_stride=stem_stride), 5).eval()
        return network.backbone.forward_features(torch.zeros(1, 3, 64, 64)).shape[-1]

    assert side(1) == factor * side(None)


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "convnext_atto", "test_convnext"])
def test_a_network_that_cuts_patches_has_no_stem_to_open(model):
    with pytest.raises(ModelError, match="patches") as caught:
        check_network(StudentConfig(model=model, stem_stride=1))
    assert caught.value.key == "stem_stride"


@pytest.mark.parametrize("model", ["test_efficientnet", "test_vit", "resnet18"])
def test_a_check_draws_no_random_numbers(model):
    """A process checks a network once: two students with one seed must still have equal initial weights."""
    before = torch.get_rng_state()
    check_network(StudentConfig(model=model, bottleneck=16, image_size=48))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        ({"model": "mobilnetv2_100"}, "model", "did you mean mobilenetv2_100"),
        ({"model": "§§§"}, "model", "no such model$"),
        ({"model": "resnet18.made_up"}, "model", r"no such weights; it has resnet18\.a1_in1k"),
        (
            {"model": "resnetv2_152", "pretrained": True},
            "pretrained",
            "no weights for resnetv2_152; give weights of your own as checkpoint",
        ),
        ({"model": "resnet18", "checkpoint": "gone.safetensors"}, "checkpoint", "no such file"),
        ({"model": "resnet18", "checkpoint": "memory://gone.safetensors"}, "checkpoint", "no such file"),
        ({"model": "resnet18", "checkpoint": "madeup://gone.safetensors"}, "checkpoint", "cannot be reached"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_by_field(config, key, message):
    with pytest.raises(ModelError, match=message) as caught:
        build_teacher(TeacherConfig(**config), 10)
    assert caught.value.key == key


def test_a_seed_decides_the_weights():
    first, again, other = tiny(0), tiny(0), tiny(1)
    assert torch.equal(first(IMAGES), again(IMAGES))
    assert not torch.equal(first(IMAGES), other(IMAGES))


@pytest.mark.parametrize("where", ["local", "remote"])
def test_a_checkpoint_brings_back_the_network(tmp_path, where):
    network, path = tiny(), UPath(tmp_path if where == "local" else "memory://weights") / "student.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(weights_bytes(network))
    torch.manual_seed(1)
    restored = build_student(StudentConfig(model="test_efficientnet", bottleneck=8, checkpoint=str(path)), 5).eval()
    assert torch.equal(restored(IMAGES), network(IMAGES))


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state}], ids=["bare", "nested"])
def test_the_weights_of_a_bare_timm_model_load(tmp_path, wrap):
    torch.manual_seed(3)
    bare, path = timm.create_model("test_efficientnet", num_classes=5).eval(), tmp_path / "model.pth"
    torch.save(wrap(bare.state_dict()), path)
    network = build_teacher(TeacherConfig(model="test_efficientnet", checkpoint=str(path)), 5).eval()
    normalised = (IMAGES - network.mean) / network.std
    torch.testing.assert_close(network(IMAGES), bare(normalised))


def _nan(path: Path) -> None:
    network = tiny()
    nn.init.constant_(network.head[4].bias, float("nan"))
    path.with_suffix(".safetensors").write_bytes(weights_bytes(network))


def _pickled(path: Path, value: object) -> None:
    path.with_suffix(".pth").write_bytes(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_nan, r"NaN or infinite values in head\.4\.bias"),
        (lambda path: path.with_suffix(".safetensors").write_bytes(weights_bytes(tiny(num_classes=6))), r"head\.4"),
        (lambda path: path.with_suffix(".safetensors").write_bytes(b"no weights"), "does not fit"),
        (lambda path: path.with_suffix(".pth").write_bytes(b"no weights"), "save its state_dict"),
        (lambda path: path.with_suffix(".pth").write_bytes(b""), "does not fit"),
        (lambda path: _pickled(path, Path("an object")), "save its state_dict"),
        (lambda path: torch.save(nn.Linear(2, 2), path.with_suffix(".pth")), "save its state_dict"),
        (lambda path: torch.save([1, 2], path.with_suffix(".pth")), "does not fit"),
        (lambda path: torch.save({"state_dict": 3}, path.with_suffix(".pth")), "does not fit"),
        (lambda path: torch.save({"epoch": 3}, path.with_suffix(".pth")), "does not fit"),
    ],
    ids=["nan", "shape", "text", "text pth", "empty pth", "pickle", "module", "list", "number", "other keys"],
)
def test_weights_that_do_not_fit_are_refused_in_one_sentence(tmp_path, write, message):
    write(tmp_path / "weights")
    (path,) = tmp_path.iterdir()
    with pytest.raises(ModelError, match=message) as caught:
        load_weights(tiny(), path)
    assert caught.value.key == "checkpoint"
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("side", [8, 16, 24])
@pytest.mark.parametrize("model", ["test_efficientnet", "test_vit"])
def test_a_network_with_an_image_size_takes_images_of_any(model, side):
    network = build_teacher(TeacherConfig(model=model, image_size=32), 5).eval()
    flat = torch.full((1, 3, side, side), 0.25)
    torch.testing.assert_close(network(flat), network(torch.full((1, 3, 32, 32), 0.25)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width", "antialias"), [(8, 32, True), (32, 8, False)])
def test_images_are_smoothed_where_their_width_shrinks(height, width, antialias):
    network = build_teacher(TeacherConfig(model="test_efficientnet", image_size=16), 5).eval()
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    resized = interpolate(images, (16, 16), mode="bilinear", antialias=antialias)
    assert torch.equal(network(images), network(resized))


def test_a_network_without_image_size_works_at_that_of_the_data():
    network = tiny()
    images = torch.rand(1, 3, 40, 40)
    seen = []
    network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    network(images)
    assert seen == [(1, 3, 40, 40)]


def test_a_network_normalises_by_its_own_mean_and_deviation():
    """The EfficientNet here was trained with the mean 0.485…, the ViT with 0.5."""
    for model in ("resnet18", "vit_tiny_patch16_224"):
        network = build_teacher(TeacherConfig(model=model, image_size=32), 5)
        config = timm.get_pretrained_cfg(model)
        assert network.mean.flatten().tolist() == pytest.approx(config.mean)
        grey = torch.tensor(config.mean).view(1, 3, 1, 1) + torch.tensor(config.std).view(1, 3, 1, 1)
        seen = []
        network.backbone.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        network.eval()(grey.expand(1, 3, 32, 32))
        torch.testing.assert_close(seen[0], torch.ones(1, 3, 32, 32))


def test_flops_are_twice_the_multiplications_of_convolutions_and_linear_layers():
    config, counted = StudentConfig(model="test_efficientnet", bottleneck=8), []

    def count(module: nn.Module, _, output: torch.Tensor) -> None:
        inputs = module.weight[0].numel()  # type: ignore[union-attr,index]
        counted.append(2 * inputs * output.numel())

    network = build_student(config, 5).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network(torch.zeros(1, 3, 32, 32))
    assert forward_flops(config, 5, 32) == sum(counted)


def test_flops_grow_with_the_area_of_the_image():
    config, head = StudentConfig(model="resnet18", stem_stride=1), 2 * 512 * 10
    assert forward_flops(config, 10, 64) - head == 4 * (forward_flops(config, 10, 32) - head)
    assert forward_flops(StudentConfig(model="resnet18", image_size=32), 10, 64) == forward_flops(
        StudentConfig(model="resnet18"), 10, 32
    )
