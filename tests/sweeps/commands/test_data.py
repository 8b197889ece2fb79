"""`kdsweep data` and `kdsweep init`, as they are called."""

import json

import pytest
from click.testing import CliRunner

from sweeps.cli import main
from sweeps.config.reader import read_spec
from tests.image_sources import part, write_images, write_table


@pytest.fixture(autouse=True)
def images(tmp_path, monkeypatch):
    """A folder of images of two classes in the working folder, with a hidden file and an image in both parts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images", [*part("train", count=12), *part("test", count=3), "train/a/._x.png"])
    (tmp_path / "images/test/b/0.png").write_bytes((tmp_path / "images/train/a/0.png").read_bytes())
    return tmp_path / "images"


def called(*arguments: str):
    """The result of a command."""
    return CliRunner().invoke(main, list(arguments))


def test_data_shows_what_is_there(images, tmp_path):
    done = called("data", str(images), "--page", "data.html")
    assert done.exit_code == 0, done.stderr
    assert "22 training, 2 validation and 6 test images of 2 classes at 6 px" in done.stderr
    assert "30 PNG RGB" in done.stderr
    assert "left out: 1 hidden file or folder: train/a/._x.png" in done.stderr
    assert "doubtful: 1 test image also in train" in done.stderr
    assert done.stdout == ""
    assert "the same file" in (tmp_path / "data.html").read_text()


def test_data_of_a_spec_is_read_as_the_spec_says(images):
    json_of = {}
    for name, more in (("own", []), ("dropped", ["--set", "data.duplicates=drop_train"])):
        keys = ("data.source=folder", f"data.path={images}", "data.validation=0.1")
        done = called("data", "quickstart", "--json", *(f"--set={key}" for key in keys), *more)
        assert done.exit_code == 0, done.stderr
        json_of[name] = json.loads(done.stdout)
    assert json_of["own"]["images"] == {"train": [11, 11], "validation": [1, 1], "test": [3, 3]}
    assert json_of["own"]["classes"] == ["a", "b"]
    assert json_of["dropped"]["num_train"] == 21
    assert json_of["own"]["fingerprint"] != json_of["dropped"]["fingerprint"]


def test_everything_that_is_wrong_is_told_at_once_with_exit_code_2(images):
    (images / "train/c").mkdir()
    (images / "train/a/1.png").write_bytes(b"")
    (images / "train/a/2.png").write_bytes(b"no image")
    for arguments in (["data", str(images)], ["init", str(images)]):
        done = called(*arguments)
        assert done.exit_code == 2
        for said in ("class 'c' has no image", "1.png (empty)", "2.png (in no format", "(3)"):
            assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_init_writes_a_spec_once_and_plan_reads_it(images, tmp_path):
    done = called("init", str(images))
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith("wrote images.yaml; next: ")
    planned = called("plan", "images.yaml", "--json")
    assert planned.exit_code == 0, planned.stderr
    assert len(json.loads(planned.stdout)["trials"]) == 14
    before = (tmp_path / "images.yaml").read_text()
    again = called("init", str(images))
    assert again.exit_code == 2
    assert "images.yaml: is there already" in again.stderr
    assert (tmp_path / "images.yaml").read_text() == before


def test_what_a_folder_cannot_say_is_given_by_set(tmp_path):
    labels = [n % 3 for n in range(30)]
    write_table(tmp_path / "two/train.parquet", {"fine": [n % 6 for n in range(30)], "coarse": labels})
    for command in ("data", "init"):
        asked = called(command, "two")
        assert asked.exit_code == 2
        assert "two/train.parquet: has the label columns fine, coarse; say which" in asked.stderr
    done = called("init", "two", "--set", "data.label_column=coarse", "--set", "data.validation=0.25")
    assert done.exit_code == 0, done.stderr
    spec = read_spec("two.yaml")
    assert (spec.data.label_column, spec.data.validation, spec.data.image_size) == ("coarse", 0.25, None)
    assert json.loads(called("data", "two", "--json", "--set", "data.label_column=coarse").stdout)["num_classes"] == 3


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("train.epochs=3", "a folder has data only"),
        ("data.labelcolumn=x", "did you mean label_column?"),
        ("x", "KEY=VALUE"),
    ],
)
def test_what_is_no_option_of_the_data_is_refused(images, option, said):
    done = called("data", str(images), "--set", option)
    assert done.exit_code == 2
    assert said in done.stderr
