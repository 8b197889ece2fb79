"""The text files themselves; labelled folders are tested in test_folder.py."""

import pytest

from kd_core.config.errors import DataError
from kd_core.data.labels_file import Labelled, labels_of, read_labels


@pytest.mark.parametrize(
    "text",
    [
        "a.png,x\nb c.png,y\n",
        "a.png\tx\nb c.png\ty\n",
        "image;z;class\na.png;1;x\nb c.png;2;y\n",
        '"a.png","x"\n"b c.png",y',
    ],
)
def test_columns_are_found_in_files_of_all_forms(tmp_path, text):
    (tmp_path / "labels").write_text(text)
    assert read_labels(str(tmp_path / "labels"), {".png"}) == {"a.png": Labelled("x"), "b c.png": Labelled("y")}


def test_a_missing_file_or_one_that_is_no_text_is_one_sentence(tmp_path):
    (tmp_path / "latin.csv").write_bytes("a.png,caf\xe9".encode("latin-1"))
    for name, problem in (("latin.csv", "is no text in UTF-8"), ("gone.csv", "cannot be read"), ("", "cannot be read")):
        with pytest.raises(DataError, match=rf"data\.labels: .*{name}: {problem}"):
            read_labels(str(tmp_path / name), {".png"})


def test_a_name_that_two_images_have_labels_neither():
    labels = {"0.png": Labelled("x"), "a/1.png": Labelled("y"), "2": Labelled("z")}
    images = ["a/0.png", "b/0.png", "a/1.png", "b/1.png", "a/2.png"]
    assert labels_of(images, labels) == {"a/1.png": Labelled("y"), "a/2.png": Labelled("z")}
