"""Checks the Optuna study of a search: what it proposes, and that it bears whatever comes of a trial."""

import pytest
from optuna.trial import TrialState

from sweeps.config.reader import read_spec
from sweeps.config.space import Space
from sweeps.search.study import Study, population_of

ARMS = (
    "arms=[{method: [kd, kd_mixup], teacher: resnet, temperature: {low: 1, high: 10}, alpha: {low: 0.1, high: 0.9}}, "
    "{method: mixup, train.learning_rate: {low: 0.001, high: 0.1, log: true}, train.epochs: {low: 2, high: 9}}, "
    "{method: kd, teacher: resnet, temperature: {low: 1, high: 10}}]"
)
SAMPLERS = ["nsga2", "tpe", "gp", "random"]


@pytest.fixture
def study_of(tiny):
    """A study of the space above for a sampler."""

    def study(sampler, num_known=0, arms=ARMS):
        search = f"search={{sampler: {sampler}, trials: 30}}"
        return Study(Space(read_spec(str(tiny), [search, arms])), num_known)

    return study


def figures(settings):
    """Objectives that pull in two directions."""
    temperature = settings.get("temperature", 5)
    return [temperature / 10, (temperature / 10) ** 2 + settings.get("alpha", 0.5)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_are_rounded_and_the_study_knows_the_rounded_ones(study_of, sampler):
    study = study_of(sampler)
    for number in range(16):
        trial, settings = study.ask()
        assert study.space.index_of(settings) is not None
        for name in ("temperature", "alpha", "train.learning_rate"):
            if name in settings:
                assert settings[name] == float(f"{settings[name]:.3g}") == study.trials[number].params[name]
        study.tell(trial, figures(settings))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_goes_on_from_finished_failed_and_stopped_points(study_of, sampler):
    first = study_of(sampler)
    known = [first.ask()[1] for _ in range(12)]
    study = study_of(sampler, num_known=12)
    with study.replaying():
        for index, settings in enumerate(known):
            if index % 4 == 3:
                study.tell(study.begin(settings), None, stopped=index % 8 == 3)
            else:
                study.tell(study.begin(settings), figures(settings))
    states = [each.state for each in study.trials]
    assert (states.count(TrialState.COMPLETE), states.count(TrialState.FAIL), states.count(TrialState.PRUNED)) == (
        9,
        1,
        2,
    )
    running = [study.ask() for _ in range(3)]
    for trial, settings in running:
        assert study.space.index_of(settings) is not None
        study.tell(trial, figures(settings))


def test_keys_of_equal_values_in_several_arms_are_one_parameter(study_of):
    study = study_of("random")
    for _ in range(20):
        study.ask()
    names = {name for each in study.trials for name in each.params}
    assert names == {"arm", "method", "temperature", "alpha", "train.learning_rate", "train.epochs"}
    other = study_of("random", arms=ARMS.replace("{low: 1, high: 10}}]", "{low: 2, high: 3}}]"))
    for _ in range(20):
        other.ask()
    assert {"arms[0].temperature", "arms[2].temperature"} < {name for each in other.trials for name in each.params}


def test_nsga2_breeds_from_what_was_known_before(study_of):
    """Of known points only hot ones are good: children are hot, but for mutations of one parameter in four."""
    free = "alpha: {low: 0, high: 1}, train.learning_rate: {low: 0.1, high: 1}, train.weight_decay: {low: 0, high: 1}"
    arms = f"arms=[{{method: kd, teacher: resnet, temperature: {{low: 1, high: 100}}, {free}}}]"
    num_known = 3 * population_of(30)
    study = study_of("nsga2", num_known, arms)
    with study.replaying():
        for number in range(num_known):
            temperature = 90 + number / 10 if number % 2 else 2 + number / 10
            settings = {"method": "kd", "teacher": "resnet", "temperature": temperature}
            settings |= {"alpha": 0.5, "train.learning_rate": 0.5, "train.weight_decay": 0.5}
            study.tell(study.begin(settings), [temperature, -temperature])
    children = [study.ask()[1]["temperature"] for _ in range(40)]
    assert sum(each > 80 for each in children) > 24


def test_another_start_proposes_other_points(study_of):
    firsts = [[study_of("random", num_known=known).ask()[1] for _ in range(1)] for known in (0, 0, 7)]
    assert firsts[0] == firsts[1] != firsts[2]


def test_a_generation_is_a_tenth_of_the_search_and_neither_tiny_nor_huge():
    assert [population_of(num_trials) for num_trials in (1, 69, 70, 100, 500, 10_000)] == [6, 6, 7, 10, 50, 50]
