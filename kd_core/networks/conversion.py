"""Converts a file of torch.save to plain safetensors; what may run code is read by a process of its own.

That process is this module, `python -m kd_core.networks.conversion FILE PLAIN`: it unpickles FILE, with all that this
may run, and writes its weights to PLAIN, which this process then reads as it reads any other file: tensors only.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from kd_core.config.errors import ModelError
from kd_core.networks.weights import UnsafeFileError, Weights, plain_bytes, read_weights, weights_in
from kd_core.store.files import write_bytes

_KEPT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "LANG")  # of the environment: where things are, and no secrets


def weights_of(path: Path, trust: bool) -> Weights:
    """The weights of a file, read as tensors only; if it holds more and is trusted, another process unpickles it.

    Raises UnsafeFileError if it is not trusted, and ModelError if it cannot be read.
    """
    try:
        return read_weights(path)
    except UnsafeFileError:
        if not trust:
            raise
    return _unpickled(path)


def write_plain(weights: Weights, path: Path) -> bool:
    """Write weights as safetensors, atomically, without what wrappers put before their names.

    Returns False if the file is there already; raises ModelError if another one is.
    """
    content = plain_bytes({name.removeprefix(weights.prefix): each for name, each in weights.tensors.items()})
    if path.exists():
        if path.read_bytes() != content:
            raise ModelError("out", f"{path} exists and holds something else; name another file, or remove it")
        return False
    write_bytes(path, content)
    return True


def _unpickled(path: Path) -> Weights:
    """The weights of a file that another process unpickles, in this one's working directory, where its code may be."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "weights.pth"
        command = [sys.executable, "-m", "kd_core.networks.conversion", str(path), str(plain)]
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {done.returncode}"]
            remedy = "install what it names, or give the command in the folder that has it"
            raise ModelError("checkpoint", f"{path} cannot be read: {said[-1][:200]}; {remedy}")
        return read_weights(plain)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    found = weights_in(torch.load(source, map_location="cpu", weights_only=False))
    torch.save({found.entry: found.tensors} if found.entry else found.tensors, target)
