"""Which trial is promoted: one that is named, or that of an arm on the sweep's front."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.choices import WORDS
from analysis.report import Report, update_report
from analysis.runs import runs_of
from analysis.snapshot import Member, Snapshot
from kd_core.config.errors import SpecError
from kd_core.measure.predictions import SCALED
from kd_core.store.product import SPLITS, predictions_name


@dataclass(frozen=True)
class Choice:
    """A finished trial, its row in the table of runs, what the report says of its arm, and why it is this one."""

    trial: Member
    run: dict[str, Any]
    report: Report
    arm: dict[str, Any]
    reason: str


def choose_trial(snapshot: Snapshot, wanted: str) -> Choice:
    """The trial that is wanted: one of WORDS, or a label or key, or the beginning of just one; raises SpecError.

    A word is that of the sweep's report, which is brought up to date: the arm that it names, as shipped. Of an arm with
    several seeds it is the best by the sweep's first objective, as in the report: on validation.
    """
    runs, name, report = runs_of(snapshot), snapshot.sweep.name, None
    if wanted in WORDS:
        report = update_report(snapshot)
        key, reason = _trial_of_word(report, name, wanted)
    else:
        key, reason = _trial_named(runs, name, wanted), "as named"
    place = runs["trial"].tolist().index(key)
    run, trial = {str(name): value for name, value in runs.iloc[place].items()}, snapshot.trials[place]
    _check_whole(trial, run)
    report = report or update_report(snapshot)
    arm = next(row for row in report.arms if key in row["trials"])
    return Choice(trial, run, report, arm, reason)


def _trial_of_word(report: Report, name: str, word: str) -> tuple[str, str]:
    """The key of the trial that one of WORDS means, and the reason."""
    shipped = report.content[SCALED]
    if word not in shipped["choices"]:
        raise SpecError(f"{name}: no trial has finished that could be promoted; run its spec first")
    arm = next(row for row in report.arms if row["arm"] == shipped["choices"][word])
    seeds = f", of {arm['num_seeds']} seeds the best by {next(iter(shipped['objectives']))}"
    return arm["trial"], f"{word} of the front as shipped{seeds if arm['num_seeds'] > 1 else ''}"


def _trial_named(runs: pd.DataFrame, name: str, wanted: str) -> str:
    """The key of the one trial with this label or key, or else with this beginning."""
    trials = [(str(row["trial"]), str(row["label"])) for _, row in runs.iterrows()]
    matches = [names for names in trials if wanted and wanted in names]
    matches = matches or [names for names in trials if wanted and any(text.startswith(wanted) for text in names)]
    if not matches:
        raise SpecError(f"{wanted}: {name} has no such trial; `kdsweep status {name}` lists their labels and keys")
    if len(matches) > 1:
        labels = " and ".join(repr(label) for _, label in matches[:2])
        raise SpecError(f"{wanted}: {len(matches)} trials begin so, such as {labels}; give more of its label or key")
    return matches[0][0]


def _check_whole(trial: Member, run: dict[str, Any]) -> None:
    """Raise SpecError unless everything of a trial that is promoted is whole."""
    if run["status"] != "finished":
        error = f" ({run['error']})" if run["error"] else ""
        raise SpecError(f"{run['label']}: is {run['status']}, not finished{error}; run its spec again, or name another")
    for problem in trial.product.check(trial.product.weights.name, *map(predictions_name, SPLITS)):
        raise SpecError(f"{problem}; run its spec again to make it anew")
