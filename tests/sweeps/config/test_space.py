"""Checks the space of a search: what its arms allow, and how configs are found again in it."""

import random

import pytest

from kd_core.config.errors import SpecError
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec
from sweeps.config.space import Range, Space

SEARCH = "search={sampler: random, trials: 5}"
WIDE = (
    "arms=[{method: [classic, mixup], train.epochs: {low: 2, high: 9}}, "
    "{method: kd_mixup, teacher: [resnet], temperature: {low: 1, high: 8, log: true}, alpha: {choices: [0.1, 0.5]}}]"
)


@pytest.fixture
def space_of(tiny):
    """The space of the tiny sweep with these arms."""

    def space(*overrides):
        return Space(read_spec(str(tiny), [SEARCH, *overrides]))

    return space


def test_a_range_holds_what_lies_in_it_and_proposes_readable_numbers():
    wide, whole = Range(0.0012345, 1, log=True), Range(2, 9, whole=True)
    assert 0.5 in wide
    assert 2 not in wide
    assert "0.5" not in wide
    assert True not in wide
    assert 2.5 not in whole
    assert 3.0 in whole
    assert wide.rounded(0.123456) == 0.123
    assert wide.rounded(0.001) == 0.0012345  # never below the range
    assert whole.rounded(4.6) == 5
    assert isinstance(whole.rounded(4.6), int)


def test_a_key_of_whole_numbers_is_found_by_what_a_trial_takes(space_of):
    epochs, temperature = (space_of(WIDE).arms[index] for index in (0, 1))
    assert epochs["train.epochs"] == Range(2, 9, whole=True)
    assert temperature["temperature"] == Range(1, 8, log=True)
    assert temperature["alpha"] == [0.1, 0.5]


def test_random_points_lie_in_the_space_and_reach_all_of_its_choices(space_of):
    space, rng = space_of(WIDE), random.Random(0)
    drawn = [space.drawn(rng) for _ in range(200)]
    assert all(space.index_of(settings) is not None for settings in drawn)
    assert {settings["method"] for settings in drawn} == {"classic", "mixup", "kd_mixup"}
    assert {settings["train.epochs"] for settings in drawn if "train.epochs" in settings} == set(range(2, 10))
    temperatures = [settings["temperature"] for settings in drawn if "temperature" in settings]
    assert 0.35 < sum(each < 8**0.5 for each in temperatures) / len(temperatures) < 0.65  # equal ratios


def test_the_config_of_any_trial_leads_back_to_its_point(space_of):
    space, rng = space_of(WIDE, "seeds=[0, 3]"), random.Random(0)
    for settings in (space.drawn(rng) for _ in range(20)):
        for trial in space.trials(settings):
            assert space.settings_of(trial.config) == settings


def test_trials_of_another_sweep_are_found_unless_they_lie_outside(space_of, tiny):
    space = space_of("arms=[{method: kd_mixup, teacher: resnet, temperature: {low: 1, high: 8}}]")
    found = [space.settings_of(trial.config) for trial in trials_of(read_spec(str(tiny)))]
    assert found == [None, {"method": "kd_mixup", "teacher": "resnet", "temperature": 2}, None]
    longer = read_spec(str(tiny), ["train.epochs=3"])
    assert not any(space.settings_of(trial.config) for trial in trials_of(longer))


def test_a_space_of_few_points_knows_them_all(space_of):
    few = space_of("arms=[{method: [classic, mixup], train.epochs: {low: 1, high: 3}}, {method: classic}]")
    assert few.size == 6  # classic of two epochs twice
    assert len(list(few.points())) == 7
    assert space_of(WIDE).size == float("inf")


@pytest.mark.parametrize(
    ("arm", "problem"),
    [
        ("temperature: {low: 8, high: 1}", "arms[0].temperature: low 8 must be below high 1; swap them"),
        ("temperature: {low: 1}", "arms[0].temperature.high: missing; high is the largest number"),
        ("temperature: {low: 0, high: 1, log: true}", "arms[0].temperature: low 0 has no logarithm; raise it above 0"),
        ("temperature: {low: 1, hihg: 2}", "arms[0].temperature.hihg: unknown key; did you mean high?"),
        ("temperature: {low: -1, high: 2}", "arms[0].temperature: -1"),
        ("alpha: {low: 0.1, high: 7}", "arms[0].alpha: 7"),
        ("train.epochs: {low: 1.5, high: 7}", "arms[0].train.epochs: 1.5"),
        ("alpha: {choices: 3}", "arms[0].alpha.choices: 3: must be a list of values"),
        ("alpha: {choices: []}", "arms[0].alpha: []: an empty list leaves no trial"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_their_place(tiny, arm, problem):
    arms = f"arms=[{{method: kd_mixup, teacher: resnet, {arm}}}]"
    with pytest.raises(SpecError) as error:
        read_spec(str(tiny), [SEARCH, arms])
    assert problem in str(error.value)


def test_a_grid_refuses_a_range_and_takes_choices(tiny):
    with pytest.raises(SpecError, match="a grid cannot try every number of a range; give a list, or a sampler"):
        read_spec(str(tiny), ["arms=[{method: mixup, train.learning_rate: {low: 0.1, high: 1}}]"])
    spec = read_spec(str(tiny), ["arms=[{method: mixup, train.learning_rate: {choices: [0.1, 1]}}]"])
    assert [trial.label for trial in trials_of(spec)] == [
        "mixup train.learning_rate=0.1 seed 0",
        "mixup train.learning_rate=1 seed 0",
    ]


def test_a_search_cannot_have_an_objective_that_is_measured_later(tiny):
    with pytest.raises(SpecError, match="search: latency_ms_1 is measured once all trials are finished"):
        read_spec(str(tiny), [SEARCH, "objectives={validation/accuracy: max, latency_ms_1: min}"])


def test_a_fused_teacher_is_a_choice_that_is_found_again(space_of):
    space = space_of(
        "teachers.both={fuse: [resnet]}",
        "arms=[{method: kd_mixup, teacher: [resnet, both], temperature: {low: 1, high: 8}}]",
    )
    settings = {"method": "kd_mixup", "teacher": "both", "temperature": 3}
    assert space.settings_of(space.trials(settings)[0].config) == settings
