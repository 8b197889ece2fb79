import numpy as np
import pytest

from analysis.findings import findings_of
from analysis.snapshot import read_sweep
from kd_core.measure.predictions import predictions_of
from tests.products import finish, members_of, write_members


def test_another_sweep_is_compared_arm_by_arm_on_the_same_images(make_sweep):
    store = make_sweep()
    members = members_of(store.sweep("demo"))
    fewer = {"sweep": "fewer", "trials": [each for each in members["trials"] if each["arm"] != "mixup"]}
    write_members(store.sweep("fewer"), "", members | fewer)
    findings = findings_of(read_sweep(store, "demo"), against=read_sweep(store, "fewer"))
    assert list(findings.against) == list(findings.readings)
    for reading, against in findings.against.items():
        compared, differences = against.differences.drop_duplicates("arm"), against.differences
        assert compared["arm"].tolist() == findings.test.arms
        same = differences.loc[differences["other_arm"] == "fewer: " + differences["arm"]]
        assert len(same) == 9
        assert np.abs(same["value"]).max() < 1e-12
        (other,) = compared.loc[compared["arm"] == "mixup", "other_arm"]
        fewer = findings_of(read_sweep(store, "fewer")).readings[reading]
        assert other == f"fewer: {fewer.choices.recommended}"
        assert against.members["arm"].tolist() == fewer.front.members["arm"].tolist()


def test_sweeps_of_other_images_are_not_compared(make_sweep):
    store = make_sweep(size=200)
    record, members = store.trial("other"), members_of(store.sweep("demo"))
    labels = np.zeros(200, dtype=int)
    predictions = predictions_of(np.random.default_rng(0).normal(size=(200, 5)), labels, 1.0)
    first = store.trial("trial-0-0").state()
    finish(record, first.config, {"validation": predictions, "test": predictions}, metrics=first.result.metrics)
    trial = {"key": "other", "label": "classic seed 0", "arm": "classic", "teacher": None, "seed": 0}
    write_members(store.sweep("else"), "", members | {"sweep": "else", "trials": [trial]})
    with pytest.raises(ValueError, match="trial other was evaluated on other images"):
        findings_of(read_sweep(store, "demo"), against=read_sweep(store, "else"))
