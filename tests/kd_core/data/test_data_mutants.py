"""Sources that a seeded generator has spoilt, and whether what is silently wrong with one would be seen."""

import random
from dataclasses import replace

import pytest

from kd_core.config.data import DataConfig, note
from tests.benchmarks.data_mutants import measure
from tests.benchmarks.data_truth import Comparison, Item, Loaded
from tests.benchmarks.pictures import picture


def test_of_spoilt_sources_none_is_a_traceback_or_silently_wrong():
    answered = measure(60, seed=1)
    assert answered["data_wrong"] == 0
    assert min(answered["data_read"], answered["data_sentences"]) > 15


CONFIG = DataConfig(source="folder", path="set")
GENERATOR = random.Random(0)
ITEMS = [Item(picture(GENERATOR), label, part) for part in ("train", "test") for label in ("cat", "dog")]
RIGHT = [Loaded(item.part, item.label, item.shown(CONFIG)) for item in ITEMS]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "wrong"),
    [
        (RIGHT, None),
        ([replace(RIGHT[0], split="validation"), *RIGHT[1:]], None),
        ([replace(RIGHT[0], label="dog"), *RIGHT[1:]], "'dog' in train is truly 'cat' of train"),
        ([replace(RIGHT[0], split="test"), *RIGHT[1:]], "'cat' in test is truly 'cat' of train"),
        ([*RIGHT[:2], replace(RIGHT[2], split="train"), RIGHT[3]], "'cat' in train is truly 'cat' of test"),
        ([replace(RIGHT[0], pixels=255 - RIGHT[0].pixels), *RIGHT[1:]], "'cat' in train is no file's"),
        ([RIGHT[0], *RIGHT], "'cat' in train is there once too often"),
        (RIGHT[1:], "'cat' in train is gone without a word"),
    ],
    ids=["right", "held out", "a label", "into test", "out of test", "pixels", "twice", "gone"],
)
def test_what_is_silently_wrong_is_seen(images, wrong):
    wrongs = Comparison(ITEMS, CONFIG, []).wrongs(images)
    assert any(wrong in each for each in wrongs) if wrong else not wrongs


def test_what_is_said_is_not_silently_wrong():
    [damaged, *others] = ITEMS
    items = [replace(damaged, picture=replace(damaged.picture, damaged=True)), *others]
    assert not Comparison(items, CONFIG, [note("left out", "1 unreadable image")]).wrongs(RIGHT[1:])
    assert Comparison(ITEMS, CONFIG, [note("left out", "1 unreadable image")]).wrongs(RIGHT[1:])
