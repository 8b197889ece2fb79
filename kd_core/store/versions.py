"""Which versions of the libraries, and which commit of this code, make a product."""

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

_LIBRARIES = ("kd-sweeps", "timm", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """Python, libraries and, in a git checkout, the commit, with -dirty if this code differs from it.

    What is not installed is left out.
    """
    found = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    package = Path(__file__).parent
    commit = commit_of(package.parent)
    return found | ({"commit": commit + "-dirty" * is_dirty(package)} if commit else {})


def commit_of(folder: Path) -> str:
    """The commit that is checked out in a folder, from the files of git; "" if there is none."""
    git = folder / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        branch = head.removeprefix("ref: ")
        if (git / branch).exists():
            return (git / branch).read_text().strip()[:12]
        packed = (git / "packed-refs").read_text().splitlines()
        return next((line.split()[0][:12] for line in packed if line.endswith(f" {branch}")), "")
    except OSError:
        return ""


def is_dirty(folder: Path) -> bool:
    """Whether a folder of a git checkout has files that differ from its commit; false if git cannot tell."""
    command = ["git", "status", "--porcelain", "--", "."]
    unlocked = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        told = subprocess.run(command, cwd=folder, env=unlocked, capture_output=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return bool(told.stdout)
