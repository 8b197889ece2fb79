"""Tests `kdsweep promote` as a user types it."""

import json

import pytest
from mlflow import MlflowClient

from kd_core.store.files import read_json
from sweeps.promotion.formats import CONFIG, FORMATS, MARK
from tests.products import members_of

CLASSIC = "classic seed 0"


@pytest.fixture(scope="module")
def promote(kdsweep, promoted):
    """Promotes from the store of the promoted student."""
    return lambda *arguments: kdsweep("promote", "tiny", *arguments, "--storage", promoted.store.root)


def versions(uri):
    """The trial of each version of the model."""
    found = MlflowClient(uri).search_model_versions("name = 'tiny'")
    return {each.version: each.tags["kdsweep.trial"] for each in found}


def test_a_promotion_says_what_it_did(promoted):
    key = promoted.choice.trial.product.key
    wanted = {"sweep": "tiny", "trial": key, "version": "1", "new": True, "alias": "champion"}
    assert promoted.printed.items() >= wanted.items()
    assert promoted.printed["uri"] == "models:/tiny@champion"
    assert f"knee: {promoted.choice.run['label']} ({key}), knee of the front as shipped" in promoted.stderr
    for name in FORMATS:
        assert name in promoted.stderr
    assert f"MLFLOW_TRACKING_URI={promoted.uri}" in promoted.stderr


def test_an_export_holds_everything_and_says_what_it_is(promoted):
    files = {path.name for path in promoted.export.iterdir()}
    assert files == {*FORMATS, CONFIG, MARK, "README.md", "front.svg", "report.html"}
    assert read_json(promoted.export / MARK)["trial"] == promoted.choice.trial.product.key
    assert (promoted.export / "report.html").read_bytes() == (
        promoted.store.sweep("tiny").report / "report.html"
    ).read_bytes()
    assert "## Files" in (promoted.export / "README.md").read_text()
    weights = (promoted.export / "student.safetensors").read_bytes()
    assert weights == promoted.choice.trial.product.weights.read_bytes()
    assert [path.name for path in promoted.export.parent.iterdir() if path.name.startswith(".")] == []


def test_the_same_again_makes_no_second_version_and_another_alias_moves(promoted, promote):
    client, label = MlflowClient(promoted.uri), promoted.choice.run["label"]
    before = versions(promoted.uri)
    for arguments in (["knee", "--as", "champion"], [label, "--as", "shadow"]):
        done = promote(*arguments, "--json")
        assert done.exit_code == 0, done.output
        printed = json.loads(done.stdout)
        assert (printed["version"], printed["new"], printed["files"]) == ("1", False, [])
    assert versions(promoted.uri) == before
    assert client.get_model_version_by_alias("tiny", "shadow").version == before.popitem()[0]


def test_another_trial_is_another_version_and_takes_the_alias(promoted, promote):
    keys = [each["key"] for each in members_of(promoted.store.sweep("tiny"))["trials"]]
    other = next(key for key in keys if key != promoted.choice.trial.product.key)
    done = promote(other[:8], "--as", "challenger", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert [each["name"] for each in printed["files"]] == ["student.onnx"]
    client = MlflowClient(promoted.uri)
    assert client.get_model_version_by_alias("tiny", "challenger").tags["kdsweep.trial"] == other
    assert (
        client.get_model_version_by_alias("tiny", "champion").tags["kdsweep.trial"] == promoted.choice.trial.product.key
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nosuch", "--as", "a"], "nosuch: tiny has no such trial"),
        ([CLASSIC, "--as", "latest"], "--as: latest: is no alias"),
        ([CLASSIC], "Missing option '--as'"),
        ([CLASSIC, "--as", "a", "--export", "{folder}"], "is not empty and holds no earlier export"),
        ([CLASSIC, "--as", "a", "--export", "{folder}/file"], "is a file; name a new folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(promoted, promote, tmp_path, arguments, problem):
    (tmp_path / "file").write_text("mine")
    before = versions(promoted.uri)
    done = promote(*(each.format(folder=tmp_path) for each in arguments))
    assert done.exit_code == 2
    assert problem in done.stderr
    assert "Traceback" not in done.output
    assert versions(promoted.uri) == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_sweep_that_never_ran_is_one_sentence(kdsweep, promoted):
    done = kdsweep("promote", "other", "knee", "--as", "a", "--storage", promoted.store.root)
    assert (done.exit_code, "no sweep named other" in done.stderr) == (2, True)
    done = kdsweep("promote", "../x", "knee", "--as", "a", "--storage", promoted.store.root)
    assert (done.exit_code, "is no sweep name" in done.stderr) == (2, True)
    done = kdsweep("promote", "tiny", "knee", "--as", "a", "--storage", "memory://promote")
    assert (done.exit_code, "--tracking-uri: missing" in done.stderr) == (2, True)


def test_a_server_that_does_not_answer_is_one_sentence(promote, tmp_path):
    done = promote(CLASSIC, "--as", "a", "--tracking-uri", "http://127.0.0.1:9", "--export", tmp_path / "export")
    assert done.exit_code == 1
    assert "MLflow at http://127.0.0.1:9 does not answer" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_student_that_answers_otherwise_is_neither_exported_nor_registered(promoted, promote, tmp_path):
    before = versions(promoted.uri)
    done = promote("kd_mixup resnet T=2 seed 0", "--as", "a", "--tolerance", "1e-12", "--export", tmp_path / "export")
    assert done.exit_code == 1
    assert "from the stored test probabilities" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert "a" not in MlflowClient(promoted.uri).get_registered_model("tiny").aliases
    assert versions(promoted.uri) == before
