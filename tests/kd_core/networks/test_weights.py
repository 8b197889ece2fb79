"""Weights as this package and others write them: what is loaded, and what is refused in one sentence."""

import argparse
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel
from upath import UPath

from kd_core.config.errors import ModelError
from kd_core.config.networks import StudentConfig, TeacherConfig
from kd_core.networks.models import Network, build_student, build_teacher
from kd_core.networks.weights import (
    UnsafeFileError,
    Weights,
    load_weights,
    plain_bytes,
    read_weights,
    weights_bytes,
    weights_in,
)

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
MODEL = "test_efficientnet"


def tiny(seed: int = 0, num_classes: int = 5, **edits) -> Network:
    """A student in evaluation mode, its running statistics unlike those of a fresh one."""
    torch.manual_seed(seed)
    network = build_student(StudentConfig(**({"model": MODEL, "bottleneck": 8} | edits)), num_classes)
    network.train()(torch.rand(8, 3, 16, 16))
    return network.eval()


def bare(num_classes: int = 5, seed: int = 3) -> nn.Module:
    """A network of timm's, as others train it."""
    torch.manual_seed(seed)
    return timm.create_model(MODEL, num_classes=num_classes).eval()


def bare_state() -> dict[str, torch.Tensor]:
    return bare().state_dict()


