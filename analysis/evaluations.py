"""The evaluated models of a sweep, with what their evaluators found."""

from contextlib import suppress

from analysis.runs import temperature_name
from analysis.snapshot import Member, Snapshot
from analysis.statistics.beyond import Evaluated
from kd_core.config.errors import DamagedError
from kd_core.store.files import read_ahead


def evaluated_of(snapshot: Snapshot) -> list[Evaluated]:
    """Every evaluated teacher and trial of a sweep, teachers first; answers that are damaged are left out."""
    members = [each for each in (*snapshot.teachers, *snapshot.trials) if each.key in snapshot.evaluations]
    names = [(member.key, name) for member in members for name in snapshot.evaluations[member.key]]
    arrays = dict(zip(names, read_ahead(lambda each: _arrays(snapshot, *each), names), strict=True))
    return [
        Evaluated(
            key=member.key,
            **_identity(member),
            metrics={
                name: value
                for evaluation in snapshot.evaluations[member.key].values()
                for name, value in evaluation.metrics.items()
            },
            arrays={name: arrays[member.key, name] for name in snapshot.evaluations[member.key]},
        )
        for member in members
    ]


def _arrays(snapshot: Snapshot, key: str, name: str) -> dict:
    with suppress(DamagedError, FileNotFoundError):
        return snapshot.store.evaluation(snapshot.evaluations[key][name].key).arrays()
    return {}


def _identity(member: Member) -> dict[str, str]:
    entry = member.entry  # type: ignore[attr-defined]  # of a teacher or a trial
    if not hasattr(entry, "arm"):
        return {"label": f"teacher {entry.name}", "teacher": entry.name}
    return {
        "label": entry.label,
        "arm": entry.arm,
        "teacher": entry.teacher or "",
        "method": str(member.config.get("method", "")),
        "temperature": temperature_name(member.config.get("temperature")),
    }
