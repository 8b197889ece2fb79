"""The layout of the store: one folder per product, whose files are written atomically.

    <storage>/teachers/<key>/  config.json journal.jsonl checkpoint-*.pt weights.safetensors outcomes-*.npz card.json
              signals/<key>/   manifest.json epoch-00001.npy …
              trials/<key>/    config.json journal.jsonl checkpoint-*.pt student.safetensors outcomes-*.npz result.json
                               stopped.json (of a trial stopped early, until it goes on)
              latency/<key>.json
              sweeps/<name>/   spec.yaml trials.json report/

The verdict (card.json, result.json) is written last and lists size and sha256 of the other files: if it exists and they
have these sizes, the product is complete. Weights have their sha256 also in a file beside them, for `sha256sum -c`. A
damaged file is as good as a missing one (`kd_core.store.files`): whoever finds that a listed file is damaged puts it
aside as NAME.damaged, so that the product is no longer complete and the next run makes it again. What an older version
has written without checksums is taken as it is if it can be read, except for its checkpoints. A storage is a local path
or any fsspec URL; local files are written by write, fsync and rename.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from upath import UPath

from kd_core.measure.outcomes import Outcomes, outcomes_from_bytes, outcomes_to_bytes
from kd_core.spec.keys import digest, file_sha256
from kd_core.store.files import (
    DamagedError,
    clear_orphans,
    damage_in,
    from_json,
    json_text,
    read_json,
    read_sealed,
    sizes_in,
    write_bytes,
    write_json,
    write_sealed,
)
from kd_core.store.lease import Lease
from kd_core.store.signal_record import SignalRecord

Status = Literal["finished", "stopped", "failed", "running", "damaged", "pending"]
SPLITS = ("validation", "test")
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
    def status(self) -> Status:
        """The status from the files: finished, stopped, failed, running (a fresh heartbeat), damaged or pending."""
        if self.verdict() is not None:
            return "finished"
        if self.failure() is not None:
            return "failed"
        if self.stop() is not None:
            return "stopped"
        if self.lease.taken:
            return "running"
        return "damaged" if self.damage() else "pending"

    @property
    def lease(self) -> Lease:
        """The lease of the process that works on this product."""
        return Lease(self.path / "heartbeat.json")

    def verdict(self) -> dict[str, Any] | None:
        """The final figures of a complete product; None if it, or a file that it lists, is missing or damaged."""
        verdict = self._written_verdict()
        return verdict if verdict is not None and not self._unlike(verdict) else None

    def _written_verdict(self) -> dict[str, Any] | None:
        return read_json(self.path / self.verdict_name)

    def _unlike(self, verdict: dict[str, Any]) -> str:
        """The first listed file that is missing or has another size; empty if there is none."""
        listed = verdict.get("files", {})
        sizes = sizes_in(self.path) if listed else {}
        return next((name for name, file in listed.items() if sizes.get(name) != file["size_bytes"]), "")

    def damage(self) -> str:
        """Why a product is no longer complete, in one line that names a file; empty if it is, or has never been."""
        if problem := damage_in(self.path / self.verdict_name):
            return problem
        name = self._unlike(self._written_verdict() or {})
        return f"{self.path / name}: is missing or was cut" if name else ""

    def check(self, *names: str) -> Iterator[str]:
        """The problem of each of these files that is damaged, in one line; it is put aside, for a run to make again."""
        verdict = self._written_verdict() or {}
        listed = {name: file["sha256"] for name, file in verdict.get("files", {}).items()}
        if not listed and "weights_sha256" in verdict:  # of an older version
            listed = {self.weights_name: verdict["weights_sha256"]}
        for name in names:
            path = self.path / name
            try:
                if name in listed:
                    found = file_sha256(path)
                    if found != listed[name]:
                        with suppress(OSError):  # a storage that is only to be read
                            path.rename(path.with_name(f"{name}.damaged"))
                        yield f"{path}: is damaged: its sha256 is {found} where {listed[name]} was written"
                elif "metrics" in verdict and "files" not in verdict and name.startswith("outcomes-"):
                    self.outcomes(name.removeprefix("outcomes-").removesuffix(".npz"))
            except FileNotFoundError:
                yield f"{path}: is missing"
            except (DamagedError, OSError) as error:
                yield str(error)

    def problems(self) -> list[str]:
        """Everything that is wrong with the files, one line each; this reads all of them, and puts aside as `check`."""
        found = [damage_in(self.path / name) for name in (self.verdict_name, "failure.json", "stopped.json")]
        verdict = self._written_verdict()
        if verdict is not None:
            listed = verdict.get("files") or dict.fromkeys([self.weights_name, *map(outcomes_name, SPLITS)])
            return [each for each in [*found, *self.check(*listed)] if each]
        found += [damage_in(self.path / "config.json"), self._journal()[2]]
        for path in self.checkpoints():
            with suppress(FileNotFoundError):
                try:
                    read_sealed(path)
                except DamagedError as error:
                    found.append(str(error))
        return [each for each in found if each]

    def failure(self) -> dict[str, Any] | None:
        """The error and traceback of a failed trial, or None."""
        return read_json(self.path / "failure.json")

    def stop(self) -> dict[str, Any] | None:
        """Why a sweep has stopped the trial early: {"sweep", "early_stopping", "objectives", "rung", "epoch", "reason",
        "time"}; None if none has, or it has gone on since.
        """
        return read_json(self.path / "stopped.json")

    def write_stop(self, stop: dict[str, Any]) -> None:
        """Write why the trial is stopped; running it again goes on from its last checkpoint."""
        write_json(self.path / "stopped.json", stop)

    def config(self) -> dict[str, Any] | None:
        """The trial's configuration as JSON, from its file or, if that is damaged, its verdict, or None."""
        config = read_json(self.path / "config.json")
        if config is None and (verdict := self._written_verdict()) is not None and "recipe" in verdict:
            config = verdict["recipe"] | {"threads": verdict.get("threads")}
        return config

    def journal(self) -> list[dict[str, Any]]:
        """The rows of the journal, one per epoch, in order; those before the first damaged one."""
        return self._journal()[1]

    def _journal(self) -> tuple[list[bytes], list[dict[str, Any]], str]:
        """Lines and rows before the first damaged one, and the problem of that one."""
        path, rows = self.path / "journal.jsonl", []
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return [], [], ""
        for line in lines:
            try:
                rows.append(from_json(line))
            except ValueError as error:
                return lines[: len(rows)], rows, f"{path}: line {len(rows) + 1} is damaged: {error}"
        return lines, rows, ""

    def begin(self, config: dict[str, Any]) -> None:
        """Write the config; remove an earlier failure or stop, damaged rows, and temporary files of killed workers."""
        clear_orphans(self.path)
        write_json(self.path / "config.json", config)
        lines, _, problem = self._journal()
        if problem:
            self._write_lines(lines)
        for name in ("failure.json", "stopped.json"):
            (self.path / name).unlink(missing_ok=True)

    def append(self, row: dict[str, Any]) -> None:
        """Append an epoch's row unless the journal has it; an epoch repeated after a kill gives the same row."""
        lines, rows, _ = self._journal()
        if not rows or row["epoch"] > rows[-1]["epoch"]:
            self._write_lines([*lines, json_text(row, indent=None).strip().encode()])

    def _write_lines(self, lines: list[bytes]) -> None:
        write_bytes(self.path / "journal.jsonl", b"".join(line + b"\n" for line in lines))

    def checkpoints(self) -> list[UPath]:
        """The files of states for exact resumption, the newest first; they are removed once the verdict is written."""
        return sorted(self.path.glob("checkpoint*.pt"), key=lambda path: path.name, reverse=True)

    def write_checkpoint(self, epoch: int, content: bytes) -> None:
        """Write the state after an epoch, and keep that of the checkpoint before, in case this one is damaged."""
        write_sealed(self.path / f"checkpoint-{epoch:09d}.pt", content)
        for path in self.checkpoints()[2:]:
            path.unlink(missing_ok=True)

    def write_weights(self, content: bytes) -> str:
        """Write the trained network and, in a file beside it, its sha256, which is returned."""
        sha256 = hashlib.sha256(content).hexdigest()
        write_bytes(self.weights, content)
        write_bytes(self._sha256_file, f"{sha256}  {self.weights_name}\n".encode())
        return sha256

    @property
    def _sha256_file(self) -> UPath:
        return self.path / f"{self.weights_name}.sha256"

    def has_weights(self) -> bool:
        """Whether the trained network is there and whole, by its verdict, or else by the file beside it."""
        with suppress(FileNotFoundError):
            said = (self._written_verdict() or {}).get("weights_sha256")
            said = said or self._sha256_file.read_bytes()[:64].decode(errors="replace")
            return file_sha256(self.weights) == said
        return False

    def outcomes(self, split: str, with_logits: bool = False) -> Outcomes:
        """The network's outcomes on every image of `validation` or `test`; raises DamagedError if they are no more."""
        path = self.path / outcomes_name(split)
        content = path.read_bytes()
        try:
            return outcomes_from_bytes(content, with_logits)
        except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds
            raise DamagedError(f"{path}: is damaged: {str(error) or type(error).__name__}") from error

    def finish(self, splits: dict[str, Outcomes], verdict: dict[str, Any]) -> None:
        """Write the outcomes of each split, then the verdict, then remove checkpoints and what was put aside.

        Temporary files go once more: a killed worker that was still ending when this one began has left its own.
        """
        for split, outcomes in splits.items():
            write_bytes(self.path / outcomes_name(split), outcomes_to_bytes(outcomes))
        sizes = sizes_in(self.path)
        parts = ["config.json", "journal.jsonl", self.weights_name, self._sha256_file.name, *map(outcomes_name, SPLITS)]
        files = {
            name: {"size_bytes": sizes[name], "sha256": file_sha256(self.path / name)}
            for name in parts
            if name in sizes
        }
        write_json(self.path / self.verdict_name, verdict | {"files": files})
        for path in [*self.checkpoints(), *self.path.glob("*.damaged")]:
            path.unlink(missing_ok=True)
        clear_orphans(self.path)

    def fail(self, error: str, traceback: str) -> None:
        """Write why the trial failed; running it again resumes from its last checkpoint."""
        write_json(self.path / "failure.json", {"error": error, "traceback": traceback, "time": time.time()})


