from analysis.settings import differing_settings

PLAIN = {
    "method": "classic",
    "teacher": None,
    "alpha": 1.0,
    "beta": 0.0,
    "student": {"model": "tiny", "dropout": 0.3},
    "train": {"epochs": 10, "clip_norm": None, "pieces": []},
    "recycle": None,
    "seed": 0,
}


def changed(**changes):
    return {**PLAIN, **changes}


def test_only_keys_in_which_trials_differ_are_settings_and_what_has_its_column_is_none():
    other = changed(method="kd", seed=1, student={"model": "large", "dropout": 0.5}, teacher={"model": "t"})
    assert differing_settings([PLAIN, other]) == [{"student.dropout": 0.3}, {"student.dropout": 0.5}]
    assert differing_settings([PLAIN, PLAIN]) == [{}, {}]


def test_a_key_that_is_not_set_differs_from_one_that_is():
    clipped = changed(train={"epochs": 10, "clip_norm": 1.0, "pieces": [{"until": 5}]})
    assert differing_settings([PLAIN, clipped]) == [
        {"train.pieces": []},
        {"train.clip_norm": 1.0, "train.pieces": [{"until": 5}]},
    ]


def test_trials_that_have_not_begun_differ_in_nothing():
    assert differing_settings([{}, PLAIN, PLAIN]) == [{}, {}, {}]


def test_what_changes_nothing_is_no_setting():
    rows = [changed(alpha=0.2, beta=0.8, recycle=10), changed(alpha=0.0, beta=1.0, recycle=20), PLAIN]
    assert differing_settings(rows) == [{}, {}, {}]
    rows = [changed(alpha=0.2, beta=1.0), changed(recycle=5), PLAIN]
    assert differing_settings(rows) == [{"beta": 1.0}, {"recycle": 5}, {}]
