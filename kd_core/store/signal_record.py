"""The folder of one stored teacher signal: a manifest of what was labelled, and one file of logits per epoch.

    <storage>/signals/<key>/  manifest.json  epoch-00001.npy …

An epoch is a .npy file, float16 [N, K] in slot order, followed by its sha256; numpy reads it like any other .npy file.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from upath import UPath

from kd_core.config.errors import SignalError
from kd_core.config.identity import digest, flattened
from kd_core.store.files import cache_folder, clear_orphans, damage_in, read_json, remove, sizes_in, write_json, writing
from kd_core.store.lease import Lease

if TYPE_CHECKING:
    import numpy as np

REMEDY = "a run that needs it labels it anew"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class SignalRecord:
    """The stored logits of one teacher on one vicinal stream; its key is the digest of its identity.

    A manifest is the identity (`kd_core.config.identity.signal_identity`) and, as made_from, the hash of the weights of
    the teacher that was used.
    """

    path: UPath

    @property
    def key(self) -> str:
        """The signal's key, which is its folder's name."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether anything is stored under this key."""
        return self.path.exists()

    def begin(self, manifest: dict[str, Any]) -> None:
        """Write the manifest; a signal with any other one is removed."""
        with suppress(SignalError):
            self.check(manifest)
            self.tidy()
            return
        self.clear()
        write_json(self.path / "manifest.json", manifest)

    def tidy(self) -> None:
        """Remove the temporary files and leases of killed processes."""
        clear_orphans(self.path)
        for lease in self._leases():
            if not lease.taken:
                remove(lease.path)

    def check(self, manifest: dict[str, Any]) -> None:
        """Raise SignalError, naming the difference, unless the stored manifest is this one."""
        path = self.path / "manifest.json"
        found = read_json(path)
        if found is None:
            raise SignalError(f"{damage_in(path) or f'{self.path}: holds no teacher signal'}; {REMEDY}")
        there, expected = flattened(found), flattened(manifest)
        for name in sorted(expected.keys() | there.keys()):
            if expected.get(name) != there.get(name):
                raise SignalError(f"{path}: {name} is {there.get(name)} where {expected.get(name)} is needed; {REMEDY}")

    def epochs(self) -> frozenset[int]:
        """The epochs that are stored."""
        return frozenset(
            int(name[6:-4]) for name in sizes_in(self.path) if name.startswith("epoch-") and name.endswith(".npy")
        )

    def has(self, epoch: int) -> bool:
        """Whether an epoch is stored."""
        return self._stored(epoch).exists()

    def lease(self, epoch: int) -> Lease:
        """The lease on labelling an epoch; its details hold the number of slots `done`."""
        return Lease(self.path / f"epoch-{epoch:05d}.lease")

    @property
    def being_labelled(self) -> bool:
        """Whether a living process is labelling an epoch."""
        return any(lease.taken for lease in self._leases())

    def _leases(self) -> list[Lease]:
        return [Lease(self.path / name) for name in sizes_in(self.path) if name.endswith(".lease")]

    def size_of(self, epochs: Iterable[int]) -> int:
        """The size of these stored epochs in bytes."""
        return sum(self._stored(epoch).stat().st_size for epoch in epochs)

    @contextmanager
    def writing(self, epoch: int, num_samples: int, num_classes: int) -> Iterator[np.ndarray]:
        """Yield float16 [N, K] to fill; when the block ends, the epoch is stored, complete with its checksum."""
        import numpy as np

        stored, local = self._stored(epoch), self._local(epoch)
        with writing(local) as temporary:
            yield np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=(num_samples, num_classes))
            with temporary.open("r+b") as file:
                file.write(hashlib.file_digest(file, "sha256").digest())
        if not isinstance(stored, Path):
            with local.open("rb") as source, stored.open("wb") as target:
                shutil.copyfileobj(source, target, _BLOCK)

    def logits(self, epoch: int) -> np.ndarray:
        """float16 [N, K] by slot, memory-mapped; raises SignalError if the epoch is missing or damaged.

        From a remote storage, each node fetches it once into its cache folder.
        """
        import numpy as np

        local = self._fetched(epoch)
        expected, found = _checksums(local)
        if found != expected:
            if local != self._stored(epoch):
                local.unlink()  # the next call fetches it again
            raise SignalError(f"{self._stored(epoch)}: its sha256 is {found} where {expected} was written; {REMEDY}")
        return np.load(local, mmap_mode="r")

    def problems(self, epochs: Iterable[int]) -> list[str]:
        """What is wrong with the manifest and with these epochs, one line each; this reads all of them."""
        path = self.path / "manifest.json"
        found = read_json(path)
        problem = damage_in(path) or f"{path}: is missing" if found is None else ""
        if found is not None and digest({name: found[name] for name in found if name != "made_from"}) != self.key:
            problem = f"{path}: is that of another signal"
        return [*([f"{problem}; {REMEDY}"] if problem else []), *self.damaged(epochs).values()]

    def damaged(self, epochs: Iterable[int]) -> dict[int, str]:
        """The problem of each of these epochs that cannot be read."""

        def attempt(epoch: int) -> tuple[int, str]:
            """An epoch, and what is wrong with it."""
            try:
                self.logits(epoch)
            except SignalError as error:
                return epoch, str(error)
            return epoch, ""

        with ThreadPoolExecutor(8) as pool:
            return {epoch: problem for epoch, problem in pool.map(attempt, epochs) if problem}

    def discard(self, epochs: Iterable[int]) -> None:
        """Remove some epochs from the store and from this node's cache."""
        for epoch in epochs:
            for path in {self._stored(epoch), self._local(epoch)}:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the whole signal from the store and from this node's cache."""
        for folder in (self.path, cache_folder() / "signals" / self.key):
            if isinstance(folder, Path):
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.exists():
                folder.rmdir(recursive=True)

    def _stored(self, epoch: int) -> UPath:
        return self.path / f"epoch-{epoch:05d}.npy"

    def _local(self, epoch: int) -> Path:
        stored = self._stored(epoch)
        return stored if isinstance(stored, Path) else cache_folder() / "signals" / self.key / stored.name

    def _fetched(self, epoch: int) -> Path:
        """The local file of an epoch."""
        stored, local = self._stored(epoch), self._local(epoch)
        try:
            if not isinstance(stored, Path):
                local.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{local}.lock"):
                    if not local.exists():
                        with stored.open("rb") as source, writing(local) as temporary, temporary.open("wb") as target:
                            shutil.copyfileobj(source, target, _BLOCK)
            local.stat()
        except FileNotFoundError:
            raise SignalError(f"{stored}: is not stored; {REMEDY}") from None
        return local


def _checksums(path: Path) -> tuple[str, str]:
    """The sha256 stored at the end of an epoch's file, and that of the bytes before it."""
    remaining, sha256 = max(0, path.stat().st_size - hashlib.sha256().digest_size), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(min(_BLOCK, remaining)):
            sha256.update(block)
            remaining -= len(block)
        return file.read().hex(), sha256.hexdigest()
