"""The published files of CIFAR-10-C and CIFAR-100-C, in small."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kd_core.config.errors import DataError
from kd_core.evaluate.corruptions import CORRUPTIONS
from kd_core.evaluate.official_corruptions import official

TEST_LABELS = np.array([3, 1, 4, 1], dtype=np.int64)
NUM = len(TEST_LABELS)
FILES = ("gaussian_noise", "motion_blur", "fog", "jpeg_compression", "contrast", "pixelate")


def pixels(seed: int) -> np.ndarray:
    """Images as in one file."""
    return np.random.default_rng(seed).integers(0, 256, (5 * NUM, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder with the six corruptions, and two others."""
    for seed, name in enumerate([*FILES, "snow", "brightness"]):
        np.save(tmp_path / f"{name}.npy", pixels(seed))
    np.save(tmp_path / "labels.npy", np.tile(TEST_LABELS, 5).astype(np.uint8))
    return tmp_path


def sentence_of(folder):
    """The one sentence about a wrong folder."""
    with pytest.raises(DataError) as error:
        official(folder, TEST_LABELS)
    text = str(error.value)
    assert text.startswith(f"evaluate.corruptions: {folder}")
    assert text.isprintable()
    assert "; " in text
    return text


def test_corruptions_that_are_drawn_here_come_first_then_all_others(folder):
    (folder / "README.txt").write_text("not an array")
    (folder / "._fog.npy").write_bytes(b"what another system keeps beside a file")
    corruptions = official(folder, TEST_LABELS)
    assert corruptions.names == (*CORRUPTIONS, "brightness", "snow")
    assert corruptions.num_images == NUM


def test_the_folder_may_be_given_as_text_and_the_value_is_small_when_pickled(folder):
    corruptions = official(str(folder), TEST_LABELS)
    assert corruptions == official(folder, TEST_LABELS)
    text = pickle.dumps(corruptions)
    assert len(text) < 2000
    assert pickle.loads(text) == corruptions


@pytest.mark.parametrize("severity", range(1, 6))
def test_images_are_those_of_the_severity_and_the_numbers(folder, severity):
    corruptions, numbers = official(folder, TEST_LABELS), np.array([2, 0, 2])
    for seed, name in enumerate([*CORRUPTIONS, "snow", "brightness"]):
        images = corruptions.images(name, severity, numbers)
        expected = np.split(pixels(seed), 5)[severity - 1]
        np.testing.assert_array_equal(images, [expected[2], expected[0], expected[2]])
        assert type(images) is np.ndarray
        assert images.flags.writeable
    assert corruptions.images("fog", severity, np.array([], dtype=np.int64)).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(("severity", "number"), [(0, 0), (6, 0), (1, NUM), (1, -1)])
def test_there_is_no_other_severity_nor_number(folder, severity, number):
    with pytest.raises(AssertionError):
        official(folder, TEST_LABELS).images("fog", severity, np.array([number]))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16])
def test_labels_may_be_any_integers(folder, dtype):
    np.save(folder / "labels.npy", np.tile(TEST_LABELS, 5).astype(dtype))
    assert official(folder, TEST_LABELS).names


@pytest.mark.parametrize("name", [*FILES, "labels"])
def test_a_missing_file_is_one_sentence(folder, name):
    (folder / f"{name}.npy").unlink()
    assert f"{name}.npy: is missing; fetch" in sentence_of(folder)


