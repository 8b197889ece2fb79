"""A sweep read once: what its files say, for all who tell of it; only predictions and weights are read later."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from kd_core.config.errors import DamagedError
from kd_core.config.identity import digest
from kd_core.evaluate.latency import Latency, comparable, form_of
from kd_core.store.evaluation import EvaluationManifest
from kd_core.store.files import read_ahead, read_bytes
from kd_core.store.index import EvaluationIndex, FusedEntry, Index, TeacherEntry, TrialEntry
from kd_core.store.manifest import File
from kd_core.store.product import SPLITS, State, Status, predictions_name, status_of_fused
from kd_core.store.records import Store, SweepRecord, left_out

if TYPE_CHECKING:
    import numpy as np

    from kd_core.measure.predictions import Predictions


@dataclass(frozen=True)
class Member(State):
    """A trial or teacher of a sweep: what its files said."""

    @classmethod
    def of(cls, entry: TrialEntry | TeacherEntry, state: State) -> Self:
        """The trial or teacher with this entry, whose files said this."""
        values: dict[str, Any] = {each.name: getattr(state, each.name) for each in fields(State)}
        values["entry"] = entry
        return cls(**values)

    def predictions(self, split: str, with_logits: bool = False) -> "Predictions":
        """The predictions on a split, from one read.

        Raises FileNotFoundError before it is finished, and DamagedError if they are not those of the manifest.
        """
        from kd_core.measure.predictions import predictions_from_bytes

        path = self.product.path / predictions_name(split)
        if self.manifest is None:
            raise FileNotFoundError(f"{path}: is of a trial that is not finished")
        content = read_bytes(path)
        if File.of(content) != self.manifest.files[path.name]:
            raise DamagedError(f"{path}: is damaged: its sha256 is another")
        return predictions_from_bytes(content, with_logits)

    def checked(self) -> Self:
        """The same, but damaged if its predictions are; these are put aside then (`Product.check`)."""
        problem = next(self.product.check(*map(predictions_name, SPLITS)), "") if self.status == "finished" else ""
        return replace(self, status="damaged", problem=problem) if problem else self


@dataclass(frozen=True)
class Trial(Member):
    """A trial of a sweep, with its entry in the index."""

    entry: TrialEntry = field(kw_only=True)


@dataclass(frozen=True)
class Teacher(Member):
    """A teacher of a sweep, with its entry in the index."""

    entry: TeacherEntry = field(kw_only=True)


@dataclass(frozen=True)
class FusedTeacher:
    """A fused teacher of a sweep, with its entry in the index: no product, but what its members' files said."""

    entry: FusedEntry
    members: tuple[Teacher, ...]

    @property
    def key(self) -> str:
        """The key by which its figures are found."""
        return self.entry.key

    @property
    def status(self) -> Status:
        """The status that its members leave it."""
        return status_of_fused(member.status for member in self.members)

    @property
    def problem(self) -> str:
        """Which of its members cannot be asked; "" if all can, or may be yet."""
        lost = [each.entry.name for each in self.members if each.status in ("failed", "damaged")]
        return f"its member, {lost[0]}, is {self.status}" if lost else ""

    @property
    def description(self) -> str:
        """What it is, in a few words."""
        return f"{self.entry.rule} of {', '.join(self.entry.members)}"

    @property
    def num_parameters(self) -> int:
        """The parameters of all members, once they are finished."""
        return sum(member.result.num_parameters for member in self.members if member.result)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Its metrics, as those of a product (`kd_core.store.manifest.TrialResult`); {} before it is finished."""
        from kd_core.measure.predictions import summary_of

        return summary_of(self._splits) if self.status == "finished" else {}

    def predictions(self, split: str, with_logits: bool = False) -> "Predictions":
        """Its predictions on a split, by the mean of its members' probabilities at T = 1; raises as a member's does."""
        return self._splits[split]

    @cached_property
    def _splits(self) -> "dict[str, Predictions]":
        from kd_core.measure.predictions import validation_and_test_predictions

        return validation_and_test_predictions(self._said("validation"), self._said("test"))

    def _said(self, split: str) -> "tuple[np.ndarray, np.ndarray]":
        """Its logits [N, K] on a split, and the labels."""
        import numpy as np

        from kd_core.measure.fusion import fused_log_probabilities

        predictions = [member.predictions(split, with_logits=True) for member in self.members]
        logits = [each.logits for each in predictions]
        assert all(each is not None for each in logits), f"{self.entry.name}: its members' logits were not kept"
        return fused_log_probabilities(np.stack(logits), self.entry.rule), predictions[0].label  # type: ignore[arg-type]


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one time: its index, and its teachers and trials in the order of that."""

    store: Store
    sweep: SweepRecord
    index: Index
    teachers: list[Teacher]
    trials: list[Trial]

    @cached_property
    def fused(self) -> list[FusedTeacher]:
        """The fused teachers, of those."""
        teachers = {each.entry.name: each for each in self.teachers}
        return [FusedTeacher(entry, tuple(teachers[name] for name in entry.members)) for entry in self.index.fused]

    @property
    def all_teachers(self) -> list[Teacher | FusedTeacher]:
        """The teachers that trials learn from, and the members of fused ones."""
        return [*self.teachers, *self.fused]

    @property
    def left_out(self) -> list[bool]:
        """Which of the trials are left out, since their scout was stopped."""
        return left_out((each.entry.arm, each.entry.role, each.status) for each in self.trials)

    @cached_property
    def latencies(self) -> dict[str, Latency]:
        """The latency of each student by its trial's key, all from one device; empty if none was measured."""
        measured = self.store.latencies()
        by_form = comparable(measured, self.forms.values()) if measured else {}
        return {key: by_form[digest(form)] for key, form in self.forms.items() if digest(form) in by_form}

    @cached_property
    def forms(self) -> dict[str, dict[str, Any]]:
        """The form of each finished trial's student, by its key (`kd_core.evaluate.latency.form_of`)."""
        data = self.index.data
        return {
            trial.key: form_of(trial.config["student"], data.num_classes, data.image_size)
            for trial in self.trials
            if data and trial.manifest
        }

    @cached_property
    def evaluation_index(self) -> EvaluationIndex | None:
        """What its models were asked, and where the answers are; None if nothing was."""
        return self.sweep.evaluations()

    @cached_property
    def evaluations(self) -> dict[str, dict[str, EvaluationManifest]]:
        """The finished evaluations of each teacher and trial, by its key and the name of the evaluator."""
        index = self.evaluation_index
        asked = [
            (key, name, each) for key, names in (index.answers if index else {}).items() for name, each in names.items()
        ]
        manifests = read_ahead(lambda each: self.store.evaluation(each[2]).manifest(), asked)
        found: dict[str, dict[str, EvaluationManifest]] = {}
        for (key, name, _), manifest in zip(asked, manifests, strict=True):
            if manifest is not None:
                found.setdefault(key, {})[name] = manifest
        return found

    @cached_property
    def spec_yaml(self) -> str:
        """The resolved spec; empty if it is missing or damaged."""
        try:
            return self.sweep.spec_yaml()
        except (FileNotFoundError, DamagedError):
            return ""

    def checked(self) -> "Snapshot":
        """The same, of which those are damaged whose predictions are; this reads all of these."""
        teachers, trials = read_ahead(Teacher.checked, self.teachers), read_ahead(Trial.checked, self.trials)
        return replace(self, teachers=list(teachers), trials=list(trials))


def read_sweep(store: Store, name: str, known: Mapping[str, State] | None = None) -> Snapshot:
    """Read a sweep of a store, each file at most once; known products, by key, are not read again.

    Raises FileNotFoundError if the store has no such sweep.
    """
    sweep = store.sweep(name)
    index = sweep.index()
    teachers = store.states((store.teacher(entry.key) for entry in index.teachers), known)
    trials = store.states((store.trial(entry.key) for entry in index.trials), known)
    return Snapshot(
        store,
        sweep,
        index,
        list(map(Teacher.of, index.teachers, teachers)),
        list(map(Trial.of, index.trials, trials)),
    )


def reader_of(
    members: Iterable[Member | FusedTeacher], split: str, with_logits: bool = False
) -> Callable[[str], "Predictions"]:
    """A function that reads the predictions of these trials or teachers on a split, by their keys."""
    by_key = {member.key: member for member in members}
    return lambda key: by_key[key].predictions(split, with_logits)
