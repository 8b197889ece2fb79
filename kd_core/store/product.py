"""The product of a trained network: the folder of a trial or a teacher (`kd_core.store.records` lays out the store).

The manifest is written last and lists size and sha256 of the other files: if it is there and they have these sizes, the
product is finished. A damaged file is as good as a missing one (`kd_core.store.files`): whoever finds that a listed
file is damaged puts it aside as NAME.damaged, so that the product is no longer finished and the next run makes it
again. Until it is finished, the folder holds the journal, two checkpoints, the lease, and why it failed or was stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from upath import UPath

from kd_core.config.errors import DamagedError
from kd_core.config.identity import file_sha256
from kd_core.store.files import read_bytes, read_sealed, sizes_in
from kd_core.store.journal import JOURNAL, Journal, Row, read_journal
from kd_core.store.lease import Lease
from kd_core.store.manifest import Begun, Failure, File, MadeFrom, Manifest, Stop, TrialResult, Value

if TYPE_CHECKING:
    from kd_core.measure.predictions import Predictions

Status = Literal["finished", "stopped", "failed", "running", "stale", "damaged", "pending"]
DONE = ("finished", "stopped")
_WORST_FIRST: tuple[Status, ...] = ("failed", "damaged", "stale", "stopped", "running", "pending", "finished")
SPLITS = ("validation", "test")
MANIFEST, FAILURE, STOPPED, LEASE = "manifest.json", "failure.json", "stopped.json", "lease.json"
_Value = TypeVar("_Value", bound=Value)


@dataclass(frozen=True)
class State:
    """What the files of a product said at one time, each read at most once.

    sizes: the bytes of each file, by name. written: its manifest, though a file that it lists may be damaged. problem:
    what is damaged, in one line.
    """

    product: Product
    sizes: Mapping[str, int]
    status: Status
    written: Manifest | None = None
    failure: Failure | None = None
    stop: Stop | None = None
    problem: str = ""

    @property
    def key(self) -> str:
        """The key of the product."""
        return self.product.key

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of a finished product."""
        return self.written if self.status == "finished" else None

    @property
    def result(self) -> TrialResult | None:
        """The result of a finished product."""
        return self.manifest and self.manifest.result

    @cached_property
    def journal(self) -> Journal:
        """What its journal says, read when it is first asked for."""
        return read_journal(self.product.path / JOURNAL) if JOURNAL in self.sizes else Journal()

    @property
    def begun(self) -> Begun | None:
        """What it was begun with; None if it was not."""
        return self.written.begun if self.written else self.journal.begun

    @property
    def epochs(self) -> list[Row]:
        """The rows of its epochs in the journal."""
        return self.journal.epochs

    @property
    def config(self) -> dict[str, Any]:
        """Its TrialConfig as JSON; empty if it was not begun."""
        return self.begun.recipe if self.begun else {}

    @property
    def made_from(self) -> MadeFrom:
        """The hashes of the products that it is made from."""
        return self.begun.made_from if self.begun else {}

    def is_finished(self, made_from: MadeFrom) -> bool:
        """Whether the product is finished, and made from these."""
        return self.status == "finished" and self.made_from == made_from

    def has_weights(self) -> bool:
        """Whether the trained network is there and whole, by its manifest, or else by the journal."""
        weights = self.product.weights
        with suppress(FileNotFoundError):
            if weights.name in self.sizes:
                written = self.written.weights_sha256 if self.written else self.journal.weights_sha256
                return file_sha256(weights) == written
        return False


