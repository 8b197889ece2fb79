"""The remaining computation of a plan, in floating-point operations and teacher passes."""

from collections.abc import Iterable
from dataclasses import dataclass

from kd_core.config.identity import canonical_json
from kd_core.config.networks import NetworkConfig
from kd_core.config.trial import TrialConfig
from sweeps.plan.plan import Plan

_BACKWARD = 2  # a backward pass costs about two forward passes
_WORTH_SAYING = 1.2  # a smaller gain of bfloat16 is not worth another signal
_WORTH_A_HINT = 1.5  # a smaller one is not said where nobody has asked for it
_WORTH_MEASURING = 1e13  # operations of labelling, some tens of seconds; of fewer, measuring would cost a part


@dataclass(frozen=True)
class Cost:
    """The remaining computation: floating-point operations, and teacher passes over the training images.

    teacher_* are as planned; live_teacher_* are for the case that every trial runs its teacher.
    """

    student_flops: int
    teacher_flops: int
    live_teacher_flops: int
    finetuning_flops: int
    teacher_passes: int
    live_teacher_passes: int

    @property
    def total_flops(self) -> int:
        """All operations as planned."""
        return self.student_flops + self.teacher_flops + self.finetuning_flops


def cost_of(plan: Plan) -> Cost:
    """The cost of everything in a plan that is not finished, without evaluation."""
    forward = _ForwardFlops(plan.data.num_classes, plan.data.image_size)

    def training(trials: Iterable[TrialConfig]) -> int:
        """The operations of training their students."""
        flops = ((t, forward.of(t.student) * (1 + _BACKWARD)) for t in trials)
        return sum(of_image * trial.train.num_epochs * trial.num_images(plan.data) for trial, of_image in flops)

    live = [each for each in plan.signals if each.live_passes]
    teachers = [(forward.of(each.network) * each.trial.num_images(plan.data), each) for each in live]
    return Cost(
        student_flops=training(each.trial.config for each in plan.all_trials if not each.done),
        teacher_flops=sum(flops * signal.passes for flops, signal in teachers),
        live_teacher_flops=sum(flops * signal.live_passes for flops, signal in teachers),
        finetuning_flops=training(each.finetuning for each in plan.missing_teachers),
        teacher_passes=sum(signal.passes for signal in plan.signals),
        live_teacher_passes=sum(signal.live_passes for signal in plan.signals),
    )


def bfloat16_gains(plan: Plan) -> dict[str, float]:
    """Speed-up by bfloat16, on this machine, of each float32 teacher that has images to label.

    By teacher name; only gains of at least _WORTH_SAYING (`kd_core.networks.execution.bfloat16_gain`).
    """
    labelling = {each.teacher: each.network for each in plan.signals if each.passes}
    slow = {name: each for name, each in labelling.items() if each.precision == "float32"}
    if not slow:
        return {}
    from kd_core.networks.execution import bfloat16_gain

    gains = {name: bfloat16_gain(each, plan.data.num_classes, plan.data.image_size) for name, each in slow.items()}
    return {name: gain for name, gain in gains.items() if gain is not None and gain >= _WORTH_SAYING}


def bfloat16_hints(plan: Plan) -> list[str]:
    """A sentence for each teacher that would label much faster on these CPUs in bfloat16, with the key to set."""
    on_gpus = plan.spec.resources.gpu > 0 or plan.spec.resources.auto
    if on_gpus or not plan.signals or cost_of(plan).teacher_flops < _WORTH_MEASURING:
        return []
    return [bfloat16_text(*each) for each in bfloat16_gains(plan).items() if each[1] >= _WORTH_A_HINT]


def bfloat16_text(teacher: str, gain: float) -> str:
    """How much faster a teacher would label in bfloat16, and the key to set."""
    faster = f"measured here: {teacher} would label {gain:.1f} times faster"
    return f"{faster} with --set teachers.{teacher}.precision=bfloat16"


class _ForwardFlops:
    """Operations of one forward pass of one image, counted once per form of a network."""

    def __init__(self, num_classes: int, image_size: int) -> None:
        self.num_classes, self.image_size = num_classes, image_size
        self.known: dict[str, int] = {}

    def of(self, network: NetworkConfig) -> int:
        """The operations of a network, given by its config."""
        from kd_core.networks.models import forward_flops  # imports torch, which a finished plan does not need

        key = canonical_json(network.architecture)
        if key not in self.known:
            self.known[key] = forward_flops(network, self.num_classes, self.image_size)
        return self.known[key]
