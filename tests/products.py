"""Writes products as if they had been trained."""

from collections.abc import Mapping
from typing import Any

from kd_core.config.data import DataSummary
from kd_core.config.trial import TrialConfig
from kd_core.measure.predictions import Predictions
from kd_core.store.files import read_json, write_json
from kd_core.store.index import Index
from kd_core.store.journal import JOURNAL
from kd_core.store.manifest import File, Stop, TrialResult
from kd_core.store.product import MANIFEST, Product
from kd_core.store.records import SweepRecord
from kd_core.store.writer import ProductWriter

RESULT = TrialResult(
    metrics={"validation/accuracy": 0.9, "validation/ece": 0.1},
    temperature=1.0,
    temperature_has_optimum=True,
    epochs=3,
    num_parameters=1234,
    wall_s=1.5,
)
DATA = DataSummary(
    fingerprint="0123456789abcdef", num_train=90, num_validation=30, num_test=80, num_classes=10, image_size=8
)
MACHINE = {"node": "here", "device": "abacus"}
STOP = Stop(sweep="tiny", early_stopping=None, objectives={}, rung=1, epoch=1, reason="behind", time=1.0)


def finish(
    product: Product,
    config: Mapping[str, Any] | TrialConfig | None = None,
    splits: Mapping[str, Predictions] | None = None,
    *,
    weights: bytes = b"weights",
    made_from: Mapping[str, str] | None = None,
    writer: ProductWriter | None = None,
    **result: Any,
) -> None:
    """Finish a product, with a result that differs from RESULT as given."""
    if isinstance(config, TrialConfig):
        config = config.model_dump(mode="json")
    writer = writer or ProductWriter(product, config or {}, made_from=dict(made_from or {}))
    writer.write_weights(weights)
    writer.finish(splits or {}, RESULT.model_copy(update=result), {}, MACHINE)


def edit(product: Product, **parts: Mapping[str, Any]) -> None:
    """Change entries of parts of a manifest: edit(product, result={"wall_s": 1.0})."""
    manifest = read_json(product.path / MANIFEST)
    write_json(product.path / MANIFEST, manifest | {name: manifest[name] | value for name, value in parts.items()})


def forget_epochs(product: Product) -> None:
    """Remove the epochs from a journal of a finished product, as if the manifest had never listed them."""
    path = product.path / JOURNAL
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    edit(product, files={JOURNAL: File.of(path.read_bytes()).model_dump()})


def members_of(sweep: SweepRecord) -> dict[str, Any]:
    """The index of a sweep as JSON."""
    return sweep.index().model_dump(mode="json")


def write_members(sweep: SweepRecord, spec_yaml: str, members: Mapping[str, Any]) -> None:
    """Write a sweep with this index, as JSON; what it lacks has its default."""
    sweep.write(spec_yaml, Index.model_validate({"objectives": {}, **members}))
