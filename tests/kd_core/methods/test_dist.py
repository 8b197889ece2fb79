import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import pearsonr

from kd_core.methods.dist import correlation
from tests.kd_core.methods.samples import CLASSES, NUM, batch, in_every_setting, logits, loss_of


def formula(student, teacher, temperature, inter=1.0, intra=1.0):
    p, q = (softmax(x.numpy() / temperature, axis=1) for x in (student, teacher))
    rows = np.mean([1 - pearsonr(*pair)[0] for pair in zip(p, q, strict=True)])
    columns = np.mean([1 - pearsonr(*pair)[0] for pair in zip(p.T, q.T, strict=True)])
    return temperature**2 * (inter * rows + intra * columns)


@in_every_setting
def test_dist_equals_its_formula(temperature, mixed):
    student, teacher = logits(0), logits(1)
    loss = float(loss_of("dist", student, teacher, temperature, batch(mixed)))
    assert loss == pytest.approx(formula(student, teacher, temperature), rel=1e-6)


@pytest.mark.parametrize("options", [{"inter": 0.3}, {"intra": 2.0}])
def test_the_weights_of_dist_reach_its_loss(options):
    student, teacher = logits(0), logits(1)
    loss = float(loss_of("dist", student, teacher, 4.0, **options))
    assert loss == pytest.approx(formula(student, teacher, 4.0, **options), rel=1e-6)


def test_a_correlation_ignores_scale_and_shift():
    p, q = torch.rand(NUM, CLASSES), torch.rand(NUM, CLASSES)
    torch.testing.assert_close(correlation(3 * p + 1, q), correlation(p, q))
