import numpy as np
import pytest

from kd_core.reliability.readings import readings, with_interval
from tests.kd_core.reliability.models import model


def test_readings_are_as_trained_and_temperature_scaled():
    student, teacher = model(temperature=2.0), model(temperature=0.5)
    assert list(readings(student, teacher)) == [("", (1.0, 1.0)), ("_scaled", (2.0, 0.5))]


def test_a_figure_has_the_ends_of_its_interval_beside_it():
    draws = np.arange(1001.0)
    number = dict(with_interval("a", np.float64(500), draws))
    assert number == pytest.approx({"a": 500, "a_low": 25, "a_high": 975})
    assert all(type(value) is float for value in number.values())
    curve = dict(with_interval("b", np.array([500.0, 0]), np.stack([draws, 0 * draws], axis=1)))
    assert list(curve) == ["b", "b_low", "b_high"]
    np.testing.assert_allclose(np.stack(list(curve.values())), [[500, 0], [25, 0], [975, 0]])