@dataclass(frozen=True)
class Product:
    """The folder of one trained network: of a trial or a teacher."""

    path: UPath
    kind: Literal["trial", "teacher"] = "trial"

    @property
    def key(self) -> str:
        """The product's key, which is its folder's name."""
        return self.path.name

    @property
    def weights(self) -> UPath:
        """The safetensors file of the trained network."""
        return self.path / ("student.safetensors" if self.kind == "trial" else "weights.safetensors")

    @property
    def lease(self) -> Lease:
        """The lease of the process that works on this product."""
        return Lease(self.path / LEASE)

    def state(self, sizes: Mapping[str, int] | None = None) -> State:
        """Read what the files say now: list the folder, unless its sizes are known, and read what decides its status.

        The first that holds is the status: finished, failed, stopped, running (a fresh lease), damaged or pending.
        """
        sizes = sizes_in(self.path) if sizes is None else sizes
        manifest, problem = self._read(Manifest, MANIFEST, sizes)
        cut = next((name for name, file in _listed(manifest).items() if sizes.get(name) != file.size_bytes), "")
        if manifest and not cut:
            return State(self, sizes, "finished", manifest)
        problem = problem or (f"{self.path / cut}: is missing or was cut" if cut else "")
        failure, _ = self._read(Failure, FAILURE, sizes)
        stop, _ = self._read(Stop, STOPPED, sizes)
        is_running = not failure and not stop and LEASE in sizes and self.lease.taken
        status: Status = "running" if is_running else "damaged" if problem else "pending"
        status = "failed" if failure else "stopped" if stop else status
        return State(self, sizes, status, manifest, failure, stop, problem)

    def _read(self, kind: type[_Value], name: str, sizes: Mapping[str, int]) -> tuple[_Value | None, str]:
        """The value of a file, or None, and what is wrong with it."""
        try:
            return (kind.read(self.path / name) if name in sizes else None), ""
        except FileNotFoundError:  # removed meanwhile
            return None, ""
        except DamagedError as error:
            return None, str(error)

    @property
    def status(self) -> Status:
        """The status from the files now."""
        return self.state().status

    def result(self) -> TrialResult | None:
        """The result of a finished product; None if it, or a file that it lists, is missing or damaged."""
        return self.state().result

    def journal(self) -> Journal:
        """What the journal says now."""
        return read_journal(self.path / JOURNAL)

    def check(self, *names: str) -> Iterator[str]:
        """The problem of each of these files that is damaged, in one line; it is put aside, for a run to make again."""
        listed = _listed(self.state().written)
        for name in names:
            path = self.path / name
            try:
                sha256 = file_sha256(path)
            except FileNotFoundError:
                yield f"{path}: is missing"
            except OSError as error:
                yield str(error)
            else:
                if name in listed and sha256 != listed[name].sha256:
                    with suppress(OSError):  # a storage that is only to be read
                        path.rename(path.with_name(f"{name}.damaged"))
                    yield f"{path}: is damaged: its sha256 is {sha256} where {listed[name].sha256} was written"

    def problems(self) -> list[str]:
        """Everything that is wrong with the files, one line each; this reads all of them, and puts aside as `check`."""
        sizes = sizes_in(self.path)
        kinds = {MANIFEST: Manifest, FAILURE: Failure, STOPPED: Stop}
        values = {name: self._read(kind, name, sizes) for name, kind in kinds.items()}
        problems = [problem for _, problem in values.values()]
        if listed := _listed(values[MANIFEST][0]):
            problems += self.check(*listed)
        else:
            problems += [self.journal().problem, *map(_damage_of_sealed, self.checkpoints(sizes))]
        return [problem for problem in problems if problem]

    def checkpoints(self, names: Iterable[str] | None = None) -> list[UPath]:
        """The files of states for exact resumption, the newest first, of those in the folder or of these names."""
        names = sizes_in(self.path) if names is None else names
        return [self.path / name for name in sorted(names, reverse=True) if name.startswith("checkpoint-")]

    def predictions(self, split: str, with_logits: bool = False) -> Predictions:
        """The network's predictions on `validation` or `test`; raises DamagedError if they are no more."""
        from kd_core.measure.predictions import predictions_from_bytes

        path = self.path / predictions_name(split)
        content = read_bytes(path)
        try:
            return predictions_from_bytes(content, with_logits)
        except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds
            raise DamagedError(f"{path}: is damaged: {str(error) or type(error).__name__}") from error

    def fail(self, error: str, traceback: str) -> None:
        """Write why the trial failed; running it again resumes from its last checkpoint."""
        Failure(error=error, traceback=traceback, time=time.time()).write(self.path / FAILURE)

    def write_stop(self, stop: Stop) -> None:
        """Write why the trial is stopped; running it again goes on from its last checkpoint."""
        stop.write(self.path / STOPPED)


def predictions_name(split: str) -> str:
    """The name of the file of a network's predictions on a split."""
    return f"predictions-{split}.npz"


def status_of_fused(members: Iterable[Status]) -> Status:
    """The status of what consists of its members alone: finished if all are, else the worst of theirs."""
    return min(members, key=_WORST_FIRST.index)


def _listed(manifest: Manifest | None) -> Mapping[str, File]:
    return manifest.files if manifest else {}


def _damage_of_sealed(path: UPath) -> str:
    """What is wrong with a file that ends in its checksum; empty if it is whole or was removed meanwhile."""
    try:
        read_sealed(path)
    except DamagedError as error:
        return str(error)
    except FileNotFoundError:
        pass
    return ""
