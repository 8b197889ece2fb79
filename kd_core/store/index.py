"""The index of a sweep: its products, as its plan names them."""

from typing import Any, Literal

from kd_core.config.data import DataSummary
from kd_core.config.evaluation import EvaluateConfig
from kd_core.fields import Config
from kd_core.methods.fusion import FusionRule
from kd_core.store.manifest import Value

Role = Literal["", "scout", "follower", "confirmation"]


class TeacherEntry(Config):
    """A teacher of a sweep."""

    name: str
    key: str


class FusedEntry(Config):
    """A fused teacher of a sweep, by the names of its members."""

    name: str
    key: str
    """by which its figures are found; no product has it"""
    members: tuple[str, ...]
    rule: FusionRule


class SignalEntry(Config):
    """A stored signal of a sweep, and how many of its epochs are needed."""

    key: str
    label: str
    teacher: str
    epochs: int


class TrialEntry(Config):
    """A trial of a sweep."""

    key: str
    label: str
    """readable, and different from those of the other trials"""
    arm: str
    """the label without its seed"""
    teacher: str | None
    seed: int
    role: Role = ""
    """with early stopping, scout for the seed of an arm that may be stopped, and follower for the others; confirmation
    for seeds on which nothing was selected"""
    signal: str | None = None
    """the key of the stored signal that it learns from; of a fused teacher's, that of the first, if all are stored"""
    settings: dict[str, Any] | None = None
    """of a search, the point that it proposed"""


class Index(Value):
    """All products of a sweep, and what it asks of them."""

    sweep: str
    objectives: dict[str, str]
    data: DataSummary | None = None
    threads: dict[Literal["trial", "teacher"], int] | None = None
    """with which the sweep began"""
    teachers: tuple[TeacherEntry, ...] = ()
    fused: tuple[FusedEntry, ...] = ()
    signals: tuple[SignalEntry, ...] = ()
    trials: tuple[TrialEntry, ...]

    def members_of(self, teacher: str | None) -> tuple[str, ...]:
        """The names of the networks that a teacher is: itself, those that it fuses, or none without a teacher."""
        fused = next((entry.members for entry in self.fused if entry.name == teacher), None)
        return fused or (() if teacher is None else (teacher,))


class EvaluationIndex(Value):
    """What the models of a sweep are asked, and the keys of the answers."""

    config: EvaluateConfig
    """with which all of them were asked"""
    answers: dict[str, dict[str, str]]
    """the key of the evaluation by the key of the teacher or trial and the name of the evaluator"""
