"""The configuration of a whole sweep, and the short forms of some values."""

import json

import pytest

from kd_core.config.errors import SpecError
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec
from sweeps.config.sweep import ResourcesConfig, SignalConfig, objective_in


def test_resources_are_given_or_chosen_by_a_word(tiny):
    assert read_spec(str(tiny), ["resources=auto"]).resources == ResourcesConfig(auto=True)
    assert read_spec(str(tiny), ["resources={auto: true, workers: 2}"]).resources.workers == 2
    given = read_spec(str(tiny), ["resources={cpu: 2, gpu: 0.5}"]).resources
    assert (given.cpu, given.gpu, given.auto) == (2, 0.5, False)


def test_the_number_of_retries_is_one_unless_given_and_part_of_no_key(tiny):
    specs = [read_spec(str(tiny), edits) for edits in ([], ["retries=3"])]
    assert [spec.retries for spec in specs] == [1, 3]
    assert trials_of(specs[0]) == trials_of(specs[1])


@pytest.mark.parametrize("word", ["auto", "stored", "live"])
def test_a_signal_is_a_word_or_all_of_its_keys(tiny, word):
    assert read_spec(str(tiny), [f"signal={word}"]).signal == SignalConfig(mode=word)
    whole = read_spec(str(tiny), [f"signal={{mode: {word}, max_gib: 3, recycle: 7}}"]).signal
    assert (whole.mode, whole.max_gib, whole.recycle) == (word, 3, 7)


def test_objectives_are_one_to_three_figures_of_validation_or_of_the_student(tiny):
    for objectives in (
        {"latency_ms_64": "min"},
        {"validation/accuracy": "max", "validation/abs_gap": "min"},
        {"validation/nll": "min", "validation/aurc": "min", "num_parameters": "min"},
    ):
        assert read_spec(str(tiny), [f"objectives={json.dumps(objectives)}"]).objectives == objectives


def test_a_gap_that_scaling_has_fitted_away_is_refused_as_an_objective(tiny):
    with pytest.raises(SpecError, match=r"tiny\.yaml: objectives: validation/abs_gap_scaled: .* says nothing; take"):
        read_spec(str(tiny), ["objectives={validation/accuracy: max, validation/abs_gap_scaled: min}"])


def test_the_size_of_the_gap_is_known_wherever_the_gap_is():
    assert objective_in({"validation/gap": -0.25}, "validation/abs_gap") == 0.25
    assert objective_in({"validation/ece": 0.1}, "validation/abs_gap") is None
    assert objective_in({"validation/ece": 0.1}, "validation/ece") == 0.1


@pytest.mark.parametrize(
    ("resources", "trial", "teacher"),
    [
        ("{}", 1, 1),
        ("auto", 1, 1),
        ("{cpu: 3.9}", 3, 3),
        ("{cpu: 0.25, gpu: 0.5}", 1, 1),
        ("{cpu: 2, teacher_cpu: 16}", 2, 16),
        ("{auto: true, teacher_cpu: 4}", 1, 4),
    ],
)
def test_threads_are_the_whole_cores_of_the_spec(tiny, resources, trial, teacher):
    threads = read_spec(str(tiny), [f"resources={resources}"]).resources.threads
    assert threads == {"trial": trial, "teacher": teacher}
