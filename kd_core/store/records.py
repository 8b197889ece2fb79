"""The layout of the store: one folder per product, whose files are written atomically.

    <storage>/teachers/<key>/  manifest.json journal.jsonl weights.safetensors predictions-*.npz
              signals/<key>/   manifest.json epoch-00001.npy …
              trials/<key>/    manifest.json journal.jsonl student.safetensors predictions-*.npz; until it is finished
                               checkpoint-*.pt lease.json failure.json stopped.json
              outputs/<key>/, evaluations/<key>/  manifest.json arrays.npz (`kd_core.store.evaluation`)
              latency/<key>.json
              sweeps/<name>/   spec.yaml index.json report/; if it was confirmed or evaluated, confirmation.json and
                               evaluations.json

A storage is a local path or any fsspec URL; local files are written by write, fsync and rename.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from kd_core.config.errors import DamagedError
from kd_core.config.identity import digest
from kd_core.store.evaluation import Evaluation
from kd_core.store.files import read_ahead, read_bytes, read_json, sizes_in, write_bytes, write_json
from kd_core.store.index import EvaluationIndex, Index
from kd_core.store.product import Product, State
from kd_core.store.signal_record import SignalRecord

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
INDEX, EVALUATIONS = "index.json", "evaluations.json"
LEFT_OUT = "left out: its scout was stopped"


def left_out(trials: Iterable[tuple[str, str, str]]) -> list[bool]:
    """Which trials of a sweep, each given by arm, role and status, are left out, and are so done, as `stopped`.

    They are followers that are not finished, of an arm whose scout was stopped: it was that seed's turn to be selected.
    """
    trials = list(trials)
    arms = {arm for arm, role, status in trials if role == "scout" and status == "stopped"}
    return [role == "follower" and status != "finished" and arm in arms for arm, role, status in trials]


@dataclass(frozen=True)
class SweepRecord:
    """The folder of one sweep: its spec, the index of its products and its report."""

    path: UPath

    @property
    def name(self) -> str:
        """The sweep's name, which is its folder's name."""
        return self.path.name

    @property
    def report(self) -> UPath:
        """The folder of report.html, of the front as .csv, .json and .svg, and of inputs.json."""
        return self.path / "report"

    def index(self) -> Index:
        """Its products; raises FileNotFoundError if no such sweep was run."""
        path = self.path / INDEX
        try:
            return Index.read(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"no sweep named {self.name} in {self.path.parent.parent}") from None
        except DamagedError as error:
            raise FileNotFoundError(f"{error}; run its spec again to write it anew") from None

    def confirmation(self) -> dict[str, Any]:
        """What is confirmed of it (`sweeps.plan.confirmation`); empty if nothing is."""
        return read_json(self.path / "confirmation.json") or {}

    def write_confirmation(self, content: dict[str, Any]) -> None:
        """Write what is to be confirmed of it."""
        write_json(self.path / "confirmation.json", content)

    def evaluations(self) -> EvaluationIndex | None:
        """What its models were asked, and where the answers are; None if nothing was."""
        with suppress(FileNotFoundError, DamagedError):
            return EvaluationIndex.read(self.path / EVALUATIONS)
        return None

    def write_evaluations(self, index: EvaluationIndex) -> None:
        """Write what its models are asked."""
        index.write(self.path / EVALUATIONS)

    def spec_yaml(self) -> str:
        """The resolved spec; raises FileNotFoundError, and DamagedError if it is not what was written."""
        path = self.path / "spec.yaml"
        first, _, text = read_bytes(path).decode(errors="replace").partition("\n")
        if first == _sha256_comment(text):
            return text
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

    def write(self, spec_yaml: str, index: Index) -> None:
        """Write the resolved spec, under a comment with its sha256, and the index of its products."""
        write_bytes(self.path / "spec.yaml", f"{_sha256_comment(spec_yaml)}\n{spec_yaml}".encode())
        index.write(self.path / INDEX)


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

    def teacher(self, key: str) -> Product:
        """The product of one teacher."""
        return Product(self.root / "teachers" / key, "teacher")

    def trial(self, key: str) -> Product:
        """The product of one trial."""
        return Product(self.root / "trials" / key)

    def states(self, products: Iterable[Product], known: Mapping[str, State] | None = None) -> Iterator[State]:
        """The state of each product, in their order, read ahead, but for those that are known by their key.

        The folder of all is listed once, so that a product that has not begun costs no request.
        """
        products, known = list(products), known or {}
        begun = {folder: sizes_in(folder) for folder in {product.path.parent for product in products}}

        def read(product: Product) -> State:
            """The state of one product."""
            is_absent = product.key not in begun[product.path.parent]
            return known.get(product.key) or product.state({} if is_absent else None)

        return read_ahead(read, products)

    def signal(self, key: str) -> SignalRecord:
        """The record of one teacher signal."""
        return SignalRecord(self.root / "signals" / key)

    def outputs(self, key: str) -> Evaluation:
        """What a model said of a set of inputs."""
        return Evaluation(self.root / "outputs" / key, "outputs")

    def evaluation(self, key: str) -> Evaluation:
        """The figures of an evaluator."""
        return Evaluation(self.root / "evaluations" / key, "evaluation")

    def signals(self) -> list[SignalRecord]:
        """Every stored teacher signal."""
        folder = self.root / "signals"
        return [SignalRecord(path) for path in sorted(folder.iterdir())] if folder.exists() else []

    def latencies(self) -> list[dict[str, Any]]:
        """Every measured latency (`kd_core.evaluate.latency`) that is whole, in the order of their keys."""
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
