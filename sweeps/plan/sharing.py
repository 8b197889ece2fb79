"""Which trials share one teacher signal, which epochs of it are stored, and whether to store the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kd_core.config.data import DataSummary
from kd_core.config.identity import digest, signal_identity
from kd_core.config.networks import TeacherConfig
from kd_core.config.trial import TrialConfig
from kd_core.store.records import Store
from kd_core.store.signal_record import SignalRecord
from sweeps.config.errors import SpecError
from sweeps.config.sweep import SignalConfig

_FLOAT16_BYTES = 2


@dataclass(frozen=True)
class Need:
    """A trial's need of the logits of the teacher of a key, which is that of its config.

    stands_for_others says that a search may propose trials that need the same; foreseen is false if a range of the
    search changes the teacher's input, so that almost no two trials need the same.
    """

    teacher: str
    trial: TrialConfig
    teacher_key: str
    pending: bool
    stands_for_others: bool = False
    foreseen: bool = True

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """The identity of the signal that it needs."""
        return signal_identity(self.trial, fingerprint, self.teacher_key)

    def signal_key(self, fingerprint: str) -> str:
        """The key of that signal."""
        return digest(self.identity(fingerprint))


@dataclass(frozen=True)
class SignalPlan:
    """The logits of one teacher on one vicinal stream.

    trial is any trial that shares it, pending_epochs holds the number of epochs of each pending trial, and shared says
    whether two or more pending trials are to be expected.
    """

    teacher: str
    trial: TrialConfig
    identity: dict[str, Any]
    record: SignalRecord
    num_trials: int
    pending_epochs: tuple[int, ...]
    num_epochs: int
    missing: tuple[int, ...]
    epoch_bytes: int
    stored: bool
    shared: bool
    foreseen: bool

    @property
    def network(self) -> TeacherConfig:
        """The config of the teacher."""
        (teacher,) = self.trial.teachers
        return teacher

    @property
    def label(self) -> str:
        """The teacher's name, and the mixup of its input images."""
        mixup = self.trial.mixup
        concentration = f"({mixup.concentration:g})" if mixup.concentration is not None else ""
        part = f" of {100 * mixup.fraction:g} %" if mixup.fraction < 1 and mixup.distribution != "off" else ""
        name = "unmixed" if mixup.distribution == "off" else mixup.distribution
        return f"{self.teacher} {name}{concentration}{part}"

    @property
    def epochs(self) -> range:
        """The epochs of the stream that the trials need."""
        return range(1, self.num_epochs + 1)

    @property
    def size_bytes(self) -> int:
        """The size of all its epochs."""
        return self.num_epochs * self.epoch_bytes

    @property
    def live_passes(self) -> int:
        """Passes of the teacher over the training images if every pending trial runs the teacher itself."""
        return sum(self.pending_epochs)

    @property
    def passes(self) -> int:
        """Passes of the teacher over the training images as planned; 0 if no trial is pending."""
        return len(self.missing) if self.stored and self.pending_epochs else self.live_passes


def share_signals(
    needs: Sequence[Need | None], store: Store, data: DataSummary, config: SignalConfig
) -> list[SignalPlan | None]:
    """The signal of each trial, the same one for all that can share it; None for a trial that needs no teacher.

    Raises SpecError if signals that must be stored exceed config.max_gib.
    """
    identities = [need.identity(data.fingerprint) if need else {} for need in needs]
    keys = [digest(identity) for identity in identities]
    groups: dict[str, list[Need]] = {}
    for key, need in zip(keys, needs, strict=True):
        if need is not None:
            groups.setdefault(key, []).append(need)
    signals = {key: _signal(group, identities[keys.index(key)], store, data) for key, group in groups.items()}
    stored = _stored(signals, config)
    signals = {key: replace(signal, stored=key in stored) for key, signal in signals.items()}
    return [signals.get(key) for key in keys]


def _signal(group: list[Need], identity: dict[str, Any], store: Store, data: DataSummary) -> SignalPlan:
    record = store.signal(digest(identity))
    pending = [need.trial for need in group if need.pending]
    num_epochs = max(trial.num_stream_epochs for trial in pending or [need.trial for need in group])
    return SignalPlan(
        teacher=group[0].teacher,
        trial=group[0].trial,
        identity=identity,
        record=record,
        num_trials=len(group),
        pending_epochs=tuple(trial.train.epochs for trial in pending),
        num_epochs=num_epochs,
        missing=tuple(sorted(set(range(1, num_epochs + 1)) - record.epochs())),
        epoch_bytes=group[0].trial.num_images(data) * data.num_classes * _FLOAT16_BYTES,
        stored=False,
        shared=len(pending) > 1 or any(need.stands_for_others for need in group),
        foreseen=group[0].foreseen,
    )


def _stored(signals: dict[str, SignalPlan], config: SignalConfig) -> set[str]:
    """The keys of the signals to store: those that save the most passes first, as long as they fit."""
    if config.mode == "live":
        return set()
    room, chosen = config.max_gib * 2**30, set()
    shareable = [(key, signal) for key, signal in signals.items() if signal.foreseen]
    if config.mode == "stored" and len(shareable) < len(signals):
        remedy = "give choices instead of that range, or set signal.mode=auto"
        raise SpecError(f"signal.mode: stored: a range of the arms makes a signal for every trial; {remedy}")
    for key, signal in sorted(shareable, key=lambda each: len(each[1].missing) - each[1].live_passes):
        fits = signal.size_bytes <= room
        if (config.mode == "auto" and (not signal.missing or (signal.shared and fits))) or config.mode == "stored":
            chosen.add(key)
            room -= signal.size_bytes
    if config.mode == "stored" and room < 0:
        needed = config.max_gib - room / 2**30
        remedy = "raise it, set signal.recycle to repeat fewer epochs, or set signal.mode=auto"
        raise SpecError(f"signal.max_gib: {config.max_gib:g}: the stored signals would take {needed:.3g}; {remedy}")
    return chosen
