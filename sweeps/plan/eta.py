"""How long what is left of a sweep will take, from the epochs of trials of the same form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from kd_core.config.data import DataSummary
from kd_core.config.identity import canonical_json
from kd_core.config.networks import ARCHITECTURE
from kd_core.store.files import read_ahead
from kd_core.store.index import Index, TeacherEntry, TrialEntry
from kd_core.store.manifest import Begun
from kd_core.store.product import State
from kd_core.store.records import Store, SweepRecord

if TYPE_CHECKING:
    from sweeps.plan.plan import Plan, TrialPlan

_RECIPE = ("batch_size", "optimizer", "precision", "compile", "deterministic")
_DATA = {"num_train", "num_unlabelled", "num_validation", "num_classes", "image_size"}
_ENOUGH = 20  # trials of a form; more tell nothing new
_MOST_READ = 200  # configs of earlier trials, so that a plan is quick in a large store


@dataclass(frozen=True)
class Work:
    """The epochs that a trial or teacher has left, and its form; the form is "" if it is not known yet."""

    form: str
    epochs: float


@dataclass(frozen=True)
class TimeLeft:
    """The estimated time of some work; seconds is None if nothing is known of any of it.

    It is estimated from num_trials trials, and leaves out num_unknown trials, of whose form none has finished an epoch.
    """

    seconds: float | None
    num_trials: int
    num_unknown: int
    at_most: bool = False

    def __str__(self) -> str:
        if self.seconds is None:
            return "unknown (no trial of this form has finished an epoch)"
        least = "at least" if self.num_unknown else "at most" if self.at_most else "about"
        trials = f"{self.num_trials} trial{'' if self.num_trials == 1 else 's'} of the same form"
        others = f"; unknown for {self.num_unknown} of another form" if self.num_unknown else ""
        return f"{least} {duration_text(self.seconds)} (from {trials}{others})"

    def as_json(self) -> dict[str, Any]:
        """The entry `time` of `kdsweep plan --json`."""
        return {"seconds": self.seconds, "num_trials": self.num_trials, "num_unknown": self.num_unknown}


class Paces:
    """How many seconds an epoch takes, by the form of the trial, from trials that have run."""

    def __init__(self) -> None:
        self._epochs: dict[str, dict[str, list[float]]] = {}
        self._medians: dict[str, float] = {}

    def add(self, form: str, trial: str, seconds: Iterable[float]) -> None:
        """Count epochs of one trial."""
        if seconds := list(seconds):
            self._epochs.setdefault(form, {}).setdefault(trial, []).extend(seconds)
            self._medians.pop(form, None)

    def num_trials(self, form: str) -> int:
        """How many trials of a form have told their epochs."""
        return len(self._epochs.get(form, ()))

    def seconds(self, form: str) -> float | None:
        """The median over the trials of a form of their median epoch; None if none has finished an epoch.

        Of a form that is not known, "", this is the mean of all trials' medians.
        """
        if form not in self._medians:
            forms = self._epochs.values() if form == "" else [self._epochs.get(form, {})]
            trials = [median(epochs) for each in forms for epochs in each.values()]
            if not trials:
                return None
            self._medians[form] = fmean(trials) if form == "" else median(trials)
        return self._medians[form]

    def time_left(self, works: Iterable[Work], at_once: int = 1) -> TimeLeft:
        """The time of some work, if at_once trials run at a time."""
        known, forms, num_unknown = [], set(), 0
        for work in works:
            pace = self.seconds(work.form)
            if pace is None:
                num_unknown += 1
            else:
                known.append(work.epochs * pace)
                forms |= {work.form} if work.form else self._epochs.keys()
        num_trials = sum(map(self.num_trials, forms))
        seconds = max(sum(known) / max(1, at_once), max(known)) if known else None if num_unknown else 0.0
        return TimeLeft(seconds, num_trials, num_unknown)


def form_of_trial(config: Mapping[str, Any], data: DataSummary | None, stored: bool, threads: int | None) -> str:
    """What the time of an epoch depends on, as JSON; config is the JSON of a TrialConfig."""
    teacher = config["teacher"]
    live = _live_form(teacher) if teacher and not stored else None
    return canonical_json(
        {
            "student": {name: config["student"][name] for name in ARCHITECTURE},
            "teacher": "stored" if teacher and stored else live,
            "train": {name: config["train"][name] for name in _RECIPE},
            "data": data and data.model_dump(include=_DATA),
            "streaming": config["data"]["streaming"],
            "view": config["view"],
            "threads": threads,
        }
    )


def _live_form(teacher: Mapping[str, Any]) -> Any:
    """What the time of a teacher's answer depends on, by the JSON of its config: each member's, if it is fused."""
    if "fuse" in teacher:
        return [_live_form(member) for member in teacher["fuse"]]
    return {name: teacher[name] for name in (*ARCHITECTURE, "precision")}


def form_in_plan(trial: TrialPlan, plan: Plan) -> str:
    """The form of a planned trial."""
    return form_of_trial(trial.trial.config.model_dump(mode="json"), plan.data, trial.stored, plan.threads["trial"])


def time_of(plan: Plan, store: Store) -> TimeLeft:
    """The time of all training that a plan leaves, one trial after another, from earlier trials and teachers.

    The labelling of signals is not in it.
    """
    left = [each for each in plan.all_trials if not each.done]
    works = [
        Work(form_in_plan(each, plan), each.trial.config.train.num_epochs - num_trained)
        for each, num_trained in zip(left, read_ahead(lambda each: each.num_trained, left), strict=True)
    ]
    for each in plan.missing_teachers:
        config = each.finetuning.model_dump(mode="json")
        form = form_of_trial(config, plan.data, False, plan.threads["teacher"])
        works.append(Work(form, each.finetuning.train.num_epochs - each.state.journal.num_epochs))
    works = [work for work in works if work.epochs > 0]
    return paces_in(store, {work.form for work in works}, first=plan.spec.name).time_left(works)


def paces_in(store: Store, forms: set[str], first: str) -> Paces:
    """The paces of these forms by finished trials and teachers of a store, those of the sweep `first` before others.

    Of one form, only the trials of one device count: that of the first one found.
    """
    paces, devices, num_read = Paces(), dict[str, str](), 0
    for sweep in sorted(store.sweeps(), key=lambda each: each.name != first) if forms else ():
        for form, state, device in _finished(store, sweep):
            num_read += 1
            if form in forms and devices.setdefault(form, device) == device:
                paces.add(form, state.key, (row["epoch_s"] for row in state.epochs if "epoch_s" in row))
            if num_read == _MOST_READ or all(paces.num_trials(each) >= _ENOUGH for each in forms):
                return paces
    return paces


def _finished(store: Store, sweep: SweepRecord) -> Iterator[tuple[str, State, str]]:
    """Form, state and device of each finished trial and teacher of a sweep."""
    with suppress(FileNotFoundError):
        index = sweep.index()
        products = [store.trial(entry.key) for entry in index.trials]
        products += [store.teacher(entry.key) for entry in index.teachers]
        entries = [*index.trials, *index.teachers]
        for entry, state in zip(entries, store.states(products), strict=True):
            if state.manifest:
                yield form_of_entry(entry, state.manifest.begun, index), state, state.manifest.machine["device"]


def form_of_entry(entry: TrialEntry | TeacherEntry | None, begun: Begun, index: Index) -> str:
    """The form of a trial or teacher that a sweep lists; None for one that it does not list yet."""
    stored = isinstance(entry, TrialEntry) and entry.signal is not None
    return form_of_trial(begun.recipe, index.data, stored, begun.threads)


def duration_text(seconds: float) -> str:
    """A time in its two largest units, or one: 50 s, 7 min, 2 h 5 min, 3 d 4 h."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
