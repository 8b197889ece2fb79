"""Tests the student as it is deployed, and that it is only taken together with the images that it was tested on."""

import dataclasses

import numpy as np
import pytest
import torch

from kd_core.config.errors import SpecError
from sweeps.promotion.student import student_of
from tests.products import members_of, write_members


def test_the_deployed_student_answers_as_the_trial_did(promoted, assert_stored):
    network = promoted.student.network()
    with torch.inference_mode():
        made = np.concatenate([network(images).numpy() for images in promoted.student.test.batches(200)])
    assert_stored(made)
    assert not network.training


def test_the_stored_probabilities_are_those_of_the_temperature(promoted):
    predictions = promoted.choice.trial.product.predictions("test")
    confidence = promoted.student.probabilities.max(axis=1)
    np.testing.assert_allclose(confidence, predictions.readings["temperature_scaled"].confidence, rtol=1e-5)


def test_the_calibration_images_are_validation_images_evenly_spread(promoted):
    images = promoted.student.calibration_images()
    assert images.shape == (30, 8, 8, 3)  # all that there are
    np.testing.assert_array_equal(images[-1], promoted.student.validation.image(29).numpy())


def test_a_student_is_built_without_disturbing_the_random_numbers(promoted):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    promoted.student.network()
    assert torch.rand(1) == expected


def test_other_test_images_than_the_trials_are_refused(store):
    sweep = store.sweep("tiny")
    record = store.trial(members_of(sweep)["trials"][0]["key"]).state()
    assert student_of(sweep, record).num_train == 90
    write_members(sweep, sweep.spec_yaml().replace("test: 0.4", "test: 0.3"), members_of(sweep))
    with pytest.raises(SpecError, match=r"spec\.yaml: data: its test labels are not those"):
        student_of(sweep, record)
    write_members(
        sweep, sweep.spec_yaml().replace("digits\n  path: null", "folder\n  path: /nowhere"), members_of(sweep)
    )
    with pytest.raises(SpecError, match=r"spec\.yaml: data\.path: /nowhere: no such folder"):
        student_of(sweep, record)
    (sweep.path / "spec.yaml").write_text("# sha256: 0\nname: tiny")
    with pytest.raises(SpecError, match=r"spec\.yaml: is damaged"):
        student_of(sweep, record)


def test_a_network_that_is_built_in_another_way_today_is_one_sentence(promoted):
    student = dataclasses.replace(promoted.student, class_names=("one", "two"))
    with pytest.raises(SpecError, match=r"student\.safetensors does not fit the network"):
        student.network()
