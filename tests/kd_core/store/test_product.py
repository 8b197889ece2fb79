import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kd_core.config.errors import DamagedError
from kd_core.measure.predictions import predictions_of
from kd_core.store.files import write_json
from kd_core.store.lease import LEASE_S
from kd_core.store.product import Product
from kd_core.store.records import Store
from kd_core.store.writer import ProductWriter
from tests.damages import DAMAGES, damage
from tests.products import RESULT, STOP, finish

PREDICTIONS = predictions_of(np.eye(3, dtype=np.float32), np.arange(3), temperature=2.0)
SPLITS = {"validation": PREDICTIONS, "test": PREDICTIONS}
FILES = ["journal.jsonl", "student.safetensors", "predictions-test.npz"]


@pytest.fixture
def product(store) -> Product:
    return store.trial("0123456789abcdef")


@pytest.fixture
def complete(product) -> Product:
    """A finished trial with every file."""
    writer = ProductWriter(product, {"seed": 0}, threads=1)
    writer.append({"epoch": 1, "loss": 0.5})
    finish(product, None, SPLITS, writer=writer, metrics={"test/ece": 0.1}, weights=b"more than twenty bytes")
    assert product.status == "finished"
    assert product.problems() == []
    return product


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_status_is_what_the_files_say(product):
    assert product.status == "pending"
    ProductWriter(product, {"seed": 0})
    assert product.state().config == {"seed": 0}
    with product.lease.held():
        assert product.status == "running"
    assert product.status == "pending"
    product.lease.renew()
    assert product.status == "running"
    write_json(product.path / "lease.json", {"time": time.time() - LEASE_S - 1, "host": "elsewhere", "pid": 1})
    assert product.status == "pending"
    product.fail("ValueError: no", "Traceback …")
    assert (product.status, product.state().failure.error) == ("failed", "ValueError: no")
    writer = ProductWriter(product, {"seed": 0})
    assert product.state().failure is None
    writer.write_checkpoint(1, b"weights")
    finish(product, None, {"validation": PREDICTIONS}, writer=writer, metrics={"test/ece": 0.1})
    assert product.status == "finished"
    assert product.result().metrics == {"test/ece": 0.1}
    listed = {"journal.jsonl", "student.safetensors", "predictions-validation.npz"}
    assert names(product.path) == {*listed, "lease.json", "manifest.json"}
    assert product.state().manifest.files.keys() == listed


def test_a_stopped_trial_says_so_until_it_begins_again(product):
    ProductWriter(product, {"seed": 0})
    assert product.state().stop is None
    product.write_stop(STOP)
    assert (product.status, product.state().stop) == ("stopped", STOP)
    (product.path / "stopped.json").write_text("{")
    assert (product.status, product.state().stop) == ("pending", None)
    assert "stopped.json: is damaged" in product.problems()[0]
    product.write_stop(STOP)
    ProductWriter(product, {"seed": 0})
    assert (product.status, product.state().stop) == ("pending", None)


def test_a_state_reads_each_file_at_most_once_and_none_of_a_product_that_has_not_begun(tmp_path, requests):
    store = Store.at(f"memory://{tmp_path.name}")
    finish(store.trial("whole"), {"seed": 0}, SPLITS)
    products = [store.trial(key) for key in ("whole", "new", "newer")]
    requests.clear()
    whole, *others = store.states(products)
    assert whole.result == RESULT
    assert whole.config == {"seed": 0}
    assert [state.status for state in others] == ["pending", "pending"]
    root = store.root.path.strip("/")
    assert requests == {f"{root}/trials": 1, f"{root}/trials/whole": 1, f"{root}/trials/whole/manifest.json": 1}
    requests.clear()
    assert [state.key for state in store.states(products, {"whole": whole})] == ["whole", "new", "newer"]
    assert requests == {f"{root}/trials": 1}


def test_predictions_come_back_from_a_product(product):
    finish(product, None, {"test": PREDICTIONS})
    assert product.predictions("test").logits is None
    np.testing.assert_array_equal(product.predictions("test", with_logits=True).logits, PREDICTIONS.logits)
    with pytest.raises(FileNotFoundError):
        product.predictions("validation")


def test_a_finished_trial_has_no_file_of_a_worker_that_was_still_ending_when_it_began(tmp_path):
    """A killed process ends only when the disk has answered it."""
    product = Store.at(tmp_path).trial("0123456789abcdef")
    code = "import sys; from pathlib import Path; from kd_core.store.files import writing\n"
    code += "with writing(Path(sys.argv[1])) as temporary: temporary.touch(); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, product.weights], **pipes) as ending:
        ending.stdout.readline()
        writer = ProductWriter(product, {"seed": 0})
        assert len(names(product.path)) == 2
        ending.kill()
    finish(product, None, SPLITS, writer=writer)
    assert not list(product.path.glob("*.tmp"))


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_product_with_a_damaged_file_is_finished_no_more_once_that_is_known(complete, name, kind):
    damage(complete.path / name, kind)
    if kind != "flipped":  # has the size that it had, and is found out by whoever reads it
        state = complete.state()
        assert (state.status, state.result) == ("damaged", None)
        assert state.problem == f"{complete.path / name}: is missing or was cut"
    begun = complete.state().begun
    assert (begun.recipe, begun.threads, begun.made_from) == ({"seed": 0}, 1, {})
    (problem,) = complete.problems()
    assert problem.startswith(f"{complete.path / name}: is ")
    state = complete.state()
    assert (state.status, state.result) == ("damaged", None)
    assert state.has_weights() == (name != "student.safetensors")
    finish(complete, {"seed": 0}, SPLITS)
    assert complete.status == "finished"
    assert not [each for each in names(complete.path) if "damaged" in each]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_manifest_is_believed_by_nobody_and_the_weights_are_known_without_it(complete, kind):
    damage(complete.path / "manifest.json", kind)
    state = complete.state()
    assert (state.status, state.result) == ("pending" if kind == "deleted" else "damaged", None)
    assert state.has_weights()
    assert complete.problems() == ([] if kind == "deleted" else [state.problem])
    damage(complete.weights, "flipped")
    assert not complete.state().has_weights()


def test_an_edited_metric_is_found_out(complete):
    path = complete.path / "manifest.json"
    path.write_text(path.read_text().replace("0.1", "0.2"))
    state = complete.state()
    assert (state.problem, state.result) == (f"{path}: is damaged: its checksum is another", None)


def test_a_manifest_of_another_version_is_one_sentence(complete):
    write_json(complete.path / "manifest.json", {"metrics": {"test/ece": 0.1}})
    state = complete.state()
    assert (state.status, state.result) == ("damaged", None)
    assert state.problem.endswith("manifest.json: was written by another version of kd-sweeps; use another storage")


@pytest.mark.parametrize("kind", DAMAGES[:-1])
def test_damaged_predictions_are_one_sentence(complete, kind):
    damage(complete.path / "predictions-test.npz", kind)
    with pytest.raises(DamagedError, match=r"predictions-test\.npz: is damaged: "):
        complete.predictions("test")
