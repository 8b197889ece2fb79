"""Which seeds the figures of a report come from, where some of them had a part in selecting the arms."""

import pandas as pd

from analysis.pareto import counted


def sources_of(runs: pd.DataFrame) -> list[str]:
    """Where the figures of the arms come from, in sentences; none where every seed ran to its end unjudged."""
    used = counted(runs)
    followers, scouts = (used.loc[used["role"] == role] for role in ("follower", "scout"))
    told = []
    if len(followers):
        seeds = _seeds(runs.loc[runs["role"] == "scout"])
        of = f"figures are of {_seeds(followers)}, on which nothing was decided"
        told.append(f"Early stopping decided on {seeds} of each arm alone; {of}.")
    if len(scouts):
        which = ", ".join(scouts["arm"]) if len(followers) else "all arms"
        told.append(
            f"The figures of {which} are of {_seeds(scouts)}, on which early stopping has selected: another seed may "
            "show less."
        )
    return told


def _seeds(runs: pd.DataFrame) -> str:
    seeds = sorted(runs["seed"].unique())
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