def below(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def averaged() -> dict[str, torch.Tensor]:
    """As torchvision's references write their model_ema: names below `module.`, and a counter beside."""
    return AveragedModel(bare()).state_dict()


def lightning() -> dict[str, object]:
    """A Lightning module with its network, the buffer of a loss and a teacher, of another number of classes."""
    beside = {"loss.weight": torch.ones(5)} | below("teacher.", bare(7, seed=9).state_dict())
    content = {"state_dict": below("model.", bare_state()) | beside, "epoch": 3, "global_step": 99}
    return content | {"pytorch-lightning_version": "2.5.0", "optimizer_states": [], "hyper_parameters": {"lr": 0.1}}


def without_counters() -> dict[str, torch.Tensor]:
    """As torch 0.4.0 and older wrote batch normalisation."""
    return {name: each for name, each in bare_state().items() if not name.endswith("num_batches_tracked")}


FILES = {
    "a bare state dict": bare_state,
    "mdistiller": lambda: {"model": bare_state(), "optimizer": {"state": {}}, "best_acc": 71.5, "epoch": 240},
    "DeiT": lambda: {"model": bare_state(), "model_ema": bare_state(), "scaler": {"scale": 1.0}},
    "DeiT, whose average counts": lambda: {"model": bare(seed=4).state_dict(), "model_ema": bare_state()},
    "timm": lambda: {"epoch": 1, "arch": MODEL, "state_dict": bare_state(), "version": 2, "metric": 0.7},
    "timm, whose average counts": lambda: {
        "state_dict": bare(seed=4).state_dict(),
        "state_dict_ema": bare_state(),
    },
    "no average": lambda: {"state_dict": bare_state(), "state_dict_ema": None},
    "model_state_dict": lambda: {"model_state_dict": bare_state(), "optimizer_state_dict": {"state": {}}},
    "torchvision's average": lambda: {"model": bare(seed=4).state_dict(), "model_ema": averaged()},
    "Lightning": lightning,
    "DistributedDataParallel": lambda: below("module.", bare_state()),
    "compiled": lambda: below("_orig_mod.", bare_state()),
    "both": lambda: {"state_dict": below("module._orig_mod.", bare_state())},
    "both, the other way": lambda: below("_orig_mod.module.", bare_state()),
    "Lightning, compiled": lambda: {"state_dict": below("model._orig_mod.", bare_state())},
    "without counters": without_counters,
}


@pytest.mark.parametrize("name", FILES)
def test_the_weights_of_a_timm_model_load_as_others_write_them(tmp_path, name):
    torch.save(FILES[name](), tmp_path / "model.pth")
    config = TeacherConfig(model=MODEL, checkpoint=str(tmp_path / "model.pth"))
    network = build_teacher(config, 5).eval()
    normalised = (IMAGES - network.mean) / network.std
    torch.testing.assert_close(network(IMAGES), bare()(normalised))


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module._orig_mod."])
def test_the_weights_of_this_package_load_behind_the_names_of_wrappers(tmp_path, prefix):
    network, other = tiny(0), tiny(1)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(below(prefix, state), tmp_path / "weights.safetensors")
    load_weights(other, tmp_path / "weights.safetensors")
    assert torch.equal(other(IMAGES), network(IMAGES))


@pytest.mark.parametrize("where", ["local", "remote"])
def test_a_checkpoint_brings_back_the_network(tmp_path, where):
    network, path = tiny(), UPath(tmp_path if where == "local" else "memory://weights") / "student.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(weights_bytes(network))
    torch.manual_seed(1)
    restored = build_student(StudentConfig(model=MODEL, bottleneck=8, checkpoint=str(path)), 5).eval()
    assert torch.equal(restored(IMAGES), network(IMAGES))


def test_half_precision_is_kept_in_the_file_and_loaded_as_float32(tmp_path):
    state = {name: each.bfloat16() if each.is_floating_point() else each for name, each in bare_state().items()}
    (tmp_path / "half.safetensors").write_bytes(plain_bytes(state))
    assert read_weights(tmp_path / "half.safetensors").tensors["classifier.weight"].dtype is torch.bfloat16
    network = build_teacher(TeacherConfig(model=MODEL, checkpoint=str(tmp_path / "half.safetensors")), 5)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def _saved(content: Callable[[], object], suffix: str = ".pth") -> Callable[[Path], object]:
    return lambda path: torch.save(content(), path.with_suffix(suffix))


def _nan(path: Path) -> None:
    network = tiny()
    nn.init.constant_(network.head[4].bias, float("nan"))
    path.with_suffix(".safetensors").write_bytes(weights_bytes(network))


def _written(content: bytes, suffix: str) -> Callable[[Path], object]:
    return lambda path: path.with_suffix(suffix).write_bytes(content)


REFUSED = {
    "nan": (_nan, r"NaN or infinite values in head\.4\.bias; export"),
    "classes": (
        lambda path: path.with_suffix(".safetensors").write_bytes(weights_bytes(tiny(num_classes=1000))),
        "its classifier has 1000 classes where 5 are wanted; name its classes in their order as `classes`",
    ),
    "bottleneck": (
        lambda path: path.with_suffix(".safetensors").write_bytes(weights_bytes(tiny(bottleneck=4))),
        r"6 tensors are of another shape \(head\.0\.weight: 4×\d+ and not 8×\d+, .*, …\); give weights of this very",
    ),
    "a classifier too much": (
        _saved(lambda: bare_state()),
        r"2 tensors are unexpected \(backbone\.classifier\.",
    ),
    "another model": (
        _saved(lambda: timm.create_model("test_resnet", num_classes=5).state_dict()),
        r"\d+ tensors are missing \(.*, …\), \d+ tensors are unexpected \(",
    ),
    "a part of a prefix": (
        _saved(lambda: dict(list(below("module.", tiny().state_dict()).items())[:-1])),
        r"1 tensors are missing \(head\.4\.bias\); give",
    ),
    "text": (_written(b"no weights", ".safetensors"), "neither a safetensors file nor one of torch.save"),
    "text pth": (_written(b"no weights", ".pth"), "neither a safetensors file nor one of torch.save"),
    "empty pth": (_written(b"", ".pth"), "neither a safetensors file nor one of torch.save"),
    "cut": (lambda path: _cut(path), "cannot be read: .*; export the weights again"),
    "no zip": (_written(b"PK\x03\x04 and no more", ".pth"), "cannot be read: .*; export the weights again"),
    "safetensors as pth": (
        lambda path: path.with_suffix(".pth").write_bytes(weights_bytes(tiny())),
        r"is a safetensors file; rename it to weights\.safetensors",
    ),
    "zip as safetensors": (_saved(dict, ".safetensors"), r"is a file of torch\.save; rename it to weights\.pth"),
    "pickle as safetensors": (_written(pickle.dumps({}), ".safetensors"), "is a file of torch.save; rename it"),
    "pickle": (
        _written(pickle.dumps(Path("an object"), protocol=2), ".pth"),
        "may run code when read; `kdsweep w",
    ),
    "module": (_saved(lambda: nn.Linear(2, 2)), "holds other objects than tensors .*, and may run code when read"),
    "arguments": (
        _saved(lambda: {"model": {}, "args": argparse.Namespace(lr=0.1)}),
        r"holds other objects than tensors \(argparse\.Namespace\), and may run code when read; `kdsweep weights .*`",
    ),
    "list": (_saved(lambda: [1, 2]), "holds a list and no tensors; save the network's state_dict"),
    "number": (_saved(lambda: {"state_dict": 3}), "holds entries state_dict and no tensors"),
    "other keys": (_saved(lambda: {"epoch": 3}), "holds entries epoch and no tensors"),
}


def _cut(path: Path) -> None:
    content = weights_bytes(tiny())
    path.with_suffix(".safetensors").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("name", REFUSED)
def test_weights_that_do_not_fit_are_refused_in_one_sentence(tmp_path, name):
    write, message = REFUSED[name]
    write(tmp_path / "weights")
    (path,) = tmp_path.iterdir()
    network = tiny()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ModelError, match=message) as caught:
        load_weights(network, path)
    assert caught.value.key == "checkpoint"
    assert str(caught.value).count(str(path)) in (1, 2)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_file_that_may_run_code_runs_none(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"state_dict": bare_state(), "trap": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UnsafeFileError):
        read_weights(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_the_weights_in_a_content_tell_where_they_were():
    tensors = {"a.weight": torch.ones(2, 3), "a.steps": torch.tensor(7)}
    assert weights_in({"epoch": 1} | tensors) == Weights(tensors)
    assert weights_in({"model": below("module.", tensors), "state_dict": {}}).entry == "model"
    assert Weights(tensors).num_parameters == 6
    assert weights_in(nn.Linear(2, 2)).tensors.keys() == {"weight", "bias"}
    assert weights_in({"model": nn.Linear(2, 2)}).entry == "model"


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (["module.a", "module.b"], "module."),
        (["module.model.a", "module.b"], "module."),
        (["model._orig_mod.a"], "model._orig_mod."),
        (["model.a", "module.b"], ""),
        (["module.a", "n_averaged"], ""),
        (["modules.a"], ""),
    ],
)
def test_the_prefix_is_what_stands_before_every_name(names, prefix):
    assert Weights(dict.fromkeys(names, torch.ones(1))).prefix == prefix


def test_tensors_that_share_memory_are_written_each_with_its_own(tmp_path):
    shared = torch.arange(6.0)
    state = {"a": shared, "b": shared, "c": shared[2:4], "d": shared.view(2, 3).T}
    (tmp_path / "shared.safetensors").write_bytes(plain_bytes(state))
    read = read_weights(tmp_path / "shared.safetensors").tensors
    assert all(torch.equal(read[name], state[name]) for name in state)
