"""Tests the files of an export: that each float one is the trial's student, and that a wrong one leaves nothing."""

import dataclasses
import math

import numpy as np
import pytest

from kd_core.config.errors import ExportError, SpecError
from kd_core.store.files import read_json, write_json
from sweeps.promotion.formats import (
    CONFIG,
    FORMATS,
    INT8,
    MARK,
    ONNX,
    WEIGHTS,
    check_formats,
    check_target,
    predictor_of,
    replacing_folder,
)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != INT8])
def test_a_float_export_gives_the_stored_test_probabilities(promoted, assert_stored, name):
    predict = predictor_of(promoted.export / name)
    made = np.concatenate([predict(images.numpy()) for images in promoted.student.test.batches(100)])
    assert_stored(made)


def test_the_figures_of_every_format_are_measured(promoted):
    files = {each["name"]: each for each in promoted.printed["files"]}
    assert set(files) == set(FORMATS)
    metrics = promoted.choice.trial.product.result().metrics
    for name, each in files.items():
        assert each["size_bytes"] == (promoted.export / name).stat().st_size
        if name != INT8:
            assert each["accuracy"] == metrics["test/accuracy"]
            assert math.isclose(each["ece"], metrics["test/ece_scaled"], abs_tol=1e-4)
    predict = predictor_of(promoted.export / INT8)
    made = np.concatenate([predict(images.numpy()) for images in promoted.student.test.batches(100)])
    assert files[INT8]["accuracy"] == np.mean(made.argmax(axis=1) == promoted.student.test.labels)
    assert files[INT8]["difference"] > 1e-5  # it is another network
    assert files[INT8]["size_bytes"] < files[ONNX]["size_bytes"] / 2


def test_an_export_of_another_temperature_is_found_out(promoted, tmp_path):
    config = read_json(promoted.export / CONFIG)
    (tmp_path / WEIGHTS).write_bytes((promoted.export / WEIGHTS).read_bytes())
    write_json(tmp_path / CONFIG, config | {"temperature": 2 * config["temperature"]})
    with pytest.raises(ExportError, match=r"student\.safetensors: differs by .* --tolerance"):
        check_formats(promoted.student, tmp_path, 1e-5)
    assert [each.name for each in check_formats(promoted.student, tmp_path, 0.1)] == [WEIGHTS]


def test_a_difference_that_is_no_number_is_no_small_one(promoted):
    predictions = promoted.student.predictions
    broken = dataclasses.replace(predictions, logits=np.full_like(predictions.logits, np.nan))
    with pytest.raises(ExportError):
        check_formats(dataclasses.replace(promoted.student, predictions=broken), promoted.export, 1e-5)


def test_an_export_that_fails_changes_nothing(tmp_path):
    target = tmp_path / "export"
    with pytest.raises(IsADirectoryError), replacing_folder(target) as made:
        write_json(made, {})  # a folder is no file
    assert list(tmp_path.iterdir()) == []


def test_an_export_replaces_an_earlier_one_whole_and_nothing_else(tmp_path):
    target = tmp_path / "new" / "export"
    for name in ("first", "second"):
        check_target(target)
        with replacing_folder(target) as made:
            (made / name).write_text("")
            write_json(made / MARK, {"sweep": name})
    assert sorted(path.name for path in target.iterdir()) == [MARK, "second"]
    assert list(target.parent.iterdir()) == [target]
    (target / MARK).unlink()
    with pytest.raises(SpecError, match="not empty and holds no earlier export"):
        check_target(target)
    with pytest.raises(SpecError, match="is a file"):
        check_target(target / "second")
    assert (target / "second").exists()
