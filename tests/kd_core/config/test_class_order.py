import json

import pytest

from kd_core.config.class_order import classes_problem, places_of, read_classes
from kd_core.config.errors import ModelError

NAMES = ("cat", "tiger cat", "ångström")
FORMS = {
    "lines": "cat\ntiger cat\r\n ångström \n\n",
    "lines with a mark of their encoding": "\ufeffcat\ntiger cat\nångström",
    "list": json.dumps(NAMES),
    "names by index": '{"2": "ångström", "0": "cat", "1": "tiger cat"}',
    "indices by name": '{"ångström": 2, "cat": 0, "tiger cat": 1}',
}
MISTAKES = {
    "": "names no class",
    "[]": "names no class",
    "cat\ndog\ncat": "names cat twice",
    '{"1": "cat", "2": "dog"}': "is no JSON of names",
    "[cat]": "is no JSON of names",
    '[["n01440764", "tench"]]': "holds more than names",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_classes_has_one_of_several_forms(tmp_path, form):
    (tmp_path / "classes").write_text(FORMS[form], encoding="utf-8")
    assert read_classes(str(tmp_path / "classes")) == NAMES
    assert classes_problem(str(tmp_path / "classes")) is None


def test_numbers_are_names_too(tmp_path):
    (tmp_path / "classes.json").write_text("[1, 10, 2]")
    assert read_classes(str(tmp_path / "classes.json")) == ("1", "10", "2")


@pytest.mark.parametrize("content", MISTAKES)
def test_a_file_that_names_no_classes_is_one_sentence(tmp_path, content):
    (tmp_path / "classes").write_text(content)
    said = classes_problem(str(tmp_path / "classes"))
    assert said is not None
    assert MISTAKES[content] in said
    assert said.endswith('give one name a line, or JSON: a list of names, or {"0": name, …}')


def test_a_file_that_is_no_text_is_one_sentence(tmp_path):
    (tmp_path / "classes").write_bytes(b"\xff\xfe\x00")
    for path, problem in (("classes", "no text in UTF-8"), ("gone", "no such file")):
        assert problem in str(classes_problem(str(tmp_path / path)))


def test_the_places_of_the_datas_classes_are_found_by_name():
    assert places_of(("1", "10", "2"), [str(number) for number in range(1, 11)]) == [0, 9, 1]
    with pytest.raises(
        ModelError, match="the data's class tabby is not among its 3 names, the nearest is cat"
    ) as caught:
        places_of(("cat", "tabby"), ("cat", "dog", "ox"))
    assert caught.value.key == "classes"
