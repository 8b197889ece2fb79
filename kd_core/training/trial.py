"""Runs one trial from its config to its product: train or resume, evaluate once, write the manifest."""

import io
import platform
import time
import traceback
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch

from kd_core.config.errors import DamagedError
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset
from kd_core.evaluate.evaluation import evaluate
from kd_core.evaluate.latency import processor_name
from kd_core.measure.predictions import Predictions, summary_of
from kd_core.measure.scaling import has_optimum
from kd_core.networks.models import Network, build_student, num_parameters
from kd_core.networks.weights import load_weights, weights_bytes
from kd_core.store.files import read_sealed
from kd_core.store.manifest import MadeFrom, TrialResult
from kd_core.store.product import Product, State
from kd_core.store.writer import ProductWriter
from kd_core.teachers.signal import TeacherSignal
from kd_core.training.loop import EpochResult, initial_student, train

WAIT_S = 0.5
CHECKPOINT_INTERVAL_S = 5.0  # a killed trial repeats at most about this much work, or its last epoch


def run_trial(
    config: TrialConfig,
    dataset: Dataset,
    product: Product,
    *,
    signal: TeacherSignal | None = None,
    device: torch.device | str = "cpu",
    num_threads: int | None = None,
    identity: Mapping[str, Any] | None = None,
    made_from: MadeFrom | None = None,
    rungs: Collection[int] = (),
) -> Iterator[EpochResult]:
    """Train a trial until its product is finished and yield every epoch; a finished product yields nothing.

    If another process works on the same product, for example in another sweep, this waits, and takes over if it dies.
    After a kill, the next run resumes from the last whole checkpoint, or evaluates the weights if they are there, and
    ends with the same result; so does one after the generator was closed, which writes a checkpoint. An error is
    written to the product before it is raised. The number of threads, by default torch's, can change the last bits, so
    a product that was begun goes on with the number that it began with. One that was made from other weights of the
    teachers than made_from says (`kd_core.store.manifest.made_from_weights`), if it is given, is made again. The
    manifest keeps made_from and the identity (`kd_core.config.identity.trial_identity`), which the product's key
    digests. rungs are epochs that need validation figures (`train`).
    """
    while not product.lease.take():
        state = product.state()
        if state.is_finished(state.made_from if made_from is None else made_from):
            return
        time.sleep(WAIT_S)
    state = product.state()
    made_from = state.made_from if made_from is None else made_from
    if state.is_finished(made_from):
        product.lease.release()
        return
    threads = state.begun.threads if state.begun else None
    torch.set_num_threads(threads or num_threads or torch.get_num_threads())
    try:
        with product.lease.held():
            recipe = config.model_dump(mode="json")
            writer = ProductWriter(product, recipe, torch.get_num_threads(), made_from, state)
            network = yield from _trained(config, dataset, writer, state, signal, device, rungs)
            _finish(network, config, dataset, writer, identity or {})
    except Exception as error:
        product.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
        raise


def _trained(
    config: TrialConfig,
    dataset: Dataset,
    writer: ProductWriter,
    state: State,
    signal: TeacherSignal | None,
    device: torch.device | str,
    rungs: Collection[int],
) -> Generator[EpochResult, None, Network]:
    """Yield the epochs that are left, and return the network; weights that are whole stay as they are.

    These need no epoch, unless the journal was damaged, which is then made again.
    """
    whole = _whole_network(config, dataset, state, device)
    if whole is not None and writer.journal.num_epochs >= config.train.num_epochs:
        return whole
    checkpoint = _load_checkpoint(writer)
    network, saved = None, time.monotonic()
    for result in train(config, dataset, signal, device=device, checkpoint=checkpoint, rungs=rungs):
        writer.append({"epoch": result.epoch, "time": time.time(), **result.figures})
        if time.monotonic() - saved > CHECKPOINT_INTERVAL_S:
            _save_checkpoint(writer, result)
            saved = time.monotonic()
        network = result.network
        try:
            yield result
        except GeneratorExit:  # stopped here, for another run to go on from
            _save_checkpoint(writer, result)
            raise
    return whole or network or initial_student(config, dataset.num_classes, checkpoint, dataset.class_names).to(device)


def _finish(
    network: Network,
    config: TrialConfig,
    dataset: Dataset,
    writer: ProductWriter,
    identity: Mapping[str, Any],
) -> None:
    """Evaluate, reading the test split once, and write weights, predictions and manifest in that order."""
    started = time.perf_counter()
    splits = evaluate(network, dataset, not config.has_logit_scale)
    writer.write_weights(weights_bytes(network))
    evaluation_s = time.perf_counter() - started
    result = TrialResult(
        metrics=summary_of(splits),
        temperature=splits["test"].temperature,
        temperature_has_optimum=_has_optimum(splits["validation"]),
        epochs=config.train.num_epochs,
        num_parameters=num_parameters(network),
        wall_s=evaluation_s + sum(row["epoch_s"] for row in writer.journal.epochs),
    )
    writer.finish(splits, result, identity, {"node": platform.node(), "device": _device_name(network)})


def _has_optimum(validation: Predictions) -> bool:
    """Whether the validation images alone determine the temperature."""
    assert validation.logits is not None
    return has_optimum(validation.logits, validation.label)


def _device_name(network: Network) -> str:
    """The name of the GPU or CPU that a network is on."""
    device = next(network.parameters()).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def _whole_network(config: TrialConfig, dataset: Dataset, state: State, device: torch.device | str) -> Network | None:
    """The network of a trial whose weights are whole, though its manifest or another file is not; else None."""
    if not state.has_weights():
        return None
    network = build_student(config.student.untrained, dataset.num_classes)
    load_weights(network, state.product.weights)
    return network.to(device)


def _save_checkpoint(writer: ProductWriter, result: EpochResult) -> None:
    buffer = io.BytesIO()
    torch.save(result.checkpoint(), buffer)
    writer.write_checkpoint(result.epoch, buffer.getvalue())


def _load_checkpoint(writer: ProductWriter) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, with no more epochs than the journal; None if there is none.

    A damaged one is removed, for the next to take its place, and so is one that knows epochs the journal has lost.
    """
    for path in writer.checkpoints:
        with suppress(DamagedError, FileNotFoundError):
            checkpoint = torch.load(io.BytesIO(read_sealed(path)), map_location="cpu", weights_only=True)
            if checkpoint["epoch"] <= writer.journal.num_epochs:
                return checkpoint
        writer.remove(path.name)
    return None
