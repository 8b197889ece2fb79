"""The product of an evaluation: what a model said of some inputs, or the figures of an evaluator that read it.

    <storage>/outputs/<key>/      manifest.json  arrays.npz
              evaluations/<key>/  manifest.json  arrays.npz

The manifest is written last. If it is there and the arrays have the size that it lists, the product is finished.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

from upath import UPath

from kd_core.config.errors import DamagedError
from kd_core.store.files import clear_orphans, read_bytes, sizes_in, write_bytes
from kd_core.store.lease import Lease
from kd_core.store.manifest import File, Value
from kd_core.store.product import LEASE, MANIFEST

if TYPE_CHECKING:
    import numpy as np

ARRAYS = "arrays.npz"


class EvaluationManifest(Value):
    """All about a finished evaluation but its arrays."""

    kind: Literal["outputs", "evaluation"]
    key: str
    identity: dict[str, Any]
    """what the key is the digest of"""
    metrics: dict[str, float]
    """figures by name; empty for outputs"""
    arrays: File
    versions: dict[str, str]
    machine: dict[str, str]
    """the "node" and the "device" that made it"""
    finished_at: float
    """seconds since 1970"""


@dataclass(frozen=True)
class Evaluation:
    """The folder of one set of outputs, or of one evaluation; its key is the digest of its identity."""

    path: UPath
    kind: Literal["outputs", "evaluation"]

    @property
    def key(self) -> str:
        """The product's key, which is its folder's name."""
        return self.path.name

    @property
    def lease(self) -> Lease:
        """The lease of the process that works on this product."""
        return Lease(self.path / LEASE)

    def manifest(self) -> EvaluationManifest | None:
        """The manifest if the product is finished; None if a file is missing, cut or damaged."""
        with suppress(FileNotFoundError, DamagedError):
            manifest = EvaluationManifest.read(self.path / MANIFEST)
            if sizes_in(self.path).get(ARRAYS) == manifest.arrays.size_bytes:
                return manifest
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name; raises FileNotFoundError, or DamagedError once what is damaged has been put aside."""
        import numpy as np

        manifest, path = EvaluationManifest.read(self.path / MANIFEST), self.path / ARRAYS
        content = read_bytes(path)
        if File.of(content) != manifest.arrays:
            with suppress(OSError):  # a storage that is only to be read
                path.rename(path.with_name(f"{ARRAYS}.damaged"))
            raise DamagedError(f"{path}: is damaged: its sha256 is another; evaluate again to make it anew")
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)

    def problems(self) -> list[str]:
        """What is damaged, after reading all of it; nothing of one that is not finished."""
        try:
            self.arrays()
        except DamagedError as error:
            return [str(error)]
        except FileNotFoundError:
            pass
        return []

    def write(
        self,
        identity: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        metrics: Mapping[str, float],
        machine: Mapping[str, str],
    ) -> None:
        """Write the arrays, then the manifest; equal arrays give equal bytes."""
        import numpy as np

        from kd_core.store.versions import versions

        clear_orphans(self.path)
        buffer = BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        content = buffer.getvalue()
        write_bytes(self.path / ARRAYS, content)
        EvaluationManifest(
            kind=self.kind,
            key=self.key,
            identity=dict(identity),
            metrics=dict(metrics),
            arrays=File.of(content),
            versions=versions(),
            machine=dict(machine),
            finished_at=time.time(),
        ).write(self.path / MANIFEST)
