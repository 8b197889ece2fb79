import numpy as np
import pytest
import torch

from kd_core.config.networks import StudentConfig
from kd_core.evaluate.evaluation import evaluate, predict
from kd_core.measure.predictions import RAW, SCALED, STANDARDIZED
from kd_core.networks.models import Network, build_student


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return build_student(StudentConfig(model="test_efficientnet", bottleneck=8, image_size=16), 10)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_logits_do_not_depend_on_the_batch_size(network, digits, batch_size):
    whole = predict(network, digits.validation)
    assert whole.shape == (12, 10)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(predict(network, digits.validation, batch_size), whole, atol=1e-5)


def test_predicting_is_in_evaluation_mode_and_changes_nothing(network, digits):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    np.testing.assert_array_equal(predict(network, digits.validation), predict(network, digits.validation))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_both_splits_are_read_at_the_temperature_of_validation(network, digits):
    splits = evaluate(network, digits)
    assert splits["validation"].temperature == splits["test"].temperature
    for name, split in (("validation", digits.validation), ("test", digits.test)):
        np.testing.assert_array_equal(splits[name].label, split.labels)
        np.testing.assert_array_equal(splits[name].logits, predict(network, split))
        np.testing.assert_array_equal(splits[name].prediction, splits[name].logits.argmax(axis=1))


def test_the_standardized_reading_is_there_when_asked_for(network, digits):
    for predictions in evaluate(network, digits).values():
        assert list(predictions.readings) == [RAW, SCALED]
        assert all(reading.classwise_ece is not None for reading in predictions.readings.values())
    for predictions in evaluate(network, digits, standardized=True).values():
        assert list(predictions.readings) == [RAW, SCALED, STANDARDIZED]
