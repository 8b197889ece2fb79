"""Files that hold more than tensors are read by another process only, and only if they are trusted."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from kd_core.config.errors import ModelError
from kd_core.networks.conversion import weights_of, write_plain
from kd_core.networks.weights import UnsafeFileError, Weights, read_weights


class Witness:
    """Notes, when it is unpickled, which process does that and what secrets it has."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        code = f"__import__('pathlib').Path({str(self.path)!r}).write_text"
        code += "(f\"{__import__('os').getpid()} {__import__('os').environ.get('SECRET')}\")"
        return eval, (code,)


def test_what_may_run_code_is_unpickled_by_another_process_if_it_is_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "token")
    network = timm.create_model("test_efficientnet", num_classes=5)
    content = {"model": network, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.7)}
    torch.save(content | {"witness": Witness(tmp_path / "seen")}, tmp_path / "checkpoint.pth")
    with pytest.raises(UnsafeFileError):
        weights_of(tmp_path / "checkpoint.pth", trust=False)
    assert not (tmp_path / "seen").exists()
    weights = weights_of(tmp_path / "checkpoint.pth", trust=True)
    process, secret = (tmp_path / "seen").read_text().split()
    assert (int(process) != os.getpid(), secret) == (True, "None")
    assert weights.entry == "model"
    assert all(torch.equal(weights.tensors[name], each) for name, each in network.state_dict().items())


def test_a_file_of_classes_that_are_not_here_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "gone_module.py").write_text("class Config: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    from gone_module import Config  # type: ignore[import-not-found]

    torch.save({"model": {"a": torch.ones(1)}, "cfg": Config()}, tmp_path / "checkpoint.pth")
    (tmp_path / "gone_module.py").unlink()
    with pytest.raises(ModelError, match="No module named 'gone_module'; install what it names") as caught:
        weights_of(tmp_path / "checkpoint.pth", trust=True)
    assert "\n" not in str(caught.value)


def test_a_file_of_tensors_is_read_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", "/no/python")
    torch.save({"state_dict": {"module.a": torch.ones(2)}}, tmp_path / "checkpoint.pth")
    assert weights_of(tmp_path / "checkpoint.pth", trust=True).entry == "state_dict"


def test_a_file_is_written_once_and_never_over_another(tmp_path):
    weights, path = (
        Weights({"module.a": torch.ones(2), "module.b": torch.ones(3).bfloat16()}),
        tmp_path / "a.safetensors",
    )
    assert write_plain(weights, path)
    assert {name: each.dtype for name, each in read_weights(path).tensors.items()} == {
        "a": torch.float32,
        "b": torch.bfloat16,
    }
    assert not write_plain(weights, path)
    before = path.read_bytes()
    with pytest.raises(ModelError, match="exists and holds something else; name another file"):
        write_plain(Weights({"a": torch.zeros(2)}), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
