"""What workers are told of the steps of the tiny sweep."""

from kd_core.config.identity import digest, trial_key
from kd_core.config.trial import TrialConfig
from kd_core.data.survey import summarize
from sweeps.config.reader import read_spec
from sweeps.engine.orders import order_of
from sweeps.plan.plan import plan_sweep
from sweeps.plan.schedule import Labelling


def plan_of(tiny, store, *overrides):
    """The plan of the tiny sweep in a store that has finished it."""
    spec = read_spec(str(tiny), overrides)
    return plan_sweep(spec, store, summarize(spec.data))


def test_a_worker_is_told_what_its_product_is_the_digest_of(tiny, tiny_store):
    plan = plan_of(tiny, tiny_store)
    orders = [order_of(step, plan, lambda signal: True) for step in (*plan.teachers, *plan.trials)]
    assert [order["kind"] for order in orders] == ["teacher", "trial", "trial", "trial"]
    assert [digest(order["identity"]) for order in orders] == [order["key"] for order in orders]
    teacher = TrialConfig.model_validate(orders[0]["config"])
    assert trial_key(teacher, plan.data.fingerprint) == orders[0]["key"]


def test_a_trial_reads_the_signals_that_can_be_read_and_is_made_from_the_weights_that_there_are(tiny, tiny_store):
    plan = plan_of(tiny, tiny_store)
    (teacher,) = plan.teachers
    for usable in (True, False):
        classic, *distilled = (order_of(each, plan, lambda signal, usable=usable: usable) for each in plan.trials)
        assert (classic["teachers"], classic["made_from"]) == ([], {})
        for order in distilled:
            (given,) = order["teachers"]
            assert (given["key"], given["made_from"], order["made_from"]) == (
                teacher.product.key,
                teacher.made_from,
                teacher.made_from,
            )
            assert given["signal"] == (plan.signals[0].identity if usable else None)


def test_a_labelling_names_its_teacher_and_its_epochs(tiny, tiny_store):
    plan = plan_of(tiny, tiny_store)
    order = order_of(Labelling(plan.signals[0], plan.teachers[0], (1, 2), 1, 2), plan, lambda signal: True)
    assert (order["kind"], order["key"], order["epochs"]) == ("signal", plan.signals[0].record.key, (2, 1))
    assert order["teachers"] == [{"key": plan.teachers[0].product.key}]
