"""Fresh seeds of the arms that a sweep has selected, so that what is reported of them had no part in the selection.

A sweep's confirmation.json names its arms, each with a digest of its recipe, the seeds, and a digest of what they were
selected by. The plan of the sweep has their trials from then on, without those of arms whose recipe the spec no longer
has, and of seeds that the spec has taken for selection since.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from kd_core.config.identity import digest
from kd_core.store.records import Store
from sweeps.config.arms import PlannedTrial
from sweeps.config.sweep import SweepSpec


@dataclass(frozen=True)
class Confirmation:
    """What is confirmed: arms, by label with the digests of their recipes, and seeds; selection is what chose them."""

    arms: dict[str, str]
    seeds: tuple[int, ...]
    selection: str


def confirmation_of(store: Store, name: str) -> Confirmation | None:
    """What a sweep confirms, if anything."""
    content = store.sweep(name).confirmation()
    return Confirmation(content["arms"], tuple(content["seeds"]), content["selection"]) if content else None


def write_confirmation(
    spec: SweepSpec, store: Store, trials: Iterable[PlannedTrial], chosen: Sequence[str], num_seeds: int
) -> None:
    """Write that fresh seeds, num_seeds in all, of the chosen arms are wanted; trials are those of the spec.

    Seeds that are there already stay, and so do the arms, unless the spec has selected by anything else since. New
    seeds come after the largest one of the spec.
    """
    recipes = {trial.arm: _recipe(trial) for trial in trials}
    selected_by = spec.model_dump(mode="json", include={"seeds", "objectives", "early_stopping"})
    selection, known = digest(selected_by | {"recipes": recipes}), confirmation_of(store, spec.name)
    arms = {arm: recipes[arm] for arm in chosen}
    if known is not None and known.selection == selection:
        arms = known.arms
    seeds = [seed for seed in (known.seeds if known is not None else ()) if seed not in spec.seeds]
    later = (seed for seed in itertools.count(max(spec.seeds) + 1) if seed not in seeds)
    seeds += itertools.islice(later, max(0, num_seeds - len(seeds)))
    store.sweep(spec.name).write_confirmation(asdict(Confirmation(arms, tuple(seeds), selection)))


def confirming_trials(spec: SweepSpec, store: Store, trials: Iterable[PlannedTrial]) -> list[PlannedTrial]:
    """The trials on fresh seeds that a sweep wants beside the trials of its spec."""
    known, arms = confirmation_of(store, spec.name), {trial.arm: trial for trial in trials}
    if known is None:
        return []
    wanted = [arms[arm] for arm, recipe in known.arms.items() if arm in arms and _recipe(arms[arm]) == recipe]
    seeds = [seed for seed in known.seeds if seed not in spec.seeds]
    return [_with_seed(trial, seed) for trial in wanted for seed in seeds]


def _with_seed(trial: PlannedTrial, seed: int) -> PlannedTrial:
    config = trial.config.model_copy(update={"seed": seed})
    return replace(trial, label=f"{trial.arm} seed {seed}", config=config)


def _recipe(trial: PlannedTrial) -> str:
    """A digest of all that the trials of an arm share."""
    return digest(trial.config.model_dump(mode="json", exclude={"seed"}))
