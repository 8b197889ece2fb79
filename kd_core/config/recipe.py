"""The optimisation recipe of a network, as frozen values."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from kd_core.config.data import MixupConfig
from kd_core.fields import Config, Epochs, Mark, PositiveFloat, PositiveInt, even

Precision = Literal["float32", "bfloat16"]


class PieceConfig(Config):
    """One piece of a learning-rate schedule, which begins where the piece before it ends."""

    until: PositiveFloat
    """the epoch in which the piece ends"""
    start: Annotated[float, Field(ge=0)]
    """learning rate at its beginning"""
    end: Annotated[float, Field(ge=0)]
    """learning rate at its end"""
    shape: Literal["linear", "cosine"] = "linear"
    """interpolation from start to end"""


class TrainConfig(Config):
    """An optimisation recipe."""

    epochs: Epochs
    """passes over the training images"""
    batch_size: Annotated[int, Field(gt=0, le=2**20, json_schema_extra={"multipleOf": 2}), AfterValidator(even)] = 128
    """images per step, an even number"""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw, or sgd with Nesterov momentum 0.9"""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """the peak learning rate"""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """decoupled for adamw, L2 for sgd; not applied to one-dimensional weights (biases, norms)"""
    schedule: Literal["cosine", "constant", "step", "piecewise"] = "cosine"
    """the learning rate after warm-up: cosine (to zero), constant, step (a tenth at each milestone), or piecewise"""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0
    """epochs of linear warm-up from zero to the peak; not with piecewise"""
    milestones: tuple[PositiveFloat, ...] = ()
    """the epochs at which schedule: step divides the learning rate by ten"""
    pieces: tuple[PieceConfig, ...] = ()
    """the pieces of schedule: piecewise, as a list of {until, start, end, shape}; after the last, its end"""
    head_epochs: Epochs = 0
    """first epochs, in which only the classifier head is trained, on unmixed hard labels, at the peak rate"""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0
    """the share of a hard label that is spread over all classes"""
    uncertainty: Literal["dus"] | None = None
    """dus: hard labels by focal loss with an entropy bonus on hard examples (CUD-style, for a teacher)"""
    clip_norm: PositiveFloat | None = None
    """the norm to which gradients are clipped"""
    precision: Precision = "float32"
    """the precision of forward and backward passes, by autocast; on CPUs, bfloat16 makes small networks slower"""
    compile: bool = False
    """whether the student is compiled by torch.compile on a GPU"""
    deterministic: bool = False
    """whether a GPU uses deterministic algorithms; a CPU always does"""
    validation_interval: Annotated[PositiveInt, Mark.APART] = 1
    """the validation images are read every so many epochs, and after the first and the last; rungs of early stopping
    are read always"""

    @property
    def num_epochs(self) -> int:
        """The number of epochs of a trial, including the head epochs."""
        return self.head_epochs + self.epochs

    def validates(self, epoch: int) -> bool:
        """Whether the validation images are read after an epoch (1, 2, …)."""
        return epoch in (1, self.num_epochs) or epoch % self.validation_interval == 0

    @model_validator(mode="after")
    def _details_belong_to_the_schedule(self) -> Self:
        for name, schedule in (("milestones", "step"), ("pieces", "piecewise")):
            if bool(getattr(self, name)) != (self.schedule == schedule):
                raise ValueError(f"{name} are given with schedule: {schedule}, and only then")
        ends = [piece.until for piece in self.pieces]
        if ends != sorted(set(ends)):
            raise ValueError("pieces must end one after the other; order them by until")
        if self.uncertainty and self.label_smoothing:
            raise ValueError("uncertainty: dus replaces the cross-entropy, so label_smoothing has no effect; remove it")
        return self


class FinetuneConfig(TrainConfig):
    """How a teacher is fine-tuned on the data."""

    mixup: MixupConfig | None = None
    """the distribution of λ for a teacher trained with mixup (Medina 2026, appendix A); by default without"""
