"""A first spec for somebody's own images: it is read, plans at once, and says what was found."""

import pytest
import yaml

from kd_core.config.errors import DataError
from sweeps.config.arms import trials_of
from sweeps.config.networks import check_networks
from sweeps.config.reader import read_spec
from sweeps.plan.starter import data_of, starter_of
from tests.image_sources import class_labels, noise, numbered, part, write_images, write_table


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_the_spec_plans_at_once(tmp_path, source):
    if source == "folder":
        write_images(tmp_path / "my: images", [*part("train", count=12), *part("test", count=3), "train/a/.x.png"])
    else:
        write_table(tmp_path / "my: images/train.parquet", {"label": [n % 3 for n in range(30)]}, class_labels("xyz"))
    starter = starter_of(tmp_path / "my: images", {})
    text = starter.text("mine", str(tmp_path / "my: images"))
    (tmp_path / "mine.yaml").write_text(text)
    spec = read_spec(str(tmp_path / "mine.yaml"))
    assert (spec.name, spec.data.source, spec.data.path) == ("mine", source, str(tmp_path / "my: images"))
    assert spec.data.image_size is None
    assert len(trials_of(spec)) == 14
    check_networks(spec, starter.survey.summary.num_classes)
    assert "# left out: 1 hidden file" in text or source == "parquet"
    assert f"{starter.survey.summary.num_train} training" in text
    assert starter.seconds > 0


def test_photographs_are_resized_to_what_most_of_them_have(tmp_path):
    for number in range(12):
        for name in "ab":
            path = tmp_path / "set" / name / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise(number, (60 + number, 50)).save(path)
    assert data_of(tmp_path / "set", {}).config.image_size == 48


def test_many_classes_are_not_all_listed(tmp_path):
    write_images(tmp_path / "set", [path for number in range(11) for path in numbered(f"class{number:02}", 12)])
    text = starter_of(tmp_path / "set", {}).text("many", "set")
    assert "class06, class07 and 3 more" in text
    assert yaml.safe_load(text)["data"] == {"source": "folder", "path": "set"}


def test_what_cannot_be_read_is_one_sentence(tmp_path):
    write_images(tmp_path / "set", part("train"))
    (tmp_path / "set/train/a/0.png").write_bytes(b"")
    for folder, said in ((tmp_path / "gone", "no such folder"), (tmp_path / "set", "1 image cannot be read")):
        with pytest.raises(DataError, match=said):
            starter_of(folder, {})
