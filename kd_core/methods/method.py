"""What a method is: a loss with its options, and all that a trial needs to know of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kd_core.fields import Config

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any  # what a trial is can be said without torch, so losses import its functions where they call them


UNLABELLED = -1  # the label of an image without one


class Batch(Protocol):
    """What a loss may know of the images: their mixed labels λy + (1 − λ)y′; y and y′ may be UNLABELLED."""

    @property
    def labels(self) -> Tensor:
        """The class y of each image, int64 [B]."""
        ...

    @property
    def partner_labels(self) -> Tensor:
        """The class y′ of the image that it is mixed with, int64 [B]."""
        ...

    @property
    def mixup_lambda(self) -> Tensor:
        """The weight λ of y, [B]; 1 where nothing is mixed."""
        ...


Loss = Callable[[Tensor, Tensor, Batch, Any, Any], Tensor]
"""The mean over a batch, in nats, of (student_logits [B, K], teacher_logits [B, K], batch, temperature, options).

temperature is a float, or sigma if the method takes it; options is a value of the method's own model, or None.
"""


@dataclass(frozen=True)
class Method:
    """One way of learning; a trial has the temperature and the weights that stand here where its spec gives none."""

    name: str
    source: str
    """the paper, then, after a comma, the place in it"""
    loss: Loss | None = None
    """of a student and its teacher; a method without one learns from hard labels only, and takes no teacher"""
    options: type[Config] | None = None
    """the settings of the loss, which a spec gives under the method's name"""
    temperature: float | None = 2.0
    alpha: float = 0.0
    """weight of the hard labels"""
    beta: float = 1.0
    """weight of the loss"""
    mixup: Literal["always", "never", "either"] = "either"
    twin: str | None = None
    """the method to take instead with the other kind of mixup, if this one is bound to its own"""
    takes_sigma: bool = False
    """whether temperature may be sigma"""
    fixes_scale: bool = True
    """whether the loss depends on the scale of the student's logits"""
    reads_labels: bool = False
    """whether the loss looks at the labels, so that every image must have one"""
    rescale: Callable[[Tensor], Tensor] | None = None
    """what the loss does, at any temperature, to the logits [B, K] of each side before it compares them"""
    loss_of_rescaled: Loss | None = None
    """the loss of logits to which that was done"""
    place: int = 100
    """where the method is listed; those of one place by name"""

    def __post_init__(self) -> None:
        assert (self.mixup == "either") == (self.twin is None), f"{self.name}: a bound method has a twin"
        whole = (self.rescale is None) == (self.loss_of_rescaled is None)
        assert whole, f"{self.name}: a rule of rescaling has a loss"

    @property
    def teacherless(self) -> bool:
        """Whether the method learns from hard labels only."""
        return self.loss is None

    @property
    def paper(self) -> str:
        """The paper alone, as in Zhao 2022."""
        return self.source.partition(",")[0]