def test_a_missing_folder_is_one_sentence(tmp_path):
    assert "is no folder; give" in sentence_of(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((5 * NUM, 32, 32, 3), np.float32), "float32 [20, 32, 32, 3]"),
        (np.zeros((5 * NUM, 3, 32, 32), np.uint8), "uint8 [20, 3, 32, 32]"),
        (np.zeros((5 * NUM - 1, 32, 32, 3), np.uint8), "uint8 [19, 32, 32, 3]"),
        (np.array(7, np.uint8), "uint8 []"),
    ],
)
@pytest.mark.parametrize("name", ["fog", "snow"])
def test_an_array_of_another_kind_is_one_sentence(folder, name, array, what):
    np.save(folder / f"{name}.npy", array)
    expected = f"{name}.npy: holds {what}, not uint8 [20, 32, 32, 3], each test image at five severities; fetch"
    assert expected in sentence_of(folder)


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (np.tile(TEST_LABELS, 5).astype(np.float64), "holds float64 [20], not integers [20], five a test image; give"),
        (TEST_LABELS, "holds int64 [4], not integers [20], five a test image; give"),
        (np.tile(TEST_LABELS, 5).reshape(5, NUM), "holds int64 [5, 4], not integers [20]"),
        (np.repeat(TEST_LABELS, 5), "has other labels than the test images in 10 of 20 rows; give"),
    ],
)
def test_other_labels_are_one_sentence(folder, labels, what):
    np.save(folder / "labels.npy", labels)
    assert f"labels.npy: {what}" in sentence_of(folder)


@pytest.mark.parametrize("name", ["labels", "jpeg_compression"])
def test_what_is_no_array_of_numbers_is_one_sentence(folder, name):
    file = folder / f"{name}.npy"
    whole = file.read_bytes()
    file.write_bytes(b"<html>\nnot found\n</html>")
    assert f"{name}.npy: is no whole .npy file of numbers (" in sentence_of(folder)
    file.write_bytes(whole[:-1])
    assert "is no whole .npy file" in sentence_of(folder)
    file.write_bytes(b"")
    assert "is no whole .npy file" in sentence_of(folder)
    np.savez(folder / "archive.npz", whole=np.zeros(3))
    (folder / "archive.npz").rename(file)
    assert "is no whole .npy file" in sentence_of(folder)
    file.unlink()
    file.mkdir()
    assert "is no whole .npy file" in sentence_of(folder)


class Bomb:
    """What does harm when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_a_pickle_is_one_sentence_and_is_not_loaded(folder):
    np.save(folder / "fog.npy", np.array([Bomb()] * (5 * NUM), dtype=object), allow_pickle=True)
    assert "fog.npy: is no whole .npy file of numbers (" in sentence_of(folder)
    (folder / "fog.npy").write_bytes(pickle.dumps(Bomb()))
    assert "fog.npy: is no whole .npy file of numbers (" in sentence_of(folder)


@settings(deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 127), byte=st.integers(0, 255))
def test_a_flipped_byte_of_a_header_is_read_or_one_sentence(folder, place, byte):
    np.save(folder / "fog.npy", pixels(2))
    with (folder / "fog.npy").open("r+b") as file:
        file.seek(place)
        file.write(bytes([byte]))
    try:
        official(folder, TEST_LABELS)
    except DataError:
        assert "fog.npy: " in sentence_of(folder)


def test_the_identity_is_that_of_the_files_content_not_of_their_place(folder, tmp_path_factory):
    identity = official(folder, TEST_LABELS).identity()
    assert list(identity) == [*CORRUPTIONS, "brightness", "snow"]
    assert identity["fog"]["size_bytes"] == (folder / "fog.npy").stat().st_size
    other = tmp_path_factory.mktemp("other")
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    assert official(other, TEST_LABELS).identity() == identity
    np.save(other / "fog.npy", pixels(9))
    changed = official(other, TEST_LABELS).identity()
    assert [name for name in identity if identity[name] != changed[name]] == ["fog"]


def test_both_ends_of_a_large_file_count(tmp_path):
    labels = np.zeros(200, np.int64)
    for name in FILES:
        np.save(tmp_path / f"{name}.npy", np.zeros((1000, 32, 32, 3), np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(1000, np.int64))
    hashes = {official(tmp_path, labels).identity()["fog"]["sha256"]}
    for number in (0, -1):
        images = np.zeros((1000, 32, 32, 3), np.uint8)
        images[number, 5] = 1
        np.save(tmp_path / "fog.npy", images)
        hashes.add(official(tmp_path, labels).identity()["fog"]["sha256"])
    assert len(hashes) == 3
