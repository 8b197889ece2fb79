import pytest
from scipy.special import softmax

from tests.kd_core.methods.samples import in_every_setting, kl, loss_and_formula


def formula(student, teacher, temperature, label):
    powers = softmax(teacher) ** (1 / temperature)
    return powers.sum() * kl(powers / powers.sum(), softmax(student))


@in_every_setting
def test_wttm_equals_its_formula(temperature, mixed):
    loss, expected = loss_and_formula("wttm", formula, temperature, mixed)
    assert loss == pytest.approx(expected, rel=1e-6)
