import numpy as np
import pytest

from kd_core.config.identity import file_sha256
from kd_core.measure.predictions import predictions_of
from kd_core.store.files import read_sealed
from kd_core.store.product import Product
from kd_core.store.records import Store
from kd_core.store.writer import ProductWriter
from tests.damages import damage
from tests.products import RESULT, finish

PREDICTIONS = predictions_of(np.eye(3, dtype=np.float32), np.arange(3), temperature=2.0)


@pytest.fixture
def product(store) -> Product:
    return store.trial("0123456789abcdef")


def test_two_checkpoints_are_kept_in_turn(product):
    writer = ProductWriter(product, {})
    for epoch in (1, 2, 10):
        writer.write_checkpoint(epoch, f"after {epoch}".encode())
    assert [read_sealed(path) for path in product.checkpoints()] == [b"after 10", b"after 2"]
    damage(product.checkpoints()[0], "flipped")
    (problem,) = product.problems()
    assert "checkpoint-000000010.pt: is damaged" in problem


def test_a_manifest_lists_what_was_written(product):
    writer = ProductWriter(product, {"seed": 0}, 2, {"teacher": "a"})
    writer.append({"epoch": 1, "loss": 0.5})
    finish(product, None, {"test": PREDICTIONS}, writer=writer)
    manifest = product.state().manifest
    assert {name: file_sha256(product.path / name) for name in manifest.files} == {
        name: file.sha256 for name, file in manifest.files.items()
    }
    assert manifest.weights_sha256 == file_sha256(product.weights)
    assert (manifest.kind, manifest.key, manifest.result) == ("trial", product.key, RESULT)
    assert manifest.begun.model_dump() == {"recipe": {"seed": 0}, "threads": 2, "made_from": {"teacher": "a"}}
    assert manifest.versions.keys() >= {"python", "torch", "timm", "numpy"}


def test_what_was_made_from_other_products_is_made_again(product):
    finish(product, {"seed": 0}, {"test": PREDICTIONS}, made_from={"teacher": "a"})
    assert product.state().is_finished({"teacher": "a"})
    assert not product.state().is_finished({"teacher": "b"})
    ProductWriter(product, {"seed": 0}, made_from={"teacher": "a"})
    assert product.status == "finished"
    ProductWriter(product, {"seed": 0}, made_from={"teacher": "b"})
    assert [path.name for path in product.path.iterdir()] == ["journal.jsonl"]
    assert product.state().made_from == {"teacher": "b"}


def test_a_product_of_an_object_store_is_written_with_no_request_beside(tmp_path, requests):
    product = Store.at(f"memory://{tmp_path.name}").trial("key")
    writer = ProductWriter(product, {})
    requests.clear()
    writer.append({"epoch": 1, "loss": 0.5})
    finish(product, None, {"validation": PREDICTIONS, "test": PREDICTIONS}, writer=writer)
    assert not any(requests.values())  # nothing was read or listed
