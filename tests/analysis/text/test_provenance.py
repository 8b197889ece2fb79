"""Where the figures of a report come from, in sentences."""

import pandas as pd
import pytest

from analysis.findings import findings_of
from analysis.snapshot import read_sweep
from analysis.text.provenance import provenance_of
from tests.products import members_of, write_members


@pytest.fixture
def store(make_sweep):
    """Four arms of two seeds, of which the first one scouts; the follower of classic has failed."""
    store = make_sweep(unfinished=("classic seed 1",))
    sweep = store.sweep("demo")
    trials = [each | {"role": "follower" if each["seed"] else "scout"} for each in members_of(sweep)["trials"]]
    write_members(sweep, "name: demo\n", members_of(sweep) | {"trials": trials})
    return store


def test_figures_are_of_the_followers_and_the_report_says_so_and_of_whom_there_are_none(store):
    findings = findings_of(read_sweep(store, "demo"))
    told = [
        "Early stopping decided on seed 0 of each arm alone; figures are of seed 1, on which nothing was decided.",
        "The figures of classic are of seed 0, on which early stopping has selected: another seed may show less.",
    ]
    assert findings.shipped.answer[-2:] == told
    assert findings.protocol["Selection"] == " ".join(told)
    assert findings.test.num_seeds == dict.fromkeys(findings.test.arms, 1)
    runs = findings.runs.set_index("label")
    for arm, seed in (("classic", 0), ("mixup", 1)):
        plain = findings.test.plain["accuracy"][findings.test.arms.index(arm)]
        assert plain == runs.loc[f"{arm} seed {seed}", "test/accuracy"]


def test_with_one_seed_figures_are_of_the_seed_that_was_selected(store):
    runs = findings_of(read_sweep(store, "demo")).runs
    (told,) = provenance_of(runs.loc[runs["role"] == "scout"])
    assert told.startswith("The figures of all arms are of seed 0, on which early stopping has selected: another")


def test_where_nothing_was_selected_nothing_is_said(make_sweep):
    findings = findings_of(read_sweep(make_sweep(), "demo"))
    assert provenance_of(findings.runs) == []
    assert "Selection" not in findings.protocol
    assert provenance_of(pd.DataFrame(columns=findings.runs.columns)) == []


def test_confirmed_arms_are_told_from_fresh_seeds_and_nothing_else_changes(make_sweep):
    store = make_sweep(seeds=(0, 1, 2))
    sweep, before = store.sweep("demo"), findings_of(read_sweep(make_sweep(seeds=(0, 1, 2)), "demo"))
    trials = members_of(sweep)["trials"]
    roles = {("mixup", 1): "confirmation", ("mixup", 2): "confirmation"}
    trials = [each | {"role": roles.get((each["arm"], each["seed"]), "")} for each in trials]
    write_members(sweep, "name: demo\n", members_of(sweep) | {"trials": trials})
    findings = findings_of(read_sweep(store, "demo"))
    told = "Confirmed: the figures on test of mixup are of seeds 1, 2 alone, trained after the selection"
    assert findings.shipped.answer[-1].startswith(told)
    assert findings.protocol["Selection"].startswith(told)
    assert findings.test.arms == before.test.arms
    assert findings.test.num_seeds == {arm: 2 if arm == "mixup" else 3 for arm in before.test.arms}
    assert findings.validation.num_seeds == {arm: 1 if arm == "mixup" else 3 for arm in before.test.arms}
    runs = findings.runs.set_index("label")
    fresh = runs.loc[["mixup seed 1", "mixup seed 2"], "test/accuracy"].mean()
    assert findings.test.plain["accuracy"][findings.test.arms.index("mixup")] == pytest.approx(fresh)
