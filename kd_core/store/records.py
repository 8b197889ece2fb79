"""The layout of the store: one folder per product, whose files are written atomically.

    <storage>/teachers/<key>/  config.json journal.jsonl checkpoint.pt weights.safetensors outcomes-*.npz card.json
              signals/<key>/   manifest.json epoch-00001.npy …
              trials/<key>/    config.json journal.jsonl checkpoint.pt student.safetensors outcomes-*.npz result.json
              sweeps/<name>/   spec.yaml trials.json report/

The verdict (card.json, result.json) is written last: if it exists, the product is complete. A storage is a local path
or any fsspec URL; local files are written by write, fsync and rename.
"""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from upath import UPath

from kd_core.measure.outcomes import Outcomes, outcomes_from_bytes, outcomes_to_bytes
from kd_core.store.files import clear_orphans, read_json, write_bytes, write_json
from kd_core.store.lease import Lease
from kd_core.store.signal_record import SignalRecord

Status = Literal["finished", "stopped", "failed", "running", "pending"]
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Record:
    """The folder of one trained network: a trial or a teacher, which differ in two file names."""

    path: UPath
    weights_name: str = "student.safetensors"
    verdict_name: str = "result.json"

    @property
    def key(self) -> str:
        """The product's key, which is its folder's name."""
        return self.path.name

    @property
    def weights(self) -> UPath:
        """The safetensors file of the trained network."""
        return self.path / self.weights_name

    @property
    def checkpoint(self) -> UPath:
        """The state for exact resumption; removed once the verdict is written."""
        return self.path / "checkpoint.pt"

    @property
    def status(self) -> Status:
        """The status from the files: finished, stopped, failed, running (a fresh heartbeat) or pending."""
        if (verdict := self.verdict()) is not None:
            return "stopped" if verdict.get("stopped") else "finished"
        if (self.path / "failure.json").exists():
            return "failed"
        return "running" if self.lease.taken else "pending"

    @property
    def lease(self) -> Lease:
        """The lease of the process that works on this product."""
        return Lease(self.path / "heartbeat.json")

    def verdict(self) -> dict[str, Any] | None:
        """The final figures of a complete product, or None."""
        return read_json(self.path / self.verdict_name)

    def failure(self) -> dict[str, Any] | None:
        """The error and traceback of a failed trial, or None."""
        return read_json(self.path / "failure.json")

    def config(self) -> dict[str, Any] | None:
        """The trial's configuration as JSON, or None before it started."""
        return read_json(self.path / "config.json")

    def journal(self) -> list[dict[str, Any]]:
        """The rows of the journal, one per epoch, in order."""
        try:
            return [json.loads(line) for line in (self.path / "journal.jsonl").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def begin(self, config: dict[str, Any]) -> None:
        """Write the config; remove an earlier failure and the temporary files of killed workers."""
        clear_orphans(self.path)
        write_json(self.path / "config.json", config)
        (self.path / "failure.json").unlink(missing_ok=True)

    def append(self, row: dict[str, Any]) -> None:
        """Append an epoch's row unless the journal has it; an epoch repeated after a kill gives the same row."""
        rows = self.journal()
        if rows and row["epoch"] <= rows[-1]["epoch"]:
            return
        text = "".join(json.dumps(each, allow_nan=False) + "\n" for each in [*rows, row])
        write_bytes(self.path / "journal.jsonl", text.encode())

    def outcomes(self, split: str, with_logits: bool = False) -> Outcomes:
        """The network's outcomes on every image of `validation` or `test`."""
        return outcomes_from_bytes((self.path / f"outcomes-{split}.npz").read_bytes(), with_logits)

    def finish(self, splits: dict[str, Outcomes], verdict: dict[str, Any]) -> None:
        """Write the outcomes of each split, then the verdict, then remove the checkpoint."""
        for split, outcomes in splits.items():
            write_bytes(self.path / f"outcomes-{split}.npz", outcomes_to_bytes(outcomes))
        write_json(self.path / self.verdict_name, verdict)
        self.checkpoint.unlink(missing_ok=True)

    def fail(self, error: str, traceback: str) -> None:
        """Write why the trial failed; running it again resumes from its last checkpoint."""
        write_json(self.path / "failure.json", {"error": error, "traceback": traceback, "time": time.time()})


@dataclass(frozen=True)
class SweepRecord:
    """The folder of one sweep: its spec, the list of its trials and its report."""

    path: UPath

    @property
    def name(self) -> str:
        """The sweep's name, which is its folder's name."""
        return self.path.name

    @property
    def report(self) -> UPath:
        """The folder of report.html, of the front as .csv, .json and .svg, and of inputs.json."""
        return self.path / "report"

    def members(self) -> dict[str, Any]:
        """The content of trials.json: {"sweep", "objectives", "teachers": [...], "trials": [...], "waiting": [...]}.

        A teacher is {"name", "key"}; a trial {"key", "label", "arm", "teacher", "seed"}, with a readable label, and arm
        the label without its seed; waiting are the labels of trials without a key, whose teacher is not finished.
        Raises FileNotFoundError if no such sweep was run.
        """
        members = read_json(self.path / "trials.json")
        if members is None:
            raise FileNotFoundError(f"no sweep named {self.name} in {self.path.parent.parent}")
        return members

    def write(self, spec_yaml: str, members: dict[str, Any]) -> None:
        """Write the resolved spec and the list of its products."""
        write_bytes(self.path / "spec.yaml", spec_yaml.encode())
        write_json(self.path / "trials.json", members)


@dataclass(frozen=True)
class Store:
    """Everything under one storage path or URL."""

    root: UPath

    @classmethod
    def at(cls, storage: str | Path | UPath) -> "Store":
        """The store at a local path (made absolute, so that every worker sees the same) or an fsspec URL."""
        path = UPath(storage)
        if path.protocol == "file":
            path = UPath(path.path)
        if isinstance(path, Path):
            return cls(UPath(path.absolute()))
        return cls(UPath(path, use_listings_cache=False))  # always list what other processes have written

    @property
    def local(self) -> Path | None:
        """The store's folder on this machine's file system, or None when it is remote."""
        return Path(self.root) if isinstance(self.root, Path) else None

    def teacher(self, key: str) -> Record:
        """The record of one teacher."""
        return Record(self.root / "teachers" / key, weights_name="weights.safetensors", verdict_name="card.json")

    def trial(self, key: str) -> Record:
        """The record of one trial."""
        return Record(self.root / "trials" / key)

    def signal(self, key: str) -> SignalRecord:
        """The record of one teacher signal."""
        return SignalRecord(self.root / "signals" / key)

    def signals(self) -> list[SignalRecord]:
        """Every stored teacher signal."""
        folder = self.root / "signals"
        return [SignalRecord(path) for path in sorted(folder.iterdir())] if folder.exists() else []

    def sweep(self, name: str) -> SweepRecord:
        """The record of one sweep; raises ValueError unless its name is a plain file name."""
        if not SAFE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no sweep name; use letters, digits, dots, dashes and underscores")
        return SweepRecord(self.root / "sweeps" / name)

    def sweeps(self) -> Iterable[SweepRecord]:
        """Every sweep of the store, by name."""
        folder = self.root / "sweeps"
        return [SweepRecord(path) for path in sorted(folder.iterdir())] if folder.exists() else []
