"""The teachers of a plan: those that are networks, each with its product, and those that fuse them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kd_core.config.data import DataSummary
from kd_core.config.identity import TeacherKey, digest, trial_key
from kd_core.config.networks import FusedTeacherConfig
from kd_core.config.trial import TrialConfig, finetuning_trial
from kd_core.methods.fusion import FusionRule
from kd_core.store.index import FusedEntry, TeacherEntry
from kd_core.store.manifest import MadeFrom, made_from_weights
from kd_core.store.product import Product, State, Status, status_of_fused
from kd_core.store.records import Store
from sweeps.config.arms import PlannedTrial
from sweeps.config.sweep import SweepSpec


@dataclass(frozen=True)
class TeacherPlan:
    """One teacher that the sweep's trials need, alone or fused: its fine-tuning as a trial, and its product's state."""

    name: str
    finetuning: TrialConfig
    state: State
    num_trials: int

    @property
    def product(self) -> Product:
        """The product that it makes."""
        return self.state.product

    @property
    def made_from(self) -> MadeFrom | None:
        """What its signal is made from; None until it is finished."""
        return made_from_weights([self.state.manifest.weights_sha256]) if self.state.manifest else None

    @property
    def entry(self) -> TeacherEntry:
        """Its entry in the index of the sweep."""
        return TeacherEntry(name=self.name, key=self.product.key)

    def as_json(self) -> dict[str, Any]:
        """Its entry in `kdsweep plan --json`."""
        return {"name": self.name, "status": self.state.status, "trials": self.num_trials}


@dataclass(frozen=True)
class FusedPlan:
    """A fused teacher that the sweep's trials need; it is finished once its members are."""

    name: str
    members: tuple[TeacherPlan, ...]
    rule: FusionRule
    num_trials: int

    @property
    def status(self) -> Status:
        """The status that its members leave it."""
        return status_of_fused(each.state.status for each in self.members)

    @property
    def entry(self) -> FusedEntry:
        """Its entry in the index of the sweep."""
        key = digest({"fuse": [each.product.key for each in self.members], "rule": self.rule})
        members = tuple(each.name for each in self.members)
        return FusedEntry(name=self.name, key=key, members=members, rule=self.rule)

    def as_json(self) -> dict[str, Any]:
        """Its entry in `kdsweep plan --json`."""
        fused = {"fuse": list(self.entry.members), "rule": self.rule}
        return {"name": self.name, "status": self.status, "trials": self.num_trials} | fused


def teachers_in(
    spec: SweepSpec, store: Store, data: DataSummary, trials: Sequence[PlannedTrial]
) -> tuple[dict[str, TeacherPlan], list[FusedPlan]]:
    """The teachers that some trials need: the networks by name, and the fused ones."""
    networks: dict[str, TeacherPlan] = {}
    for name, config in spec.single_teachers.items():
        if num_trials := sum(name in trial.members for trial in trials):
            finetuning = finetuning_trial(config, spec.data, spec.view)
            product = store.teacher(trial_key(finetuning, data.fingerprint))
            networks[name] = TeacherPlan(name, finetuning, product.state(), num_trials)
    fused = [
        FusedPlan(name, tuple(networks[member] for member in each.fuse), each.rule, num_trials)
        for name, each in spec.fused_teachers.items()
        if (num_trials := sum(trial.teacher == name for trial in trials))
    ]
    return networks, fused


def key_of_teacher(trial: PlannedTrial, teachers: Mapping[str, TeacherPlan]) -> TeacherKey:
    """What the identity of a trial says of its teacher, of networks by name."""
    keys = tuple(teachers[name].product.key for name in trial.members)
    return keys if isinstance(trial.config.teacher, FusedTeacherConfig) else next(iter(keys), None)


def made_from(trial: PlannedTrial, teachers: Mapping[str, TeacherPlan]) -> MadeFrom | None:
    """The hashes of the weights that a trial is made from; None until all that it learns from are finished."""
    manifests = [teachers[name].state.manifest for name in trial.members]
    finished = [manifest.weights_sha256 for manifest in manifests if manifest]
    return made_from_weights(finished) if len(finished) == len(manifests) else None
