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
        (["train/train", "train/a"], {"train": "train"}, []),
        ([], {"train": ""}, []),
    ],
    ids=["parts", "flat test", "beside", "class train", "class test", "deeper", "train in train", "empty"],
)
def test_a_folder_is_a_part_if_the_training_folder_holds_folders(images, folders, beside):
    layout = layout_of(images)
    assert (layout.folders, layout.beside, layout.problems) == (folders, beside, [])


def test_what_may_be_meant_in_two_ways_is_a_problem():
    [twice] = layout_of(["train/a", "Training/a"]).problems
    assert twice.startswith("holds 'train', 'Training', each of which may be the train part; keep one")
    [without] = layout_of(["test/a", "b"]).problems
    assert without.startswith("holds 'test' and no training part; name the folder")


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (["set/train/a", "set/test/a"], "has its parts in the folder 'set'; give that one"),
        (["set/val/a", "set/test/a"], "has its parts in the folder 'set'; give that one"),
        (["train/train", "train/test/a"], "has its parts in the folder 'train'; give that one"),
        (["train/a", "train/val/a", "val/a"], "has its parts in the folder 'train'; give that one"),
        (
            ["a/train", "a/test", "b/train", "b/test"],
            "has parts in each of the folders",
        ),
    ],
    ids=["wrapped", "wrapped without training", "wrapped in train", "validation in train", "in each class"],
)
def test_parts_that_are_not_beside_each_other_are_a_problem(images, said):
    assert any(problem.startswith(said) for problem in layout_of(images).problems)
