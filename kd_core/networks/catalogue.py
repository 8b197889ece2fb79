"""What timm knows of a model by its name: one of its own, a folder, or a repository of the Hugging Face hub.

Weights of folders and repositories are read here, as tensors only, and given to timm, which adapts them to the image
size; so no version of timm unpickles them.
"""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch

from kd_core.config.errors import ModelError
from kd_core.config.model_source import CONFIG, HUB, LOCAL, WEIGHTS, folder_of, folder_problem, is_hub, weights_of
from kd_core.config.networks import NetworkConfig
from kd_core.networks.weights import read_weights


def check_model(config: NetworkConfig) -> None:
    """Raise ModelError for a model that timm does not know, or weights that are not there."""
    folder = _folder_of(config.model)
    if folder is None:
        _check_timm_name(config)
        return
    if problem := folder_problem(folder):
        raise ModelError("model", problem)
    if config.pretrained and not is_hub(config.model) and weights_of(folder) is None:
        raise ModelError("pretrained", f"the folder has neither {' nor '.join(WEIGHTS)}; put the weights there")
    if (channels := defaults_of(config.model)["input_size"][0]) != 3:
        raise ModelError("model", f"takes images of {channels} channels and not of 3; give a model of colour images")


def defaults_of(model: str) -> dict[str, Any]:
    """timm's defaults for a model and its weights: input_size [C, H, W], fixed_input_size, num_classes."""
    if _folder_of(model) is None:
        return timm.get_pretrained_cfg(model).to_dict()  # type: ignore[union-attr]
    return _defaults_in(model)


def create_backbone(model: str, num_classes: int, pretrained: bool, **options: Any) -> Any:
    """The timm network of a name, with timm's weights or those of its folder; raises ModelError if it has none."""
    folder = _folder_of(model)
    if folder is None:
        return timm.create_model(model, pretrained=pretrained, num_classes=num_classes, **options)
    with _naming(folder):
        if not pretrained:
            return timm.create_model(f"{LOCAL}{folder}", num_classes=num_classes, **options)
        return _with_weights(model, folder, num_classes, options)


def _with_weights(model: str, folder: Path, num_classes: int, options: dict[str, Any]) -> Any:
    """The network of a folder with all of its weights, and then a classifier of its own if classes are others."""
    path = _hub_weights(model) if is_hub(model) else weights_of(folder)
    assert path is not None
    overlay = {"source": "", "state_dict": read_weights(path).tensors}
    backbone: Any = timm.create_model(f"{LOCAL}{folder}", pretrained=True, pretrained_cfg_overlay=overlay, **options)
    backbone.default_cfg.pop("state_dict", None)  # which would keep them in memory
    if num_classes != backbone.num_classes:
        backbone.reset_classifier(num_classes)
    return backbone


@cache
def _defaults_in(model: str) -> dict[str, Any]:
    with torch.device("meta"):
        backbone: Any = create_backbone(model, num_classes=2, pretrained=False)
    return backbone.default_cfg


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Tell what timm cannot make of a folder as a ModelError."""
    try:
        yield
    except ModelError as error:
        raise ModelError("model", str(error)) from None
    except Exception as error:  # timm raises what reading the folder's config leads to
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ModelError("model", f"timm cannot make a network of {folder / CONFIG}: {problem}") from error


def _folder_of(model: str) -> Path | None:
    """The folder of a model, of one of the hub that of its copy in the cache; None for a name of timm's."""
    return _hub_file(model, CONFIG).parent if is_hub(model) else folder_of(model)


def _hub_weights(model: str) -> Path:
    """The weights of a repository in the cache, fetched if they are not there."""
    from huggingface_hub.errors import EntryNotFoundError

    safe, other = WEIGHTS
    try:
        return _hub_file(model, safe)
    except ModelError as error:
        if not isinstance(error.__cause__, EntryNotFoundError):
            raise
        return _hub_file(model, other)


@cache
def _hub_file(model: str, name: str) -> Path:
    """The copy of a file of a repository in the Hugging Face cache, fetched if need be; raises ModelError."""
    from huggingface_hub import hf_hub_download

    repository, _, revision = model.removeprefix(HUB).partition("@")
    try:
        return Path(hf_hub_download(repository, name, revision=revision or None))
    except Exception as error:  # of the network, of the hub, or for what is not there
        problem = " ".join(str(error).split())[:150]
        remedy = f"see the name and the network, or give a copy of its files as {LOCAL}PATH"
        raise ModelError("model", f"{name} cannot be had from the hub ({problem}); {remedy}") from error


def _check_timm_name(config: NetworkConfig) -> None:
    """Raise ModelError for an unknown model of timm's, or weights that timm lacks."""
    model = config.model
    if not timm.is_model(model):
        nearest = difflib.get_close_matches(model, timm.list_models(), n=1)
        meant = f"{HUB}{model} or {LOCAL}{model}" if "/" in model else nearest[0] if nearest else ""
        raise ModelError("model", f"timm has no such model{f'; did you mean {meant}?' if meant else ''}")
    if "." in model and model not in timm.list_pretrained(model):
        known = ", ".join(timm.list_pretrained(f"{model.split('.')[0]}.*"))
        raise ModelError("model", f"timm has no such weights; it has {known or 'none'} for this model")
    if config.pretrained and not timm.is_model_pretrained(model):
        having = {name.split(".")[0] for name in timm.list_pretrained()}
        nearest = difflib.get_close_matches(model, sorted(having), n=1, cutoff=0)[0]
        remedy = f"give weights of your own as checkpoint, or choose a model that has some, such as {nearest}"
        raise ModelError("pretrained", f"timm has no weights for {model}; {remedy}")
