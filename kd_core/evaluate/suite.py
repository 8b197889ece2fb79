"""The reliability suite on the models of a store: outputs of each model on each set, and figures from these."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import torch

from kd_core.config.errors import KdSweepsError
from kd_core.config.evaluation import EvaluateConfig
from kd_core.evaluate.evaluated import EvaluatedModel, FusedModel, Question
from kd_core.evaluate.inputs import Inputs
from kd_core.evaluate.latency import processor_name
from kd_core.evaluate.outputs import outputs_from, outputs_of
from kd_core.measure.fusion import fused_log_probabilities
from kd_core.methods.fusion import FusionRule
from kd_core.networks.models import Network, build_network
from kd_core.networks.weights import load_weights
from kd_core.reliability.evaluator import Model, Outputs


def make_outputs(inputs: Inputs, models: Sequence[EvaluatedModel], device: str = "cpu") -> None:
    """Run those models on a set whose outputs of it are missing and in no other hands; its images are made once.

    Those that cannot be loaded are left out, and the first error is raised when the others are done.
    """
    networks, jobs, errors = [], [], []
    with ExitStack() as leases:
        for model in models:
            job = model.outputs[inputs.name]
            if job.done or not job.record.lease.take():
                continue
            leases.enter_context(job.record.lease.held())
            try:
                networks.append(loaded(model).to(device))
                jobs.append(job)
            except (KdSweepsError, ValueError, OSError) as error:
                errors.append(error)
        made = outputs_of(networks, inputs) if networks else []
        for job, arrays in zip(jobs, made, strict=True):
            job.record.write(job.identity, arrays, {}, _machine(device))
    if errors:
        raise errors[0]


def answer(question: Question, config: EvaluateConfig, class_names: tuple[str, ...]) -> None:
    """Write the figures of an evaluator, unless they are there or in other hands; raises DamagedError as `model_of`."""
    evaluator, record = question.evaluator, question.job.record
    if question.job.done or not record.lease.take():
        return
    with record.lease.held():
        model = model_of(question.model, evaluator.inputs, class_names)
        teacher = question.teacher and model_of(question.teacher, evaluator.inputs, class_names)
        figures = dict(evaluator.evaluate(model, teacher, config))
        metrics = {name: float(value) for name, value in figures.items() if np.ndim(value) == 0 and np.isfinite(value)}
        arrays = {name: np.asarray(value) for name, value in figures.items() if np.ndim(value)}
        record.write(question.job.identity, arrays, metrics, _machine("cpu"))


def loaded(model: EvaluatedModel) -> Network:
    """The network with its weights; raises ModelError, or ValueError if they are damaged."""
    for problem in model.product.check(model.product.weights.name):
        raise ValueError(f"{problem}; run the sweep again to make it")
    with torch.random.fork_rng(devices=[]):
        network = build_network(model.network, model.num_classes)
    load_weights(network, model.product.weights)
    return network


def model_of(model: EvaluatedModel | FusedModel, sets: Iterable[str], class_names: tuple[str, ...]) -> Model:
    """What a model said of these sets; raises FileNotFoundError or DamagedError for outputs that must be made.

    A fused teacher says the logarithm of its mean probabilities, at T = 1.
    """
    if isinstance(model, FusedModel):
        sets = list(sets)
        members = [model_of(each, sets, class_names) for each in model.networks]
        return Model({name: _fused(members, name, model.rule) for name in sets}, 1.0, class_names)
    said = {name: outputs_from(model.outputs[name].record.arrays()) for name in sets}
    return Model(said, model.temperature, class_names)


def _fused(members: Sequence[Model], name: str, rule: FusionRule) -> Outputs:
    """What a fused teacher says of one set, by what its members said."""
    first = members[0].outputs[name]
    logits = np.stack([each.outputs[name].logits for each in members])
    rows = fused_log_probabilities(logits.reshape(len(members), -1, logits.shape[-1]), rule)
    return replace(first, logits=rows.reshape(logits.shape[1:]).astype(np.float32), features=None)


def _machine(device: str) -> dict[str, str]:
    name = torch.cuda.get_device_name() if device == "cuda" else processor_name()
    return {"node": platform.node(), "device": name}
