"""What is confirmed of a sweep: which arms and seeds, how long they are wanted, and that later seeds only add."""

from sweeps.config.arms import trials_of
from sweeps.plan.confirmation import confirmation_of, confirming_trials, write_confirmation
from sweeps.plan.scouts import stopping_of
from sweeps.plan.upkeep import problems_of
from sweeps.plan.wanted import trials_wanted
from tests.products import STOP, write_members

ARMS = ("teachers={}", "arms=[{method: [classic, mixup], train.epochs: [2, 3]}]", "seeds=[0, 5]")
CHOSEN = ["classic train.epochs=2", "mixup train.epochs=3"]


def confirm(plan, store, num_seeds, chosen=tuple(CHOSEN)):
    """Write down that arms of a plan are to be confirmed."""
    write_confirmation(plan.spec, store, trials_of(plan.spec), chosen, num_seeds)


def fresh(plan):
    """The labels of the trials of a plan that confirm."""
    return [each.trial.label for each in plan.trials if each.role == "confirmation"]


def test_fresh_seeds_of_the_chosen_arms_come_last_in_the_plan_and_differ_in_nothing_else(planned, empty):
    plan = planned(*ARMS)
    assert fresh(plan) == []
    confirm(plan, empty, 2)
    again = planned(*ARMS)
    assert fresh(again) == [f"{arm} seed {seed}" for arm in CHOSEN for seed in (6, 7)]
    assert again.trials[:8] == plan.trials
    alike = {each.trial.config.model_copy(update={"seed": 0}) for each in again.trials if each.trial.arm == CHOSEN[0]}
    assert len(alike) == 1
    assert len({each.product.key for each in again.trials}) == 12
    assert [each.role for each in again.index().trials] == [""] * 8 + ["confirmation"] * 4
    assert not again.up_to_date


def test_more_seeds_are_added_to_the_same_arms_and_fewer_take_none_away(planned, empty):
    confirm(planned(*ARMS), empty, 1)
    confirm(planned(*ARMS), empty, 3, ["mixup train.epochs=2"])
    assert confirmation_of(empty, "tiny").seeds == (6, 7, 8)
    assert list(confirmation_of(empty, "tiny").arms) == CHOSEN
    confirm(planned(*ARMS), empty, 2)
    assert confirmation_of(empty, "tiny").seeds == (6, 7, 8)


def test_an_arm_with_another_recipe_is_confirmed_no_more_and_what_selects_by_more_chooses_anew(planned, empty):
    confirm(planned(*ARMS), empty, 1)
    assert fresh(planned(*ARMS, "train.batch_size=16")) == []
    assert fresh(planned(*ARMS, "arms.0.method=mixup")) == ["mixup train.epochs=3 seed 6"]
    assert fresh(planned(*ARMS, "resources.cpu=2", "retries=3")) == [f"{arm} seed 6" for arm in CHOSEN]
    more = planned(*ARMS, "seeds=[0, 5, 6]")
    assert fresh(more) == []  # seed 6 is of the selection now
    confirm(more, empty, 1, ["mixup train.epochs=2"])
    assert fresh(planned(*ARMS, "seeds=[0, 5, 6]")) == ["mixup train.epochs=2 seed 7"]


def test_a_damaged_confirmation_is_as_good_as_none_and_is_told_and_written_again_as_it_was(planned, empty):
    plan = planned(*ARMS)
    plan.write(empty)
    confirm(plan, empty, 2)
    before, path = confirmation_of(empty, "tiny"), empty.sweep("tiny").path / "confirmation.json"
    assert list(problems_of(empty, "tiny")) == []
    path.write_text(path.read_text().replace("6", "9"))
    assert fresh(planned(*ARMS)) == []
    assert "confirmation.json: is damaged" in next(problems_of(empty, "tiny"))
    confirm(planned(*ARMS), empty, 2)
    assert confirmation_of(empty, "tiny") == before


def test_no_rung_decides_on_what_confirms(planned, empty):
    overrides = (*ARMS, "early_stopping={pareto_asha: {grace_epochs: 1}}")
    confirm(planned(*overrides), empty, 1)
    plan = planned(*overrides)
    trial = plan.trials[-1]
    trial.product.write_stop(STOP.model_copy(update=stopping_of(plan.spec)))
    assert [each.status for each in planned(*overrides).trials[-2:]] == ["pending", "pending"]


def test_a_search_confirms_points_that_it_has_proposed_and_proposes_none_for_it(planned, empty):
    search = ("teachers={}", "arms=[{method: mixup, train.learning_rate: {low: 0.1, high: 1}}]")
    search += ("search={sampler: random, trials: 3}",)
    plan, settings = planned(*search), [{"method": "mixup", "train.learning_rate": rate} for rate in (0.25, 0.5)]
    members = [
        {"key": str(rate), "label": "", "arm": "", "teacher": None, "seed": 0, "settings": rate} for rate in settings
    ]
    write_members(empty.sweep("tiny"), "", plan.index().model_dump(mode="json") | {"trials": members})
    wanted = trials_wanted(plan.spec, empty)
    assert len(wanted.trials) == 2
    write_confirmation(plan.spec, empty, wanted.trials, [wanted.trials[1].arm], 2)
    again = trials_wanted(plan.spec, empty)
    assert again.num_unproposed == wanted.num_unproposed == 1
    assert [each.label for each in again.trials[2:]] == [f"{wanted.trials[1].arm} seed {seed}" for seed in (1, 2)]
    assert [each.settings for each in again.trials[2:]] == [settings[1]] * 2
    assert confirming_trials(plan.spec, empty, wanted.trials) == again.trials[2:]
