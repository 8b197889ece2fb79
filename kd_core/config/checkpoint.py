"""What can be said of the weights file of a network's config without loading torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from upath import UPath

from kd_core.config.model_source import folder_of


def checkpoint_problem(checkpoint: str) -> str | None:
    """Why a checkpoint, a path or URL, cannot be read, and what to do about it; None if it is a file."""
    try:
        there = UPath(checkpoint).is_file()
    except Exception as error:  # each file system raises its own errors
        problem = " ".join(str(error).split())[:200]
        return f"cannot be reached ({problem}); copy the file to this machine"
    return None if there else "no such file; give a .safetensors file, or a .pth file of tensors"


def is_given(network: Mapping[str, Any]) -> bool:
    """Whether a network, by the JSON of its config, starts from weights of the user's: a checkpoint, or a folder's."""
    folder = folder_of(network.get("model", ""))
    return bool(network.get("checkpoint") or (network.get("pretrained") and folder))


def checkpoint_caveat(teachers: Sequence[str]) -> str:
    """What to bear in mind of teachers, by name, whose weights are a checkpoint; "" without one."""
    if not teachers:
        return ""
    named = "the checkpoint of the teacher" if len(teachers) == 1 else "the checkpoints of the teachers"
    return (
        f"{named} {' and '.join(teachers)} may have been trained on images that are validation or test here, which "
        "nothing here can tell: then figures of the teacher, and of students that learn from it, are too good"
    )
