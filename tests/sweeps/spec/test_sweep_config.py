"""The configuration of a whole sweep, and the short forms of some values."""

import pytest

from sweeps.spec.reader import read_spec
from sweeps.spec.sweep_config import ResourcesConfig, SignalConfig


def test_resources_are_given_or_chosen_by_a_word(tiny):
    assert read_spec(str(tiny), ["resources=auto"]).resources == ResourcesConfig(auto=True)
    assert read_spec(str(tiny), ["resources={auto: true, workers: 2}"]).resources.workers == 2
    given = read_spec(str(tiny), ["resources={cpu: 2, gpu: 0.5}"]).resources
    assert (given.cpu, given.gpu, given.auto) == (2, 0.5, False)


@pytest.mark.parametrize("word", ["auto", "stored", "live"])
def test_a_signal_is_a_word_or_all_of_its_keys(tiny, word):
    assert read_spec(str(tiny), [f"signal={word}"]).signal == SignalConfig(mode=word)
    whole = read_spec(str(tiny), [f"signal={{mode: {word}, max_gib: 3, recycle: 7}}"]).signal
    assert (whole.mode, whole.max_gib, whole.recycle) == (word, 3, 7)
