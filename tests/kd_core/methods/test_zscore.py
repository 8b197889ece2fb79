import pytest
from scipy.special import softmax

from tests.kd_core.methods.samples import in_every_setting, kl, logits, loss_and_formula, loss_of


def formula(student, teacher, temperature, label):
    z = lambda x: (x - x.mean()) / x.std() / temperature  # noqa: E731
    return temperature**2 * kl(softmax(z(teacher)), softmax(z(student)))


@in_every_setting
def test_zscore_equals_its_formula(temperature, mixed):
    loss, expected = loss_and_formula("zscore", formula, temperature, mixed)
    assert loss == pytest.approx(expected, rel=1e-6)


def test_zscore_ignores_the_scale_of_either_side():
    student, teacher = logits(0), logits(1)
    scaled = loss_of("zscore", 7 * student, 0.1 * teacher)
    assert float(scaled) == pytest.approx(float(loss_of("zscore", student, teacher)), rel=1e-6)
