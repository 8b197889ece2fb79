"""The paths of a spec: relative to what they are, with variables replaced, wherever a spec may name one."""

from pathlib import Path

import pytest
import yaml

from kd_core.config.errors import SpecError
from sweeps.config.arms import trials_of
from sweeps.config.places import paths_of, placed
from sweeps.config.reader import parse_spec, read_spec, to_yaml
from tests.image_sources import write_images

PLACES = {  # a spec's content whose only path is at a location
    "data": (lambda path: {"data": {"path": path}}, ("data", "path")),
    "teacher": (lambda path: {"teachers": {"finetune": {"checkpoint": path}}}, ("teachers", "finetune", "checkpoint")),
    "student": (lambda path: {"student": {"checkpoint": path}}, ("student", "checkpoint")),
    "arm": (lambda path: {"arms": [{}, {"student.checkpoint": path}]}, ("arms", 1, "student.checkpoint")),
    "arm's grid": (lambda path: {"arms": [{"student.checkpoint": [None, path]}]}, ("arms", 0, "student.checkpoint", 1)),
    "arm's choices": (
        lambda path: {"arms": [{"student.checkpoint": {"choices": [path]}}]},
        ("arms", 0, "student.checkpoint", "choices", 0),
    ),
    "arm's student": (lambda path: {"arms": [{"student": {"checkpoint": path}}]}, ("arms", 0, "student", "checkpoint")),
    "arm's students": (
        lambda path: {"arms": [{"student": [{"model": "a"}, {"checkpoint": path}]}]},
        ("arms", 0, "student", 1, "checkpoint"),
    ),
}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An empty working folder, and beside it the folder of a spec."""
    for name in ("here", "spec"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here", tmp_path / "spec"


@pytest.mark.parametrize("place", PLACES)
def test_a_relative_path_is_one_of_the_folder_of_the_spec_and_by_an_option_one_of_the_working_folder(folders, place):
    content, location = PLACES[place]
    here, spec = folders
    assert placed(content("a/b"), spec) == content(str(spec / "a/b"))
    for length in range(1, len(location) + 1):
        assert placed(content("a/b"), spec, [location[:length]]) == content(str(here / "a/b"))
    assert placed(content("a/b"), spec, [("train",), ("arms", 2)]) == content(str(spec / "a/b"))
    assert placed(content("a/b"), Path("../spec")) == content(str(spec / "a/b"))


@pytest.mark.parametrize("place", PLACES)
def test_what_is_absolute_a_url_or_no_text_stays(folders, place):
    content, _ = PLACES[place]
    for path in ("/a/b", "s3://bucket/$a", None, 3, "~nobody-of-this-name/x"):
        assert placed(content(path), folders[1]) == content(path)


@pytest.mark.parametrize(
    "content",
    [
        {"name": "a", "data": {"label_column": "b"}, "teachers": {"checkpoint": "c", "big": {"model": "d"}}},
        {"arms": [{"teacher": ["a", "checkpoint"], "student.model": "b", "checkpoint": "c", "x": {"checkpoint": "d"}}]},
        {"data": "path", "arms": "a", "student": ["checkpoint"], 1: {2: "a"}, "train": {"path": "a"}},
        {"arms": [{1: "a", "": "b", ".": "c", "student.checkpoint.x": {"y": 1}}, "d"]},
    ],
)
def test_what_is_no_path_stays(folders, content):
    assert placed(content, folders[1]) == content


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~", "/home/me"),
        ("~/images", "/home/me/images"),
        ("$HOME/images", "/home/me/images"),
        ("${HOME}s/$NAME", "/home/mes/flowers"),
        ("$BUCKET/images", "s3://bucket/images"),
        ("sets/$NAME", "{spec}/sets/flowers"),
        ("a$", "{spec}/a$"),
        ("$odd", "{spec}/$odd"),
        ("../sets", "{parent}/sets"),
        ("/a/../b", "/b"),
        ("./a", "{spec}/a"),
    ],
)
def test_tilde_and_variables_are_replaced_unless_a_file_has_such_a_name(folders, monkeypatch, text, path):
    for name, value in {"HOME": "/home/me", "NAME": "flowers", "BUCKET": "s3://bucket"}.items():
        monkeypatch.setenv(name, value)
    spec = folders[1]
    (spec / "$odd").touch()
    meant = path.format(spec=spec, parent=spec.parent)
    assert placed({"data": {"path": text}}, spec) == {"data": {"path": meant}}
    assert placed({"data": {"path": meant}}, spec) == {"data": {"path": meant}}


@pytest.mark.parametrize("text", ["$NO_SUCH/a", "${NO_SUCH}", "$HOME/$NO_SUCH"])
def test_a_variable_that_is_not_set_is_one_sentence(folders, text):
    with pytest.raises(SpecError) as error:
        placed({"arms": [{"student.checkpoint": text}]}, folders[1])
    problem = "the variable NO_SUCH is not set here; set it, or give the whole path"
    assert str(error.value) == f"arms[0].student.checkpoint: {text}: {problem}"


def test_a_path_that_only_the_working_folder_has_is_told_what_to_write(folders):
    here, spec = folders
    (here / "data").mkdir()
    with pytest.raises(SpecError, match=r"^data\.path: data: a relative path begins in the folder of the spec, where"):
        placed({"data": {"path": "data"}}, spec)
    with pytest.raises(SpecError, match=r"; for that of the working folder write \.\./here/data$"):
        placed({"data": {"path": "data"}}, spec)
    assert placed({"data": {"path": "../here/data"}}, spec) == {"data": {"path": str(here / "data")}}
    (spec / "data").mkdir()
    assert placed({"data": {"path": "data"}}, spec) == {"data": {"path": str(spec / "data")}}


@pytest.mark.parametrize("path", ["x" * 5000, "../" + "x" * 5000, "a\0b", "../a\0b", "loop/../a"])
def test_a_name_that_no_file_can_have_is_left_to_others(folders, path):
    (folders[1] / "loop").symlink_to("loop")
    assert Path(placed({"data": {"path": path}}, folders[1])["data"]["path"]).is_absolute()


@pytest.fixture
def spec_file(tiny, cifar100, folders):
    """Where a spec lies beside a link to its data and an empty file of weights."""
    spec = folders[1]
    (spec / "data").symlink_to(cifar100)
    for name in ("teacher.safetensors", "student.safetensors"):
        (spec / name).touch()
    content = yaml.safe_load(tiny.read_text())
    content["data"] = {"source": "parquet", "path": "data", "label_column": "fine_label", "validation": 0.5}
    content["teachers"]["resnet"]["checkpoint"] = "teacher.safetensors"
    content["arms"].append({"method": "mixup", "student.checkpoint": [None, "student.safetensors"]})
    (spec / "tiny.yaml").write_text(yaml.safe_dump(content))
    return spec / "tiny.yaml"


def test_a_spec_means_the_same_wherever_it_is_read_and_its_record_has_absolute_paths(spec_file, monkeypatch):
    folder = spec_file.parent
    specs = []
    for working, name in ((folder, "tiny.yaml"), (folder.parent, "spec/tiny.yaml"), (Path("/"), str(spec_file))):
        monkeypatch.chdir(working)
        specs.append(read_spec(name))
    assert specs[0] == specs[1] == specs[2] == parse_spec(to_yaml(specs[0]), "stored")
    paths = {str(folder / name) for name in ("data", "teacher.safetensors", "student.safetensors")}
    assert {path for _, path in paths_of(specs[0])} == paths
    assert all(path in to_yaml(specs[0]) for path in paths)
    assert [trial.config.student.checkpoint for trial in trials_of(specs[0])][-2:] == [
        None,
        str(folder / "student.safetensors"),
    ]


def test_an_option_replaces_a_path_that_could_not_be_read_by_one_of_the_working_folder(spec_file, tmp_path):
    here = tmp_path / "here"
    (spec_file.parent / "data").rename(here / "mine")
    with pytest.raises(SpecError, match=r"tiny\.yaml: data\.path: .*/spec/data: no such folder"):
        read_spec(str(spec_file))
    assert read_spec(str(spec_file), ["data.path=mine"]).data.path == str(here / "mine")
    assert read_spec("cifar100", ["data.path=mine"]).data.path == str(here / "mine")
    with pytest.raises(SpecError, match=r"tiny\.yaml: data\.path: \$NO/x: the variable NO is not set here"):
        read_spec(str(spec_file), ["data.path=$NO/x"])
    weights = str(here / "w.safetensors")
    Path(weights).touch()
    spec = read_spec(str(spec_file), ["data.path=mine", "arms.-1={method: mixup, student.checkpoint: w.safetensors}"])
    assert spec.arms[-1]["student.checkpoint"] == weights


def test_a_labels_file_and_a_folder_of_a_model_are_found_from_the_spec(tmp_path, monkeypatch):
    """In the folder of the spec, which is not the working folder; the paths of both are checked and told."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "specs"
    write_images(folder / "images", [f"{number}.png" for number in range(20)])
    (folder / "labels.csv").write_text("".join(f"{number}.png,{number % 2}\n" for number in range(20)))
    (folder / "network").mkdir()
    (folder / "network/config.json").write_text("{}")
    content = {
        "name": "own",
        "data": {"source": "folder", "path": "images", "labels": "labels.csv"},
        "student": {"model": "local-dir:network"},
        "train": {"epochs": 1},
        "arms": [{"method": "classic"}],
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(content))
    spec = read_spec("specs/own.yaml")
    assert (spec.data.path, spec.data.labels) == (f"{folder}/images", f"{folder}/labels.csv")
    assert spec.student.model == f"local-dir:{folder}/network"
    assert dict(paths_of(spec)).keys() == {"data.path", "data.labels", "student.model"}
    for gone, said in (("labels.csv", "data.labels"), ("network/config.json", "student.model")):
        (folder / gone).unlink()
        with pytest.raises(SpecError, match=said):
            read_spec("specs/own.yaml")
        (folder / gone).write_text("0.png,a\n" if gone == "labels.csv" else "{}")
