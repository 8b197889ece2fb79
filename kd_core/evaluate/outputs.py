"""Runs models on sets of inputs: every model once on each, however many evaluators read what it said."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from kd_core.evaluate.inputs import Inputs
from kd_core.networks.execution import for_inference
from kd_core.networks.models import Network
from kd_core.reliability.evaluator import Outputs

_BATCH, _AXIS = 250, "axis/"


@torch.inference_mode()
def outputs_of(networks: Sequence[Network], inputs: Inputs, batch_size: int = _BATCH) -> list[dict[str, np.ndarray]]:
    """What each network says of a set of inputs, whose images are made once, as arrays by name.

    logits are [*axes, N, K], float32 of a set without axes and float16 of others; labels are those of the set, and
    axis/NAME the values of each axis; features float32 [N, D], the input of the last layer, are there if the set asks
    for them and the network has such a layer. The networks stay in their inference form.
    """
    logits: list[list[np.ndarray]] = [[] for _ in networks]
    features: list[list[np.ndarray]] = [[] for _ in networks]
    for network in networks:
        for_inference(network, "float32")
    for images in inputs.images(batch_size):
        pixels = images if images.dtype == torch.float32 else images.permute(0, 3, 1, 2).float() / 255
        for network, said, seen in zip(networks, logits, features, strict=True):
            with _watched(network, seen if inputs.with_features else None):
                said.append(network(pixels.to(next(network.parameters()).device)).float().cpu().numpy())
    return [_arrays(inputs, *each) for each in zip(logits, features, strict=True)]


def _arrays(inputs: Inputs, logits: list[np.ndarray], features: list[np.ndarray]) -> dict[str, np.ndarray]:
    said = np.concatenate(logits)
    said = said.reshape(*inputs.shape, said.shape[-1])
    arrays = {"logits": said.astype(np.float16) if inputs.axes else said, "labels": inputs.labels}
    arrays |= {f"{_AXIS}{name}": np.array(values) for name, values in inputs.axes.items()}
    return arrays | ({"features": np.concatenate(features)} if features else {})


def outputs_from(arrays: Mapping[str, np.ndarray]) -> Outputs:
    """The outputs that these arrays of `outputs_of` hold."""
    axes = {name.removeprefix(_AXIS): tuple(each.tolist()) for name, each in arrays.items() if name.startswith(_AXIS)}
    return Outputs(arrays["logits"].astype(np.float32), arrays["labels"], axes, arrays.get("features"))


@contextmanager
def _watched(network: Network, seen: list[np.ndarray] | None) -> Iterator[None]:
    """Append the input of the network's last layer, flattened to [b, D], to a list whenever it runs."""
    layer = network.classifier
    layer = layer[-1] if isinstance(layer, nn.Sequential) else layer
    if seen is None or not isinstance(layer, nn.Linear | nn.Conv2d):
        yield
        return
    handle = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten(1).float().cpu().numpy()))
    try:
        yield
    finally:
        handle.remove()
