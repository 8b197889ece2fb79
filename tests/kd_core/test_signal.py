import pytest
import torch

from kd_core.config import TeacherConfig
from kd_core.models import Network, build_teacher
from kd_core.signal import LiveSignal

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def teacher() -> Network:
    torch.manual_seed(0)
    return build_teacher(TeacherConfig(model="test_efficientnet", bottleneck=8), 5).train()


def test_a_live_signal_is_the_teachers_logits_rounded_to_half_precision(teacher):
    logits = LiveSignal(teacher).logits(1, slice(0, 4), IMAGES)
    exact = teacher.eval()(IMAGES).detach()
    assert logits.dtype == torch.float32
    assert torch.equal(logits, exact.half().float())
    assert not torch.equal(logits, exact)


def test_a_teacher_gives_the_same_answer_twice_and_learns_nothing(teacher):
    signal = LiveSignal(teacher)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    first, second = (signal.logits(epoch, slice(0, 4), IMAGES) for epoch in (1, 2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
