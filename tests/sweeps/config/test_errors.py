"""A validation error becomes a sentence that names place, value and remedy."""

import pytest
from pydantic import ValidationError

from kd_core.config.recipe import TrainConfig
from sweeps.config.errors import sentence_of


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"epochs": 1, "batchsize": 2}, "train.batchsize: unknown key; did you mean batch_size?"),
        (
            {"epochs": 1, "pieces": [{"until": 1, "start": 0, "zzz": 0}]},
            "train.pieces[0].zzz: unknown key; remove it, or use one of until, start, end, shape",
        ),
        ({}, "train.epochs: missing; epochs is passes over the training images"),
        (
            {"epochs": -1},
            "train.epochs: -1: must be greater than or equal to 0; epochs is passes over the training images",
        ),
        (
            {"epochs": 1, "batch_size": 3},
            "train.batch_size: 3: must be even, since a slot and its mixup partner share a batch",
        ),
        (
            {"epochs": 1, "schedule": "piecewise", "pieces": [{"until": 1, "start": 0, "end": -1}]},
            "train.pieces[0].end: -1: must be greater than or equal to 0; end is learning rate at its end",
        ),
    ],
)
def test_the_first_problem_is_one_sentence(content, sentence):
    with pytest.raises(ValidationError) as error:
        TrainConfig.model_validate(content)
    assert sentence_of(error.value, TrainConfig, "train") == sentence
