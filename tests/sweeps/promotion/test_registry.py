"""Tests the registry: a fresh process loads what was registered, and gets the trial's own probabilities from it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.models import Model

from analysis.snapshot import read_sweep
from kd_core.config.errors import SpecError
from sweeps.promotion.registry import CONTENT, Registry, check_alias, content_of
from tests.products import members_of

FRESH = """
import sys
import mlflow, numpy as np
model = mlflow.pyfunc.load_model("models:/tiny@champion")
images = np.load("images.npy")
twice = images.repeat(2, axis=1).repeat(2, axis=2)
ragged = np.empty(2, object)
ragged[0], ragged[1] = images[0], twice[1][:, :9]
grey = twice[0, :, :, 0]
inside = model.unwrap_python_model()
np.savez("made.npz", test=model.predict(images), twice=model.predict(twice), ragged=model.predict(ragged),
         listed=inside.predict(list(ragged)), one=model.predict(images[0]), grey=model.predict(grey),
         example=model.predict(model.input_example))
loaded = {name for name in ("sweeps", "kd_core", "analysis", "torch") if name in sys.modules}
assert not loaded, loaded
"""


@pytest.fixture(scope="module")
def images(promoted):
    """The test images, uint8 [N, 8, 8, 3]."""
    return np.concatenate([images.numpy() for images in promoted.student.test.batches(100)])


@pytest.fixture(scope="module")
def made(promoted, images, tmp_path_factory):
    """What a fresh process, elsewhere, gets from the registered model."""
    folder = tmp_path_factory.mktemp("elsewhere")
    np.save(folder / "images.npy", images)
    environment = os.environ | {"MLFLOW_TRACKING_URI": promoted.uri}
    command = [sys.executable, "-P", "-c", FRESH]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "made.npz") as arrays:
        return dict(arrays)


def test_a_fresh_process_gets_the_stored_test_probabilities(made, assert_stored):
    assert_stored(made["test"])


def test_a_fresh_process_predicts_from_images_of_any_size(made, classifier, images):
    twice = images.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(made["twice"], classifier.predict(twice), rtol=1e-5)
    assert np.mean(made["twice"].argmax(axis=1) == made["test"].argmax(axis=1)) > 0.5  # they show the same
    np.testing.assert_allclose(made["ragged"], classifier.predict([images[0], twice[1][:, :9]]), rtol=1e-5)
    np.testing.assert_array_equal(made["listed"], made["ragged"])
    np.testing.assert_allclose(made["one"], made["test"][:1], rtol=1e-5)
    np.testing.assert_allclose(made["grey"], made["twice"][:1], rtol=1e-5)  # digits are grey
    np.testing.assert_allclose(made["example"], made["test"][:1], rtol=1e-5)


def test_the_version_says_what_it_is(promoted):
    client = MlflowClient(promoted.uri)
    version = client.get_model_version_by_alias("tiny", "champion")
    run = client.get_run(version.run_id)
    assert run.data.tags["kdsweep.trial"] == version.tags["kdsweep.trial"] == promoted.choice.trial.product.key
    card = (promoted.export / "README.md").read_text().partition("\n\n## Files")[0]
    assert version.description.startswith(card)
    sweep_run = version.tags["kdsweep.sweep_run"]
    assert f"/runs/{sweep_run}/artifacts/report.html)" in version.description
    attached = {file.path for file in client.list_artifacts(sweep_run)}
    assert {"report.html", "front.svg", "front.json"} <= attached
    assert client.get_registered_model("tiny").description.startswith("Students of the sweep tiny")


def test_the_model_has_a_signature_an_example_and_the_card(promoted, tmp_path):
    client = MlflowClient(promoted.uri)
    version = client.get_model_version("tiny", "1")
    place = client.download_artifacts(version.run_id, version.source.rpartition("/")[2], str(tmp_path))
    saved = Model.load(place)
    assert saved.signature.outputs.inputs[0].shape == (-1, 10)
    assert saved.signature.inputs.inputs[0].shape == (-1,)
    assert saved.saved_input_example_info is not None
    assert (Path(place) / "README.md").read_text() in version.description
    assert saved.metadata["classes"] == [str(digit) for digit in range(10)]


def test_a_version_is_found_by_its_content(promoted):
    registry = Registry(read_sweep(promoted.store, "tiny"), promoted.uri)
    known = MlflowClient(promoted.uri).get_model_version("tiny", "1").tags[CONTENT]
    version = registry.find(known)
    assert version is not None
    assert (version.number, version.is_new) == ("1", False)
    assert registry.find("another") is None


def test_a_run_that_was_deleted_is_made_again_for_its_model(store, tmp_path):
    uri, key = f"sqlite:///{tmp_path / 'other.db'}", members_of(store.sweep("tiny"))["trials"][0]["key"]
    client = MlflowClient(uri)
    client.create_experiment("tiny", (tmp_path / "artifacts").as_uri())
    numbers = []
    for content in ("first", "second"):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "MLmodel").write_text(content)
        registry = Registry(read_sweep(store, "tiny"), uri)
        version = registry.add(content, "# card", key, tmp_path / "model")
        numbers.append(version.number)
        run = client.get_model_version("tiny", version.number).run_id
        assert client.get_run(run).data.tags["kdsweep.trial"] == key
        client.delete_run(run)
    assert numbers == ["1", "2"]
    assert registry.find("first").number == "1"


def test_the_content_is_of_card_and_weights():
    assert content_of("card", "ab") == content_of("card", "ab")
    assert len({content_of("card", "ab"), content_of("card", "ac"), content_of("other", "ab")}) == 3


@pytest.mark.parametrize("alias", ["", "latest", "Latest", "v1", "12", "a b", "ä", "-a", "a" * 101])
def test_what_is_no_alias_is_one_sentence(alias):
    with pytest.raises(SpecError, match=r"--as: .*is no alias"):
        check_alias(alias)


@pytest.mark.parametrize("alias", ["champion", "prod-2026_11", "v1-candidate", "a"])
def test_an_alias_is_taken(alias):
    check_alias(alias)
