import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from kd_core.methods.dus import DUS_BONUS, DUS_GAMMA, dus_loss
from tests.kd_core.methods.samples import batch, logits


def test_dus_is_focal_less_an_entropy_bonus_on_hard_examples():
    student, everything = logits(0), batch(mixed=False)
    values = []
    for sample, row in enumerate(student.numpy()):
        p, label = softmax(row), int(everything.labels[sample])
        focal = -((1 - p[label]) ** DUS_GAMMA) * np.log(p[label])
        values.append(focal - DUS_BONUS * (p[label] < 0.5) * entropy(p))
    assert float(dus_loss(student, everything)) == pytest.approx(np.mean(values), rel=1e-6)
