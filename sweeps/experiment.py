"""The front of a sweep as MLflow shows it, from the child runs of its experiment."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

from analysis.objectives import OBJECTIVES, scaled
from analysis.pareto import counted, front_of
from analysis.runs import objectives_of_experiment, runs_of_experiment
from analysis.text.tables import arm_rows
from sweeps.tracking.server import check_answers
from sweeps.tracking.trial_run import ESTIMATED


def rows_of_experiment(
    tracking_uri: str, experiment: str, objectives: Mapping[str, str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The rows of `kdsweep report --json`, {"front", "arms"}, by the objectives that MLflow shows, or by others.

    Others are read as shipped, as by the report. A row that breaks the bounds of ECE, which nobody can have measured,
    says so under `impossible`. Probabilities are those of the report in MLflow, and None without one or for other
    objectives than its own. Raises ValueError if there is no such experiment, or for an objective that is none, and
    OSError if a server does not answer at all.
    """
    check_answers(tracking_uri)
    runs, shown = runs_of_experiment(tracking_uri, experiment), objectives_of_experiment(tracking_uri, experiment)
    front = front_of(runs, scaled(objectives) if objectives else shown or scaled(OBJECTIVES))
    rows = arm_rows(front.points.assign(front_probability=math.nan, plausible=None), None, imported=True)
    told = counted(runs).drop_duplicates("arm").to_dict("records")  # the same for all its runs
    judged = front.objectives == shown
    arms = {
        row["arm"]: row | _estimates(run) | (_judgement(run) if judged else {})
        for row, run in zip(rows, told, strict=True)
    }
    return {"front": [arms[arm] for arm in front.members["arm"]], "arms": list(arms.values())}


def _judgement(run: Mapping[Hashable, Any]) -> dict[str, Any]:
    """The front probability of a run's arm, and whether it is plausible, if the run shows them."""
    probability = run.get("front_probability", math.nan)
    return {} if math.isnan(probability) else {"front_probability": probability, "plausible": bool(run["plausible"])}


def _estimates(run: Mapping[Hashable, Any]) -> dict[str, Any]:
    """The bias-corrected estimates of a run's arm, and their intervals, if the run shows them."""
    made: dict[str, Any] = {}
    for figure in ESTIMATED:
        low, high, value = (run.get(f"test/{figure}_{part}", math.nan) for part in ("low", "high", "estimate"))
        made |= {} if math.isnan(low + high) else {f"{figure}_interval": [low, high]}
        made |= {} if math.isnan(value) else {f"{figure}_estimate": value}
    return made
