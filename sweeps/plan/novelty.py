"""Why trials are new: the finished trial that is most like them, and the keys in which they differ."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from kd_core.config.identity import canonical_json, flattened, trial_identity
from kd_core.fields import shown
from kd_core.store.records import Store
from sweeps.plan.plan import Plan, TrialPlan

_MOST_READ = 200  # finished trials, so that a plan is quick in a large store
_MOST_COMPARED = 200  # new trials
_MOST_NAMED = 3  # keys of a sentence


@dataclass(frozen=True)
class Novelty:
    """Why trials are new that differ from finished ones in the same keys.

    label is that of the first of num_trials trials, nearest that of the finished trial most like it, with its sweep;
    differences holds, by dotted key, the value of the first and that of the finished trial.
    """

    label: str
    num_trials: int
    nearest: str
    differences: Mapping[str, tuple[Any, Any]]

    @property
    def sentence(self) -> str:
        """Why the trials are new, in one sentence."""
        others = f" and {self.num_trials - 1} more" if self.num_trials > 1 else ""
        texts = [f"{key} {shown(here)}, not {shown(there)}" for key, (here, there) in self.differences.items()]
        more = f", and {len(texts) - _MOST_NAMED} more keys" if len(texts) > _MOST_NAMED else ""
        return f"new: {self.label}{others}, unlike {self.nearest}: {'; '.join(texts[:_MOST_NAMED])}{more}"

    def as_json(self) -> dict[str, Any]:
        """The entry of `kdsweep plan --json`."""
        return vars(self) | {"differences": {key: list(pair) for key, pair in self.differences.items()}}


def novelties(plan: Plan, store: Store) -> list[Novelty]:
    """Why the trials of a plan are new that have not begun, the most alike together; none without a finished trial."""
    new = [each for each in plan.trials if each.status == "pending" and not each.num_trained][:_MOST_COMPARED]
    finished = dict(_finished(store, plan.spec.name)) if new else {}
    if not finished:
        return []
    found: dict[tuple[str, ...], Novelty] = {}
    for trial in new:
        novelty = _novelty(trial, plan, finished)
        first = found.setdefault(tuple(novelty.differences), replace(novelty, num_trials=0))
        found[tuple(novelty.differences)] = replace(first, num_trials=first.num_trials + 1)
    return list(found.values())


def _novelty(trial: TrialPlan, plan: Plan, finished: Mapping[str, frozenset[tuple[str, str]]]) -> Novelty:
    own = flattened(trial_identity(trial.trial.config, plan.data.fingerprint, plan.teacher_key(trial.trial)))
    items = _items(own)
    nearest = min(finished, key=lambda label: len(items ^ finished[label]))
    there = dict(finished[nearest] - items)
    keys = sorted({key for key, _ in items - finished[nearest]} | there.keys())
    here = {key: canonical_json(value) for key, value in own.items()}
    differences = {key: (here.get(key, "none"), there.get(key, "none")) for key in keys}
    return Novelty(trial.trial.label, 1, nearest, differences)


def _finished(store: Store, first: str) -> Iterator[tuple[str, frozenset[tuple[str, str]]]]:
    """The identities of finished trials, by label and sweep, those of the sweep `first` before others."""
    left = _MOST_READ
    for sweep in sorted(store.sweeps(), key=lambda sweep: sweep.name != first):
        with suppress(FileNotFoundError):
            entries = sweep.index().trials[:left]
            left -= len(entries)
            states = store.states(store.trial(entry.key) for entry in entries)
            for entry, state in zip(entries, states, strict=True):
                if state.manifest:
                    yield f"{entry.label} of {sweep.name}", _items(flattened(state.manifest.identity))


def _items(identity: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((key, canonical_json(value)) for key, value in identity.items())