def outcomes_name(split: str) -> str:
    """The name of the file of a network's outcomes on a split."""
    return f"outcomes-{split}.npz"


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
        """The content of trials.json: {"sweep", "objectives", "data", "teachers": [], "trials": [], "waiting": []}.

        data is a `kd_core.data.splits.DataSummary`; a teacher is {"name", "key"}; a trial {"key", "label", "arm",
        "teacher", "seed"}, with a readable label, and arm the label without its seed; waiting are trials without a
        key, whose teacher is not finished. Raises FileNotFoundError if no such sweep was run.
        """
        path = self.path / "trials.json"
        members = read_json(path)
        if members is None:
            problem = damage_in(path)
            absent = f"no sweep named {self.name} in {self.path.parent.parent}"
            raise FileNotFoundError(f"{problem}; run its spec again to write it anew" if problem else absent)
        return members

    def spec_yaml(self) -> str:
        """The resolved spec; raises FileNotFoundError, and DamagedError if it is not what was written."""
        path = self.path / "spec.yaml"
        first, _, text = path.read_bytes().decode(errors="replace").partition("\n")
        if first == _sha256_comment(text):
            return text
        if first.startswith("name:") and "\ufffd" not in text:  # of an older version
            return f"{first}\n{text}"
        raise DamagedError(f"{path}: is damaged: its checksum is another; run its spec again to write it anew")

    def problems(self) -> list[str]:
        """What is wrong with its spec, one line each."""
        try:
            self.spec_yaml()
        except FileNotFoundError:
            return [f"{self.path / 'spec.yaml'}: is missing; run its spec again to write it anew"]
        except DamagedError as error:
            return [str(error)]
        return []

    def write(self, spec_yaml: str, members: dict[str, Any]) -> None:
        """Write the resolved spec, under a comment with its sha256, and the list of its products."""
        write_bytes(self.path / "spec.yaml", f"{_sha256_comment(spec_yaml)}\n{spec_yaml}".encode())
        write_json(self.path / "trials.json", members)


def _sha256_comment(text: str) -> str:
    return f"# sha256: {hashlib.sha256(text.encode()).hexdigest()}"


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

    def latencies(self) -> list[dict[str, Any]]:
        """Every measured latency (`kd_core.latency`) that is whole, in the order of their keys."""
        return [latency for path in self.latency_files() if (latency := read_json(path)) is not None]

    def latency_files(self) -> list[UPath]:
        """The file of every measured latency."""
        folder = self.root / "latency"
        return sorted(folder.glob("*.json")) if folder.exists() else []

    def keep_latency(self, latency: dict[str, Any]) -> None:
        """Write one measured latency; its key is that of its form and device."""
        write_json(self.root / "latency" / f"{digest([latency['form'], latency['device']])}.json", latency)

    def sweep(self, name: str) -> SweepRecord:
        """The record of one sweep; raises ValueError unless its name is a plain file name."""
        if not SAFE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no sweep name; use letters, digits, dots, dashes and underscores")
        return SweepRecord(self.root / "sweeps" / name)

    def sweeps(self) -> Iterable[SweepRecord]:
        """Every sweep of the store, by name."""
        folder = self.root / "sweeps"
        return [SweepRecord(path) for path in sorted(folder.iterdir())] if folder.exists() else []
