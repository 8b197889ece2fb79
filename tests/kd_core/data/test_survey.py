"""A survey as a whole; its notes and refusals are tested with the sources, in test_folder.py and test_parquet.py."""

import numpy as np
import pytest
from PIL import Image

from kd_core.config.data import DataConfig
from kd_core.data.dataset import load
from kd_core.data.survey import summarize, survey_of
from tests.image_sources import noise, part, write_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Nine training images and three test images of two classes, one of them of other modes and sizes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_images(tmp_path / "set", [*part("train", ("a", "b"), 4), *part("test", ("a", "b"), 1)])
    noise(1, (12, 8)).save(tmp_path / "set/train/a/x.jpg")
    Image.new("RGBA", (6, 6)).save(tmp_path / "set/test/a/y.png")
    return DataConfig(source="folder", path=str(tmp_path / "set"), image_size=6)


def test_a_survey_says_what_was_found(folder):
    survey = survey_of(folder)
    assert survey.counts == {"train": [4, 4], "validation": [1, 0], "test": [2, 1]}
    assert survey.formats == {"PNG RGB": 10, "JPEG RGB": 1, "PNG RGBA": 1}
    assert survey.sizes == [(6, 6), (12, 8)]
    content = survey.as_json()
    assert content["classes"] == ["a", "b"]
    assert content["images"] == survey.counts
    assert {note["kind"] for note in content["notes"]} == {"taken", "doubtful"}
    assert content["fingerprint"] == load(folder).fingerprint == summarize(folder).fingerprint


def test_what_is_streamed_is_looked_at_only_when_asked(folder):
    streamed = folder.model_copy(update={"streaming": True})
    assert survey_of(streamed).look is None
    assert survey_of(streamed).formats == {}
    look = survey_of(streamed, whole=True).look
    assert look is not None
    assert look.readable.all()


def test_published_sources_are_taken_as_they_are():
    survey = survey_of(DataConfig(source="digits"))
    assert (survey.look, survey.notes, survey.sizes) == (None, (), [])
    assert np.sum(list(survey.counts.values())) == 1797
    assert survey.summary.sizes == "1,294 training, 144 validation and 359 test images of 10 classes at 8 px"
