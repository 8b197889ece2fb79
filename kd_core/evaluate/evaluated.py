"""What is evaluated: the trained networks of a store, and the products that are to be made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kd_core.config.networks import NetworkConfig
from kd_core.methods.fusion import FusionRule
from kd_core.reliability.evaluator import Evaluator
from kd_core.store.evaluation import Evaluation
from kd_core.store.product import Product


@dataclass(frozen=True)
class Job:
    """One product to make: where it is kept, and the identity whose digest is its key."""

    record: Evaluation
    identity: dict[str, Any]

    @property
    def done(self) -> bool:
        """Whether the product is finished."""
        return self.record.manifest() is not None


@dataclass(frozen=True)
class EvaluatedModel:
    """A trained network: its form, the temperature fitted on validation, and its outputs by the name of the set."""

    label: str
    product: Product
    network: NetworkConfig
    num_classes: int
    num_parameters: int
    temperature: float
    outputs: Mapping[str, Job] = field(default_factory=dict)

    @property
    def networks(self) -> "tuple[EvaluatedModel, ...]":
        """The networks whose outputs it needs: its own."""
        return (self,)


@dataclass(frozen=True)
class FusedModel:
    """A fused teacher: networks, whose outputs it averages by a rule (`kd_core.methods.fusion`)."""

    networks: tuple[EvaluatedModel, ...]
    rule: FusionRule


@dataclass(frozen=True)
class Question:
    """What an evaluator asks of a model beside its teacher, None without one, and the product that is the answer."""

    evaluator: Evaluator
    model: EvaluatedModel
    teacher: EvaluatedModel | FusedModel | None
    job: Job

    @property
    def networks(self) -> tuple[EvaluatedModel, ...]:
        """The networks whose outputs the answer needs."""
        return (*self.model.networks, *(self.teacher.networks if self.teacher is not None else ()))
