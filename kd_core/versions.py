"""Which versions of the libraries, and which commit of this code, make a product."""

import functools
import platform
from importlib import metadata
from pathlib import Path

import torch

_LIBRARIES = ("kd-sweeps", "timm", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """Python, libraries and, in a git checkout, the commit; what is not installed is left out."""
    found = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    commit = commit_of(Path(__file__).parents[1])
    return found | ({"commit": commit} if commit else {})


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
