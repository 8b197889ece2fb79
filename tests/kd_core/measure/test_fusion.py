import numpy as np
import pytest
import torch

from kd_core.measure.fusion import fused_log_probabilities
from kd_core.methods.fusion import fused_logits
from tests.kd_core.methods.test_fusion import RULES, fused, members


@pytest.mark.parametrize("rule", RULES)
def test_it_is_the_average_of_the_members_probabilities(rule):
    found = fused_log_probabilities(members().numpy().astype(np.float32), rule)
    assert found.dtype == np.float64
    np.testing.assert_allclose(np.exp(found), fused(members().float().double(), rule, lambda each: each), rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_it_is_what_students_are_taught_at_temperature_1(rule):
    taught = fused_logits(members(), rule, 1.0).log_softmax(dim=1)
    np.testing.assert_allclose(fused_log_probabilities(members().numpy(), rule), taught.numpy(), rtol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_members_that_are_certain_are_averaged_without_a_warning(rule):
    certain = np.array([[[1e4, 0, 0]], [[0, 1e4, 0]]])
    np.testing.assert_allclose(np.exp(fused_log_probabilities(certain, rule)), [[0.5, 0.5, 0]])
    taught = fused_logits(torch.tensor(certain), rule, 1.0).softmax(dim=1)
    np.testing.assert_allclose(taught.numpy(), [[0.5, 0.5, 0]])
