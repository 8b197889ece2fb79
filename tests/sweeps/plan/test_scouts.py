"""Who may run where early stopping selects on the first seed of each arm."""

from sweeps.config.reader import read_spec
from sweeps.plan.scouts import role_of, status_in, stopping_of
from tests.products import STOP, finish

ARMS = ("teachers={}", "arms=[{method: [classic, mixup]}]", "seeds=[3, 0, 1]")
STOPPING = (*ARMS, "early_stopping={pareto_asha: {grace_epochs: 1}}")
LABELS = [f"{arm} seed {seed}" for arm in ("classic", "mixup") for seed in (3, 0, 1)]


def stop(plan, record, **more):
    """Write that the sweep of a plan has stopped a trial."""
    record.write_stop(STOP.model_copy(update=stopping_of(plan.spec) | more))


def labels(trials):
    """The labels of planned trials."""
    return [each.trial.label for each in trials]


def test_the_first_seed_scouts_and_only_with_early_stopping(tiny):
    spec = read_spec(str(tiny), STOPPING)
    assert [role_of(spec, seed) for seed in spec.seeds] == ["scout", "follower", "follower"]
    assert {role_of(read_spec(str(tiny), ARMS), seed) for seed in spec.seeds} == {""}


def test_who_is_left_out_is_done_and_wanted_again_once_the_rule_is_another(planned):
    plan = planned(*STOPPING)
    stop(plan, plan.trials[0].product)
    finish(plan.trials[3].product)
    again = planned(*STOPPING)
    assert [each.status for each in again.trials] == ["stopped"] * 3 + ["finished"] + ["pending"] * 2
    assert [each.status_text for each in again.trials[:2]] == ["stopped", "left out: its scout was stopped"]
    for each in again.trials[4:]:
        finish(each.product)
    assert planned(*STOPPING).up_to_date
    assert [each["status"] for each in planned(*STOPPING).as_json()["trials"]] == ["stopped"] * 3 + ["finished"] * 3
    assert [each.role for each in planned(*STOPPING).index().trials] == ["scout", *["follower"] * 2] * 2
    for others in (ARMS, (*STOPPING, "early_stopping.pareto_asha.tolerance=0.1")):
        assert labels(planned(*others).pending) == LABELS[:3]


def test_a_stop_of_a_follower_by_an_older_version_counts_for_nothing(planned):
    plan = planned(*STOPPING)
    scout, follower, _ = plan.trials[:3]
    finish(scout.product)
    stop(plan, follower.product)
    assert status_in(plan.spec, "follower", follower.product.state(), {}) == "pending"
    assert planned(*STOPPING).trials[1].status == "pending"


def test_a_follower_that_another_sweep_has_finished_stays_finished(planned):
    plan = planned(*STOPPING)
    stop(plan, plan.trials[0].product)
    finish(plan.trials[1].product)
    assert [each.status for each in planned(*STOPPING).trials[:3]] == ["stopped", "finished", "stopped"]


def test_a_stop_of_another_sweep_counts_for_nothing(planned):
    plan = planned(*STOPPING)
    stop(plan, plan.trials[0].product, sweep="other")
    assert planned(*STOPPING).trials[0].status == "pending"
