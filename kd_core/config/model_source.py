"""Models that are no name of timm's: a folder, or a repository of the Hugging Face hub; what needs no torch to be said.

`local-dir:PATH` is a folder with a config.json and weights, as timm's `save_for_hf` writes it, and `hf-hub:USER/NAME`,
or `hf-hub:USER/NAME@REVISION`, a repository of such files.
"""

import hashlib
import re
from pathlib import Path

from kd_core.fields import absolute

LOCAL, HUB = "local-dir:", "hf-hub:"
CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there counts
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def normal_name(model: str) -> str:
    """The name of a model with an absolute path in it; raises ValueError for what names no folder or repository."""
    if model.startswith("hf_hub:"):  # as older versions of timm write it
        model = HUB + model.removeprefix("hf_hub:")
    if model.startswith(HUB) and not _REPOSITORY.fullmatch(model.removeprefix(HUB)):
        raise ValueError(f"a model of the hub is {HUB}USER/NAME, or {HUB}USER/NAME@REVISION")
    if not model.startswith(LOCAL):
        return model
    path = model.removeprefix(LOCAL)
    if not path or "://" in path:
        raise ValueError(f"{LOCAL} takes a folder that every node sees, not a URL; copy it and give {LOCAL}PATH")
    return LOCAL + absolute(path)


def folder_of(model: str) -> Path | None:
    """The folder that a model's name names; None for any other model."""
    return Path(model.removeprefix(LOCAL)) if model.startswith(LOCAL) else None


def is_hub(model: str) -> bool:
    """Whether a model's name names a repository of the hub."""
    return model.startswith(HUB)


def folder_problem(folder: Path) -> str | None:
    """Why a folder is no model, and what to do about it; None if it is one, with or without weights."""
    remedy = f"give the folder that timm's save_for_hf wrote, with {CONFIG} and {WEIGHTS[0]}"
    try:
        there, complete = folder.is_dir(), (folder / CONFIG).is_file()
    except OSError as error:  # such as a name that is too long
        return f"cannot be read ({error.strerror}); {remedy}"
    if not there:
        return f"no such folder; {remedy}"
    return None if complete else f"holds no {CONFIG}; {remedy}"


def weights_of(folder: Path) -> Path | None:
    """The file with a model folder's weights; None if it has none that is used here."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def model_identity(model: str) -> str:
    """What stands for a model in identities: its name, but for a folder the hash of its config and weights.

    Raises OSError if a folder cannot be read.
    """
    folder = folder_of(model)
    if folder is None:
        return model
    sha256 = hashlib.sha256()
    for path in (folder / CONFIG, weights_of(folder)):
        if path is not None:
            with path.open("rb") as file:
                sha256.update(hashlib.file_digest(file, "sha256").digest())
    return LOCAL + sha256.hexdigest()
