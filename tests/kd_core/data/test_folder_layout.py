import pytest

from kd_core.data.folder_layout import layout_of

PARTS = {"train": "train", "test": "Test"}


@pytest.mark.parametrize(
    ("images", "folders", "beside"),
    [
        (["train/a", "Test/a"], PARTS, []),
        (["train/a", "Test"], PARTS, []),
        (["train/a", "Test/a", "extra", ""], PARTS, ["extra"]),
        (["train", "bus"], {"train": ""}, []),
        (["a", "test"], {"train": ""}, []),
        (["a/x", "b/y"], {"train": ""}, []),
        ([], {"train": ""}, []),
    ],
    ids=["parts", "flat test", "beside", "class train", "class test", "deeper", "empty"],
)
def test_a_folder_is_a_part_if_the_training_folder_holds_folders(images, folders, beside):
    layout = layout_of(images)
    assert (layout.folders, layout.beside, layout.problems) == (folders, beside, [])


def test_what_may_be_meant_in_two_ways_is_a_problem():
    [twice] = layout_of(["train/a", "Training/a"]).problems
    assert twice.startswith("holds 'train', 'Training', each of which may be the train part; keep one")
    [without] = layout_of(["test/a", "b"]).problems
    assert without.startswith("holds 'test' and no training part; name the folder")
