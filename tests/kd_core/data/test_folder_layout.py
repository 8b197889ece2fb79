import pytest

from kd_core.data.folder_layout import layout_of

PARTS = {"train": "train", "test": "Test"}


@pytest.mark.parametrize(
    ("paths", "folders", "beside"),
    [
        (["train/a/0", "Test/a/0"], PARTS, []),
        (["train/a/0", "Test/0"], PARTS, []),
        (["train/a/0", "Test/a/0", "extra/0", "readme"], PARTS, ["extra"]),
        (["train/0", "bus/0"], {"train": ""}, []),
        (["a/0", "test/0"], {"train": ""}, []),
        (["a/x/0", "b/y/1"], {"train": ""}, []),
        ([], {"train": ""}, []),
    ],
    ids=["parts", "flat test", "beside", "class train", "class test", "deeper", "empty"],
)
def test_a_folder_is_a_part_if_the_training_folder_holds_folders(paths, folders, beside):
    layout = layout_of(paths)
    assert (layout.folders, layout.beside, layout.problems) == (folders, beside, [])


def test_what_may_be_meant_in_two_ways_is_a_problem():
    [twice] = layout_of(["train/a/0", "Training/a/0"]).problems
    assert twice.startswith("holds 'train', 'Training', each of which may be the train part; keep one")
    [without] = layout_of(["test/a/0", "b/0"]).problems
    assert without.startswith("holds 'test' and no training part; name the folder")
