"""Which trials share a signal, which of its epochs are stored, and when to store the rest."""

import numpy as np
import pytest

from kd_core.config.data import DataSummary
from kd_core.config.trial import TrialConfig
from kd_core.store.records import Store
from sweeps.config.errors import SpecError
from sweeps.config.sweep import SignalConfig
from sweeps.plan.sharing import Need, share_signals

DATA = DataSummary(
    fingerprint="fingerprint", num_train=1000, num_validation=100, num_test=100, num_classes=10, image_size=32
)
EPOCH_GIB = 1000 * 10 * 2 / 2**30


def config(method="kd_mixup", epochs=4, **edits):
    """A trial on the digits that distils from test_resnet."""
    content = {
        "data": {"source": "digits"},
        "student": {"model": "test_efficientnet"},
        "train": {"epochs": epochs},
        "teacher": {"model": "test_resnet"},
        "method": method,
    }
    return TrialConfig.model_validate(content | edits)


def need(*, teacher="resnet", key="a", pending=True, **edits):
    """A trial's need of a signal; edits change its config."""
    return Need(teacher, config(**edits), key, pending)


@pytest.fixture
def share(tmp_path):
    """Returns the signals for some needs, in a new store."""

    def share(*needs, **signal):
        return share_signals(needs, Store.at(tmp_path), DATA, SignalConfig(**signal))

    return share


@pytest.mark.parametrize(("alpha", "rows"), [(0.5, 1500), (1, 1000)])
def test_a_signal_has_a_row_for_each_image_that_its_students_see(tmp_path, alpha, rows):
    data = DATA.model_copy(update={"num_unlabelled": 500})
    [signal] = share_signals([need(alpha=alpha)], Store.at(tmp_path), data, SignalConfig())
    assert signal.epoch_bytes == rows * 10 * 2


def label(record, *epochs):
    """Store these epochs, all zeros."""
    for epoch in epochs:
        with record.writing(epoch, 1000, 10) as logits:
            logits[:] = np.zeros((1000, 10))


def test_trials_share_a_signal_whatever_they_do_with_it(share):
    one, other, third, none = share(need(), need(temperature=8, alpha=0.5), need(method="cud", seed=3), None)
    assert one is other is third
    assert none is None
    assert one.num_trials == 3


@pytest.mark.parametrize("edits", [{"method": "kd"}, {"key": "b"}, {"stream_seed": 1}, {"mixup": {"fraction": 0.5}}])
def test_trials_on_another_stream_or_teacher_do_not(share, edits):
    one, other = share(need(), need(**edits))
    assert one is not other
    assert one.record != other.record


def test_the_longest_pending_trial_decides_how_many_epochs_are_needed(share):
    (signal, _) = share(need(epochs=3), need(epochs=9, pending=False))
    assert signal.num_epochs == 3
    assert signal.live_passes == 3
    (signal, _) = share(need(epochs=3), need(epochs=9))
    assert signal.num_epochs == 9
    assert signal.live_passes == 12
    assert signal.size_bytes == 9 * 1000 * 10 * 2


def test_recycled_epochs_are_all_that_is_needed(share):
    (signal, _) = share(need(epochs=9, recycle=2), need(epochs=9, recycle=3))
    assert (signal.num_epochs, signal.live_passes, signal.passes) == (3, 18, 3)


def test_what_is_stored_is_not_missing(share):
    (signal, _) = share(need(), need())
    label(signal.record, 2, 3, 7)
    (signal, _) = share(need(), need())
    assert signal.missing == (1, 4)
    label(signal.record, 1, 4)
    assert share(need(), need())[0].missing == ()
    assert share(need(), need())[0].passes == 0


@pytest.mark.parametrize(
    ("needs", "mode", "stored"),
    [
        ([{}, {}], "auto", True),
        ([{}], "auto", False),
        ([{}, {"pending": False}], "auto", False),
        ([{}], "stored", True),
        ([{}, {}], "live", False),
    ],
)
def test_auto_stores_what_two_pending_trials_share(share, needs, mode, stored):
    assert share(*(need(**each) for each in needs), mode=mode)[0].stored == stored


def test_auto_uses_what_is_all_there(share):
    label(share(need())[0].record, 1, 2, 3, 4)
    assert share(need())[0].stored
    assert share(need(), max_gib=1e-9)[0].stored
    assert not share(need(), mode="live")[0].stored


def test_auto_stores_what_saves_most_as_long_as_it_fits(share):
    needs = [need(teacher="a", key="a" * 64)] * 2 + [need(teacher="b", key="b" * 64)] * 3
    for room, stored in ((9, {"a", "b"}), (7, {"b"}), (3, set())):
        signals = share(*needs, max_gib=room * EPOCH_GIB)
        assert {signal.teacher for signal in signals if signal.stored} == stored


def test_stored_signals_that_do_not_fit_are_refused_with_a_remedy(share):
    share(need(), mode="stored", max_gib=4.001 * EPOCH_GIB)
    with pytest.raises(SpecError, match=r"signal\.max_gib: .*: the stored signals would take .*; raise it"):
        share(need(), mode="stored", max_gib=3.9 * EPOCH_GIB)


@pytest.mark.parametrize(
    ("mixup", "shown"),
    [
        ({}, "resnet uniform"),
        ({"method": "kd"}, "resnet unmixed"),
        ({"mixup": {"distribution": "beta", "concentration": 0.4}}, "resnet beta(0.4)"),
    ],
)
def test_a_label_names_teacher_and_mixup(share, mixup, shown):
    assert share(need(**mixup))[0].label == shown
