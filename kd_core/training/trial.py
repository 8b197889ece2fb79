"""Runs one trial from its config to its record: train or resume, evaluate once, write the verdict."""

import io
import platform
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch

from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset
from kd_core.evaluate.evaluation import evaluate
from kd_core.evaluate.latency import processor_name
from kd_core.measure.outcomes import Outcomes, summary_of
from kd_core.measure.scaling import has_optimum
from kd_core.networks.models import Network, build_student, load_weights, num_parameters, weights_bytes
from kd_core.store.files import DamagedError, read_sealed
from kd_core.store.record import MadeFrom, Record
from kd_core.store.versions import versions
from kd_core.teachers.signal import TeacherSignal
from kd_core.training.loop import EpochResult, initial_student, train

WAIT_S = 0.5
CHECKPOINT_INTERVAL_S = 5.0  # a killed trial repeats at most about this much work, or its last epoch


def run_trial(
    config: TrialConfig,
    dataset: Dataset,
    record: Record,
    *,
    signal: TeacherSignal | None = None,
    device: torch.device | str = "cpu",
    num_workers: int = 0,
    num_threads: int | None = None,
    identity: Mapping[str, Any] | None = None,
    made_from: MadeFrom | None = None,
) -> Iterator[EpochResult]:
    """Train a trial until its record is finished and yield every epoch; a finished record yields nothing.

    If another process works on the same record, for example in another sweep, this waits, and takes over if it dies.
    After a kill, the next run resumes from the last whole checkpoint, or evaluates the weights if they are there, and
    ends with the same result; so does one after the generator was closed, which writes a checkpoint. An error is
    written to the record before it is raised. The number of threads, by default torch's, can change the last bits, so a
    record that was begun goes on with the number that it began with. A record that was made from other weights of the
    teacher than made_from ({"teacher": their sha256}) says, if it is given, is made again. The verdict keeps made_from
    and the identity (`kd_core.config.identity.trial_identity`), which the record's key digests.
    """
    if made_from is None:
        made_from = dict(record.begun().get("made_from", {}))
    while not record.is_finished(made_from) and not record.lease.take():
        time.sleep(WAIT_S)
    if record.is_finished(made_from):
        if not record.lease.in_other_hands:
            record.lease.path.unlink(missing_ok=True)  # taken just after another process had finished
        return
    torch.set_num_threads(record.begun().get("threads") or num_threads or torch.get_num_threads())
    record.begin(config.model_dump(mode="json"), torch.get_num_threads(), made_from)
    try:
        with record.lease.held():
            trained = _trained(config, dataset, record, device)
            if trained is None or record.num_epochs < config.train.num_epochs:  # also to make a damaged journal again
                checkpoint = _load_checkpoint(record)
                network, saved = None, time.monotonic()
                epochs = train(config, dataset, signal, device=device, checkpoint=checkpoint, num_workers=num_workers)
                for result in epochs:
                    record.append({"epoch": result.epoch, "time": time.time(), **result.figures})
                    if time.monotonic() - saved > CHECKPOINT_INTERVAL_S:
                        _save_checkpoint(record, result)
                        saved = time.monotonic()
                    network = result.network
                    try:
                        yield result
                    except GeneratorExit:  # stopped here, for another run to go on from
                        _save_checkpoint(record, result)
                        raise
                trained = trained or network or initial_student(config, dataset.num_classes, checkpoint).to(device)
            origin = {"identity": dict(identity or {}), "made_from": made_from}
            _finish(trained, config, dataset, record, num_workers, origin)
    except Exception as error:
        record.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
        raise


def _finish(
    network: Network, config: TrialConfig, dataset: Dataset, record: Record, num_workers: int, origin: dict[str, Any]
) -> None:
    """Evaluate, reading the test split once, and write weights, outcomes and verdict in that order."""
    started = time.perf_counter()
    splits = evaluate(network, dataset, not config.has_logit_scale, num_workers)
    weights_sha256 = record.write_weights(weights_bytes(network))
    evaluation_s = time.perf_counter() - started
    verdict = {
        "metrics": summary_of(splits),
        "temperature": splits["test"].temperature,
        "temperature_has_optimum": _has_optimum(splits["validation"]),
        "epochs": config.train.num_epochs,
        "num_parameters": num_parameters(network),
        "weights_sha256": weights_sha256,
        "wall_s": evaluation_s + sum(row["epoch_s"] for row in record.journal()),
        "finished_at": time.time(),
        "recipe": config.model_dump(mode="json"),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "machine": {"node": platform.node(), "device": _device_name(network)},
    }
    record.finish(splits, origin | verdict)


def _has_optimum(validation: Outcomes) -> bool:
    """Whether the validation images alone determine the temperature."""
    assert validation.logits is not None
    return has_optimum(validation.logits, validation.label)


def _device_name(network: Network) -> str:
    """The name of the GPU or CPU that a network is on."""
    device = next(network.parameters()).device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def _trained(config: TrialConfig, dataset: Dataset, record: Record, device: Any) -> Network | None:
    """The network of a trial whose weights are whole, though its verdict or another file is not; else None."""
    if not record.has_weights():
        return None
    network = build_student(config.student.untrained, dataset.num_classes)
    load_weights(network, record.weights)
    return network.to(device)


def _save_checkpoint(record: Record, result: EpochResult) -> None:
    buffer = io.BytesIO()
    torch.save(result.checkpoint(), buffer)
    record.write_checkpoint(result.epoch, buffer.getvalue())


def _load_checkpoint(record: Record) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, with no more epochs than the journal; None if there is none.

    A damaged one is removed, for the next to take its place, and so is one that knows epochs the journal has lost.
    """
    for path in record.checkpoints():
        with suppress(DamagedError, FileNotFoundError):
            checkpoint = torch.load(io.BytesIO(read_sealed(path)), map_location="cpu", weights_only=True)
            if checkpoint["epoch"] <= record.num_epochs:
                return checkpoint
        path.unlink(missing_ok=True)
    return None
