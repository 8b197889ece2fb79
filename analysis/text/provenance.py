"""Which seeds the figures of a report come from, where some of them had a part in selecting the arms."""

import pandas as pd

from analysis.pareto import counted

_MOST_NAMED = 3  # arms


def provenance_of(runs: pd.DataFrame) -> list[str]:
    """Where the figures of the arms come from, in sentences; none where every seed ran to its end unjudged."""
    selecting, tested = counted(runs), counted(runs, "test")
    followers, scouts = (selecting.loc[selecting["role"] == role] for role in ("follower", "scout"))
    fresh = tested.loc[tested["role"] == "confirmation"]
    sentences = []
    if len(followers):
        of = f"figures are of {_seeds(followers)}, on which nothing was decided"
        sentences.append(
            f"Early stopping decided on {_seeds(runs.loc[runs['role'] == 'scout'])} of each arm alone; {of}."
        )
    if len(scouts):
        which = _arms(scouts, selecting)
        sentences.append(
            f"The figures of {which} are of {_seeds(scouts)}, on which early stopping has selected: another seed may "
            "show less."
        )
    if len(fresh):
        sentences.append(
            f"Confirmed: the figures on test of {_arms(fresh, tested)} are of {_seeds(fresh)} alone, trained after the "
            "selection; what was selected, and the front, are of the other seeds."
        )
    return sentences


def fresh_arms(runs: pd.DataFrame) -> set[str]:
    """The arms whose figures on test are of fresh seeds alone."""
    tested = counted(runs, "test")
    return set(tested.loc[tested["role"] == "confirmation", "arm"])


def _arms(some: pd.DataFrame, everyone: pd.DataFrame) -> str:
    """The arms of some runs: their names, of many the first ones, or that they are all."""
    names = some["arm"].drop_duplicates().tolist()
    if len(names) == everyone["arm"].nunique():
        return "all arms"
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + f" and {more} more" * (more > 0)


def _seeds(runs: pd.DataFrame) -> str:
    seeds = sorted(runs["seed"].unique())
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
