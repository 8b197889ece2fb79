"""Writes the product of a trained network: journal and checkpoints while it trains, in the end the manifest.

What is written is hashed as it is written, not read again.
"""

import time
from collections.abc import Mapping
from typing import Any

from upath import UPath

from kd_core.measure.predictions import Predictions, predictions_to_bytes
from kd_core.store.files import clear_orphans, remove, write_bytes, write_sealed
from kd_core.store.journal import JOURNAL, Journal, JournalWriter, Row
from kd_core.store.manifest import Begun, File, MadeFrom, Manifest, TrialResult
from kd_core.store.product import FAILURE, LEASE, MANIFEST, STOPPED, Product, State, predictions_name
from kd_core.store.versions import versions


class ProductWriter:
    """Writes one product; only the holder of its lease does."""

    def __init__(
        self,
        product: Product,
        recipe: Mapping[str, Any],
        threads: int | None = None,
        made_from: MadeFrom | None = None,
        state: State | None = None,
    ) -> None:
        """Begin, or go on from a state: write the recipe, remove a failure or stop and files of killed workers.

        What was made from other products is removed as well.
        """
        clear_orphans(product.path)
        state = state or product.state()
        self.product, self.names, journal = product, set(state.sizes), state.journal
        self.begun = Begun(recipe=dict(recipe), threads=threads, made_from=made_from or {})
        if state.begun and state.made_from != self.begun.made_from:
            self.remove(*sorted(self.names - {LEASE}, key=MANIFEST.__ne__))  # the manifest first
            journal = Journal()
        self.remove(FAILURE, STOPPED)
        self.journal = JournalWriter(product.path / JOURNAL, self.begun, journal)
        self.files: dict[str, File] = {}

    def remove(self, *names: str) -> None:
        """Remove those of these files that are there."""
        for name in names:
            if name in self.names:
                remove(self.product.path / name)
                self.names.discard(name)

    def append(self, row: Row) -> None:
        """Append an epoch's row to the journal unless it has it."""
        self.journal.append(row)

    def write_checkpoint(self, epoch: int, content: bytes) -> None:
        """Write the state after an epoch, and keep that of the checkpoint before, in case this one is damaged."""
        path = self.product.path / f"checkpoint-{epoch:09d}.pt"
        write_sealed(path, content)
        self.names.add(path.name)
        self.remove(*[path.name for path in self.checkpoints[2:]])

    @property
    def checkpoints(self) -> list[UPath]:
        """The files of states for exact resumption, the newest first."""
        return self.product.checkpoints(self.names)

    def write_weights(self, content: bytes) -> None:
        """Write the trained network, and its sha256 to the journal."""
        self._write(self.product.weights.name, content)
        self.journal.add_weights(self.files[self.product.weights.name].sha256)

    def _write(self, name: str, content: bytes) -> None:
        write_bytes(self.product.path / name, content)
        self.files[name] = File.of(content)

    def finish(
        self,
        splits: Mapping[str, Predictions],
        result: TrialResult,
        identity: Mapping[str, Any],
        machine: Mapping[str, str],
    ) -> None:
        """Write the predictions on each split, then the manifest, then remove checkpoints and what was put aside.

        Temporary files go once more: a killed worker that was still ending when this one began has left its own.
        """
        for split, predictions in splits.items():
            self._write(predictions_name(split), predictions_to_bytes(predictions))
        Manifest(
            kind=self.product.kind,
            key=self.product.key,
            identity=dict(identity),
            begun=self.begun,
            result=result,
            files={JOURNAL: self.journal.file, **self.files},
            versions=versions(),
            machine=dict(machine),
            finished_at=time.time(),
        ).write(self.product.path / MANIFEST)
        self.remove(*[name for name in self.names if name.startswith("checkpoint-") or name.endswith(".damaged")])
        clear_orphans(self.product.path)
