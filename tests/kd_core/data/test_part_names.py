import pytest

from kd_core.data.part_names import is_hidden, part_in, part_named


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(("train", "train"), ("Training", "train"), ("TRAIN_2", "train"), ("train2017", "train")),
        *(("val", "validation"), ("Valid", "validation"), ("dev", "validation"), ("validation-1", "validation")),
        *(("test", "test"), ("testing", "test"), ("Eval", "test"), ("tests", None)),
        *(("trainval", None), ("trains", None), ("cat", None), ("2017", None), ("", None)),
    ],
)
def test_a_folder_is_a_part_by_its_whole_name(name, part):
    assert part_named(name) == part


@pytest.mark.parametrize(
    ("stem", "part"),
    [
        *(
            ("train-00000-of-00002", "train"),
            ("partial-train", "train"),
            ("cifar_test_1", "test"),
            ("dev", "validation"),
        ),
        *(("trainval", None), ("train-test", None), ("0000", None), ("data", None)),
    ],
)
def test_a_file_is_of_the_one_part_that_a_word_of_it_names(stem, part):
    assert part_in(stem) == part


def test_hidden_files_are_those_of_systems_and_tools():
    hidden = [".git", "._0.png", ".ipynb_checkpoints", "__MACOSX", "Thumbs.db", "@eaDir", "desktop.ini"]
    assert [name for name in hidden if not is_hidden(name)] == []
    assert not any(map(is_hidden, ["cat", "_other", "train", "a.png"]))
