"""Why trials are new: in which keys they differ from the finished trial that is most like them."""

from sweeps.plan.novelty import novelties


def test_trials_that_are_new_say_in_which_keys(planned, store):
    (novelty,) = novelties(planned("train.epochs=3", store=store), store)
    assert (novelty.label, novelty.num_trials) == ("classic seed 0", 3)
    assert novelty.differences == {"train.epochs": ("3", "2")}
    assert novelty.sentence == ("new: classic seed 0 and 2 more, unlike classic seed 0 of tiny: train.epochs 3, not 2")
    assert novelty.as_json()["differences"] == {"train.epochs": ["3", "2"]}


def test_each_difference_has_a_sentence_of_its_own(planned, store):
    plan = planned("arms.0={method: classic, train.weight_decay: 0}", "teachers.resnet.seed=4", store=store)
    first, second = novelties(plan, store)
    assert first.differences == {"train.weight_decay": ("0.0", "0.05")}
    assert second.differences.keys() == {"teacher.key"}
    assert second.num_trials == 2


def test_nothing_is_new_that_is_finished_and_nothing_is_like_it_in_an_empty_store(planned, store, empty):
    assert novelties(planned(store=store), store) == []
    assert novelties(planned(), empty) == []


def test_plan_prints_why_trials_are_new(kdsweep, tiny, store):
    done = kdsweep("plan", tiny, "--storage", store.root, "--set", "train.epochs=3")
    assert "new: classic seed 0 and 2 more, unlike classic seed 0 of tiny: train.epochs 3, not 2" in done.stderr
