"""Runs one trial from its config to its record: train or resume, evaluate once, write the verdict."""

import io
import time
import traceback
from collections.abc import Iterator
from typing import Any

import torch

from kd_core.data.dataset import Dataset
from kd_core.evaluation import evaluate
from kd_core.measure.outcomes import summary_of
from kd_core.networks.models import Network, num_parameters, weights_bytes
from kd_core.signal import TeacherSignal
from kd_core.spec.config import TrialConfig
from kd_core.spec.keys import file_sha256
from kd_core.store.files import write_bytes
from kd_core.store.records import Record
from kd_core.training import EpochResult, initial_student, train

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
) -> Iterator[EpochResult]:
    """Train a trial until its record is finished and yield every epoch; a finished record yields nothing.

    If another process works on the same record, for example in another sweep, this waits, and takes over if it dies.
    After a kill, the next run resumes from the last checkpoint and ends with the same result. An error is written to
    the record before it is raised.
    """
    while record.verdict() is None and record.lease.in_other_hands:
        time.sleep(WAIT_S)
    if record.verdict() is not None:
        return
    record.begin(config.model_dump(mode="json"))
    try:
        with record.lease.held():
            checkpoint = _load_checkpoint(record)
            network, saved = None, time.monotonic()
            epochs = train(config, dataset, signal, device=device, checkpoint=checkpoint, num_workers=num_workers)
            for result in epochs:
                record.append({"epoch": result.epoch, "time": time.time(), **result.figures})
                if time.monotonic() - saved > CHECKPOINT_INTERVAL_S:
                    _save_checkpoint(record, result.checkpoint())
                    saved = time.monotonic()
                network = result.network
                yield result
            network = network or _restored(config, dataset, checkpoint, device)
            _finish(network, config, dataset, record, num_workers)
    except Exception as error:
        record.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
        raise


def _finish(network: Network, config: TrialConfig, dataset: Dataset, record: Record, num_workers: int) -> None:
    """Evaluate, reading the test split once, and write weights, outcomes and verdict in that order."""
    started = time.perf_counter()
    splits = evaluate(network, dataset, not config.has_logit_scale, num_workers)
    write_bytes(record.weights, weights_bytes(network))
    evaluation_s = time.perf_counter() - started
    verdict = {
        "metrics": summary_of(splits),
        "temperature": splits["test"].temperature,
        "epochs": config.train.num_epochs,
        "num_parameters": num_parameters(network),
        "weights_sha256": file_sha256(record.weights),
        "wall_s": evaluation_s + sum(row["epoch_s"] for row in record.journal()),
        "finished_at": time.time(),
        "recipe": config.model_dump(mode="json"),
        "versions": {"torch": str(torch.__version__)},
    }
    record.finish(splits, verdict)


def _restored(config: TrialConfig, dataset: Dataset, checkpoint: dict[str, Any] | None, device: Any) -> Network:
    """The network of a trial that has no epoch left to train."""
    network = initial_student(config, dataset.num_classes)
    if checkpoint is not None:
        network.load_state_dict(checkpoint["network"])
    return network.to(device)


def _save_checkpoint(record: Record, checkpoint: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_bytes(record.checkpoint, buffer.getvalue())


def _load_checkpoint(record: Record) -> dict[str, Any] | None:
    try:
        content = record.checkpoint.read_bytes()
    except FileNotFoundError:
        return None
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
