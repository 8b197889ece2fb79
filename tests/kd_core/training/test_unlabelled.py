"""Images without a label: what distilling learns from them, and what leaves all other training as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kd_core.data.dataset import Dataset, Split
from kd_core.training.loop import first_steps, train


def relabelled(dataset: Dataset, labels: np.ndarray) -> Dataset:
    """The dataset with the first of its training images, as many as there are labels [N]."""
    assert isinstance(dataset.train, Split)
    return replace(dataset, train=Split(dataset.train.images[: len(labels)], labels))


def same(results, others) -> bool:
    """Whether two trainings end with the same weights and losses, bit for bit."""
    (*_, first), (*_, second) = results, others
    states = first.network.state_dict(), second.network.state_dict()
    equal = all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    return equal and first.figures["train/loss"] == second.figures["train/loss"]


@pytest.mark.parametrize(
    ("method", "edits"),
    [
        ("kd", {}),
        ("kd_mixup", {}),
        ("kd_mixup", {"temperature": "sigma", "mixup": {"fraction": 0.5}}),
        *[(method, {"alpha": 0, "beta": 1}) for method in ("zscore", "dist", "wttm")],
    ],
)
def test_without_hard_labels_it_does_not_matter_which_images_have_one(trial, half_labelled, signal, method, edits):
    config = trial(method, train={"epochs": 2}, **edits)
    arbitrary = relabelled(half_labelled, np.random.default_rng(0).integers(0, 10, 107))
    assert same(train(config, half_labelled, signal), train(config, arbitrary, signal))


@pytest.mark.parametrize(
    ("method", "edits"), [("classic", {}), ("mixup", {}), ("kd_mixup", {"alpha": 1}), ("dkd", {"alpha": 1, "beta": 0})]
)
def test_hard_labels_alone_are_learnt_as_if_there_were_no_other_images(trial, half_labelled, signal, method, edits):
    config, labelled = trial(method, **edits), relabelled(half_labelled, half_labelled.train.labels[:60])
    teacher = None if config.teacher is None else signal
    assert same(train(config, half_labelled, teacher), train(config, labelled, teacher))


def test_the_head_is_learnt_from_the_labelled_images(trial, half_labelled, signal):
    config = trial("kd_mixup", train={"epochs": 1, "head_epochs": 1})
    labelled = relabelled(half_labelled, half_labelled.train.labels[:60])
    first, second = (next(train(config, dataset, signal)) for dataset in (half_labelled, labelled))
    assert same([first], [second])


@pytest.mark.parametrize(("method", "num_slots"), [("kd_mixup", 107), ("mixup", 60)])
def test_an_epoch_has_a_slot_for_each_image_that_counts(trial, half_labelled, signal, method, num_slots):
    slots = []

    class Recorder:
        """The signal, which remembers what it was asked."""

        def logits(self, epoch, batch, images):
            """The logits of a batch."""
            slots.append(batch)
            return signal.logits(epoch, batch, images)

    config = trial(method, alpha=0.2, train={"epochs": 1}) if method == "kd_mixup" else trial(method)
    if method == "kd_mixup":
        list(train(config, half_labelled, Recorder()))
        assert max(batch.stop for batch in slots) == num_slots
        assert len(list(first_steps(config, half_labelled, signal))) == 3
    assert config.num_images(half_labelled) == num_slots
    assert (half_labelled.num_train, half_labelled.num_unlabelled) == (60, 47)
