import pytest
import timm
import torch
from torch import nn
from torch.nn.functional import interpolate

from kd_core.config.errors import ModelError
from kd_core.config.networks import StudentConfig, TeacherConfig
from kd_core.networks.models import (
    Network,
    build_network,
    build_student,
    build_teacher,
    check_network,
    forward_flops,
    num_parameters,
)
from kd_core.networks.weights import weights_bytes

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


FORMS = {
    "one linear layer": {"model": "test_efficientnet"},
    "two heads": {"model": "deit_tiny_distilled_patch16_224", "image_size": 32},
    "a convolution": {"model": "test_nfnet"},
    "a bottleneck": {"model": "test_efficientnet", "bottleneck": 8},
    "a transformer": {"model": "test_vit", "image_size": 32},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_classes_of_a_checkpoint_are_taken_by_name_in_the_order_of_the_data(tmp_path, form):
    names = ["hen", "ox", "cat", "dog"]
    given = build_teacher(TeacherConfig(**FORMS[form]), 4).eval()
    (tmp_path / "weights.safetensors").write_bytes(weights_bytes(given))
    (tmp_path / "classes.txt").write_text("\n".join(names))
    paths = {"checkpoint": str(tmp_path / "weights.safetensors"), "classes": str(tmp_path / "classes.txt")}
    for wanted in (["cat", "dog", "hen", "ox"], ["dog", "hen"]):
        network = build_network(TeacherConfig(**FORMS[form], **paths), len(wanted), wanted).eval()
        places = [names.index(name) for name in wanted]
        torch.testing.assert_close(network(IMAGES), given(IMAGES)[:, places])
        restored = build_teacher(TeacherConfig(**FORMS[form]), len(wanted))
        restored.load_state_dict(network.state_dict())  # as a finished teacher is


def test_the_classes_of_a_folder_are_taken_by_name(tmp_path):
    timm.models.save_for_hf(timm.create_model("test_efficientnet", num_classes=3), tmp_path, safe_serialization=True)
    (tmp_path / "classes.json").write_text('["cat", "dog", "hen"]')
    config = TeacherConfig(model=f"local-dir:{tmp_path}", pretrained=True)
    whole = build_network(config, 3).eval()
    config = config.model_copy(update={"classes": str(tmp_path / "classes.json")})
    torch.testing.assert_close(build_network(config, 2, ["hen", "dog"]).eval()(IMAGES), whole(IMAGES)[:, [2, 1]])
    (tmp_path / "classes.json").write_text('["cat", "dog"]')
    with pytest.raises(ModelError, match="names 2 classes and the weights have 3; name all of them") as caught:
        check_network(config)
    assert caught.value.key == "classes"


@pytest.mark.parametrize("edits", [{}, {"pretrained": True, "bottleneck": 8}])
def test_classes_of_a_classifier_without_weights_are_refused(tmp_path, edits):
    (tmp_path / "classes.txt").write_text("cat\ndog")
    with pytest.raises(ModelError, match="begins without weights") as caught:
        check_network(TeacherConfig(model="resnet18", classes=str(tmp_path / "classes.txt"), **edits))
    assert caught.value.key == "classes"


def test_a_checkpoint_of_fewer_classes_than_are_named_is_refused(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(weights_bytes(tiny(num_classes=3)))
    (tmp_path / "classes.txt").write_text("cat\ndog")
    paths = {"checkpoint": str(tmp_path / "weights.safetensors"), "classes": str(tmp_path / "classes.txt")}
    with pytest.raises(ModelError, match="its classifier has 3 classes where 2 are wanted"):
        build_network(TeacherConfig(model="test_efficientnet", bottleneck=8, **paths), 2, ["cat", "dog"])
