import numpy as np

from kd_core.config.data import DataConfig, ViewConfig
from kd_core.data.samples import samples_of
from kd_core.data.survey import survey_of
from tests.image_sources import part, write_images


def test_samples_are_of_each_class_mixed_as_in_training_and_pairs_of_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_images(tmp_path / "set", [*part("train", count=12), *part("test", count=3)])
    (tmp_path / "set/test/b/0.png").write_bytes((tmp_path / "set/train/a/0.png").read_bytes())
    survey = survey_of(DataConfig(source="folder", path=str(tmp_path / "set"), image_size=4))
    samples = samples_of(survey, ViewConfig(padding=0, flip=False))
    assert samples.class_names == ("a", "b")
    assert [images.shape for images in samples.images] == [(8, 4, 4, 3)] * 2
    assert len(samples.mixed) == 16
    for image, text in samples.mixed:
        assert image.shape == (4, 4, 3)
        first, second = text.split(", ")
        assert sum(int(half.split("%")[0]) for half in (first, second)) in (99, 100, 101)
        assert {half.split()[-1] for half in (first, second)} <= {"a", "b"}
    [pair] = samples.pairs
    assert pair.why == "the same file"
    assert pair.names == ("train/a/0.png", "test/b/0.png")
    np.testing.assert_array_equal(*pair.images)


def test_a_mixed_image_is_the_sum_of_its_shares(tmp_path, monkeypatch):
    """Two classes of one colour each: the colour of a mixture tells the share in its caption."""
    from PIL import Image

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in (("black", 0), ("white", 200)):
        for split, count in (("train", 12), ("test", 2)):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (4, 4), (value, value, number)).save(tmp_path / "set" / split / name / f"{number}.png")
    samples = samples_of(survey_of(DataConfig(source="folder", path=str(tmp_path / "set"))), ViewConfig(padding=0))
    for image, text in samples.mixed:
        shares = dict.fromkeys(("black", "white"), 0)
        for half in text.split(", "):
            share, name = half.split("% ")
            shares[name] += int(share)
        assert abs(int(image[0, 0, 0]) - 2 * shares["white"]) <= 2
