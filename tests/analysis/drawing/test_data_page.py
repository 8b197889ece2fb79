import re

import numpy as np

from analysis.drawing.data_page import data_page
from kd_core.config.data import note
from kd_core.data.samples import Pair, Samples


def samples() -> Samples:
    """Two classes, one of whose names is markup."""
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    return Samples(
        title="images of <b>mine</b>",
        class_names=("cat", "<script>alert(1)</script>"),
        images=[np.stack([image] * 3), np.stack([image] * 2)],
        mixed=[(image, "70% cat, 30% <i>dog</i>")],
        pairs=[Pair("the same file", ("train/a.png", "test/<b>.png"), (image, image))],
        counts={"train": [300, 100], "validation": [30, 10], "test": [3, 1]},
        notes=(note("left out", "1 hidden file", [".x"]), note("doubtful", "2 images also in train")),
    )


def test_the_page_shows_classes_mixtures_pairs_and_notes_and_trusts_no_name():
    page = data_page(samples())
    assert page.count("<img ") == 2 + 1 + 2
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 5
    for text in ("400 train, 40 validation, 4 test images of 2 classes", "70% cat", "the same file"):
        assert text in page
    assert '<p class="doubt"><strong>Doubtful:</strong> 2 images also in train' in page
    assert "<strong>Left out:</strong> 1 hidden file: .x" in page
    assert "width: 100.0%" in page
    assert "width: 33.3%" in page
    for markup in ("<script>alert", "<b>mine", "<i>dog", "<b>.png"):
        assert markup not in page
    assert "http://" not in page
    assert "https://" not in page


def test_equal_samples_give_equal_pages():
    assert data_page(samples()) == data_page(samples())
