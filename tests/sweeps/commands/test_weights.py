"""What `kdsweep weights` writes and says."""

import argparse
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kd_core.networks.weights import read_weights

STATE = {"module.fc.weight": torch.ones(3, 4), "module.fc.bias": torch.zeros(3), "module.steps": torch.tensor(7)}


def plain(path: Path) -> Path:
    torch.save({"state_dict_ema": STATE, "state_dict": {}, "epoch": 3}, path)
    return path


def unsafe(path: Path) -> Path:
    torch.save({"model": STATE, "args": argparse.Namespace(lr=0.1)}, path)
    return path


def test_a_checkpoint_becomes_plain_safetensors(kdsweep, tmp_path):
    command = ["weights", plain(tmp_path / "last.ckpt"), "--out", tmp_path / "plain.safetensors"]
    done = kdsweep(*command)
    said = "3 tensors with 15 parameters, from the entry state_dict_ema, without the prefix module."
    assert (done.exit_code, done.stderr) == (0, f"{tmp_path / 'plain.safetensors'}: {said}\n")
    tensors = read_weights(tmp_path / "plain.safetensors").tensors
    assert tensors.keys() == {"fc.weight", "fc.bias", "steps"}
    again = kdsweep(*command)
    assert again.exit_code == 0
    assert again.stderr.endswith("; it is there already\n")


def test_a_file_that_may_run_code_is_only_read_if_it_is_trusted(kdsweep, tmp_path):
    command = ["weights", unsafe(tmp_path / "best.pth"), "--out", tmp_path / "plain.safetensors"]
    done = kdsweep(*command)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "argparse.Namespace), and may run code when read; if you trust it, --trust reads it" in done.stderr
    assert not (tmp_path / "plain.safetensors").exists()
    trusted = kdsweep(*command, "--trust")
    assert trusted.exit_code == 0, trusted.stderr
    assert "from the entry model, without the prefix module." in trusted.stderr


@pytest.mark.parametrize(("answer", "exit_code"), [("y", 0), ("n", 2)])
def test_on_a_terminal_it_asks(tmp_path, answer, exit_code):
    out = tmp_path / "plain.safetensors"
    command = [sys.executable, "-m", "sweeps", "weights", str(unsafe(tmp_path / "best.pth")), "--out", str(out)]
    terminal, there = pty.openpty()
    with subprocess.Popen(command, stdin=there, stderr=subprocess.PIPE, text=True) as process:
        os.write(terminal, f"{answer}\n".encode())
        stderr = process.communicate()[1]
    assert "may run code when read; read it in a process of its own? [y/N]" in stderr
    assert (process.returncode, out.exists()) == (exit_code, exit_code == 0)
    for end in (terminal, there):
        os.close(end)


def test_a_mistake_is_one_sentence(kdsweep, tmp_path):
    file, out = plain(tmp_path / "last.pth"), tmp_path / "plain.safetensors"
    out.write_bytes(b"another")
    for arguments, problem in {
        (tmp_path / "gone.pth", out): "no such file",
        (file, tmp_path / "plain.pth"): "must end in .safetensors",
        (file, out): "exists and holds something else",
        (out, tmp_path / "other.safetensors"): "neither a safetensors file nor one of torch.save",
    }.items():
        done = kdsweep("weights", arguments[0], "--out", arguments[1])
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert problem in done.stderr
