"""Checks that the weights file of a network's config exists; loads no torch."""

from upath import UPath


def checkpoint_problem(checkpoint: str) -> str | None:
    """Why a checkpoint, a path or URL, cannot be read, and what to do about it; None if it is a file."""
    try:
        there = UPath(checkpoint).is_file()
    except Exception as error:  # each file system raises its own errors
        problem = " ".join(str(error).split())[:200]
        return f"cannot be reached ({problem}); copy the file to this machine"
    return None if there else "no such file; give a .safetensors file, or a .pth file of tensors"
