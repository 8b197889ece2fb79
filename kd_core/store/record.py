"""The record of one trained network: the files of a trial or a teacher (`kd_core.store.records` lays out the store).

The verdict (card.json, result.json) is written last and lists size and sha256 of the other files: if it exists and they
have these sizes, the product is complete. Weights have their sha256 also in a file beside them, for `sha256sum -c`. A
damaged file is as good as a missing one (`kd_core.store.files`): whoever finds that a listed file is damaged puts it
aside as NAME.damaged, so that the product is no longer complete and the next run makes it again. What an older version
has written without checksums is taken as it is if it can be read, except for its checkpoints.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from upath import UPath

from kd_core.config.identity import file_sha256
from kd_core.store.files import (
    DamagedError,
    clear_orphans,
    damage_in,
    from_json,
    json_text,
    read_bytes,
    read_json,
    read_sealed,
    sizes_in,
    write_bytes,
    write_json,
    write_sealed,
)
from kd_core.store.lease import Lease

if TYPE_CHECKING:
    from kd_core.measure.outcomes import Outcomes

Status = Literal["finished", "stopped", "failed", "running", "stale", "damaged", "pending"]
MadeFrom = dict[str, str]  # the hashes of the products that a product is made from: {"teacher": of its weights}, or {}
DONE = ("finished", "stopped")
SPLITS = ("validation", "test")


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
        return "finished" if self.verdict() is not None else self.unfinished_status(sizes_in(self.path))

    def unfinished_status(self, sizes: Mapping[str, int]) -> Status:
        """The status of a product that is not finished, reading no file but those that its folder has by `sizes_in`."""
        if "failure.json" in sizes and self.failure() is not None:
            return "failed"
        if "stopped.json" in sizes and self.stop() is not None:
            return "stopped"
        if "heartbeat.json" in sizes and self.lease.taken:
            return "running"
        return "damaged" if self.verdict_name in sizes and self.damage() else "pending"

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
        if not sizes_in(self.path):
            return []
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

    def begun(self) -> dict[str, Any]:
        """What the product was begun with: {"recipe", "threads", "made_from"}; empty if it was not begun.

        It is in a file, or, if that is damaged, in the verdict.
        """
        begun = read_json(self.path / "config.json") or self._written_verdict() or {}
        return {name: begun[name] for name in ("recipe", "threads", "made_from") if name in begun}

    def config(self) -> dict[str, Any] | None:
        """The trial's configuration as JSON, or None."""
        return self.begun().get("recipe")

    def journal(self) -> list[dict[str, Any]]:
        """The rows of the journal, one per epoch, in order; those before the first damaged one."""
        return self._journal()[1]

    @property
    def num_epochs(self) -> int:
        """The number of epochs that the journal has."""
        journal = self.journal()
        return journal[-1]["epoch"] if journal else 0

    def _journal(self) -> tuple[list[bytes], list[dict[str, Any]], str]:
        """Lines and rows before the first damaged one, and the problem of that one."""
        path, rows = self.path / "journal.jsonl", []
        try:
            lines = read_bytes(path).splitlines()
        except FileNotFoundError:
            return [], [], ""
        for line in lines:
            try:
                rows.append(from_json(line))
            except ValueError as error:
                return lines[: len(rows)], rows, f"{path}: line {len(rows) + 1} is damaged: {error}"
        return lines, rows, ""

    def is_finished(self, made_from: MadeFrom) -> bool:
        """Whether the product is complete, and made from these."""
        verdict = self.verdict()
        return verdict is not None and verdict.get("made_from", {}) == made_from

    def begin(self, config: dict[str, Any], threads: int | None = None, made_from: MadeFrom | None = None) -> None:
        """Write the config; remove an earlier failure or stop, damaged rows, and temporary files of killed workers.

        What was made from other products is removed as well.
        """
        clear_orphans(self.path)
        made_from = made_from or {}
        if self.begun().get("made_from", made_from) != made_from:
            self._clear()
        write_json(self.path / "config.json", {"recipe": config, "threads": threads, "made_from": made_from})
        lines, _, problem = self._journal()
        if problem:
            self._write_lines(lines)
        for name in ("failure.json", "stopped.json"):
            (self.path / name).unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove all but the lease, the verdict first."""
        for name in sorted(sizes_in(self.path).keys() - {"heartbeat.json"}, key=self.verdict_name.__ne__):
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
            said = said or read_bytes(self._sha256_file)[:64].decode(errors="replace")
            return file_sha256(self.weights) == said
        return False

    def outcomes(self, split: str, with_logits: bool = False) -> Outcomes:
        """The network's outcomes on every image of `validation` or `test`; raises DamagedError if they are no more."""
        from kd_core.measure.outcomes import outcomes_from_bytes

        path = self.path / outcomes_name(split)
        content = read_bytes(path)
        try:
            return outcomes_from_bytes(content, with_logits)
        except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds
            raise DamagedError(f"{path}: is damaged: {str(error) or type(error).__name__}") from error

    def finish(self, splits: dict[str, Outcomes], verdict: dict[str, Any]) -> None:
        """Write the outcomes of each split, then the verdict, then remove checkpoints and what was put aside.

        Temporary files go once more: a killed worker that was still ending when this one began has left its own.
        """
        from kd_core.measure.outcomes import outcomes_to_bytes

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
