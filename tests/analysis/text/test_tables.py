import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.findings import findings_of
from analysis.runs import runs_of, teachers_of
from analysis.snapshot import read_sweep
from analysis.text.tables import (
    RUNS_TABLE,
    TEACHER_TABLE,
    arm_rows,
    check_rows,
    content_of,
    front_csv,
    table_of,
)
from kd_core.measure.calibration import expected_calibration_error
from kd_core.measure.predictions import RAW, SCALED


@pytest.fixture(scope="module")
def findings(store):
    return findings_of(read_sweep(store, "demo"))


@pytest.fixture(scope="module")
def rows(findings):
    return arm_rows(findings.shipped.front.members, findings.shipped.test)


def test_rows_report_test_and_name_what_selected_them(findings, rows, store):
    members = findings.shipped.front.members
    assert [row["arm"] for row in rows] == members["arm"].tolist()
    for row, (_, point) in zip(rows, members.iterrows(), strict=True):
        assert row["accuracy"] == point["test/accuracy"]
        assert row["validation"] == {name: point[f"validation/{name}"] for name in ("accuracy", "ece", "ece_scaled")}
        assert row["trial"] in row["trials"]
        assert store.trial(row["trial"]).status == "finished"
        assert row["label"].startswith(row["arm"])


def test_rows_hold_the_third_reading_of_those_that_have_it(make_sweep):
    arms = [{"method": "classic"}, {"method": "kd", "teacher": "resnet", "temperature": "sigma"}]
    everyone = findings_of(read_sweep(make_sweep(arms=arms), "demo"), {"num_parameters": "min"})
    front = everyone.shipped.front
    by_arm = {row["arm"]: row for row in arm_rows(front.points, everyone.test)}
    for point in front.points.to_dict("records"):
        row = by_arm[point["arm"]]
        assert (row["ece_debiased"], row["aurc"]) == (point["test/ece_debiased"], point["test/aurc"])
        assert row["classwise_ece"] == point["test/classwise_ece"]
    assert "ece_standardized" not in by_arm["classic"]
    with pytest.raises(AssertionError, match="_standardized"):
        check_rows([by_arm["kd resnet T=sigma"] | {"ece_standardized": 1.5}])


def test_the_content_holds_both_readings_whole_and_what_is_shipped_at_the_top(findings, rows):
    content = content_of(findings)
    assert content[SCALED]["front"] == rows
    assert list(content[SCALED]["objectives"]) == ["validation/accuracy", "validation/ece_scaled"]
    assert list(content[RAW]["objectives"]) == ["validation/accuracy", "validation/ece"]
    for reading, judgement in findings.readings.items():
        said = content[reading]
        assert said["answer"] == [*findings.sanity.sentences, *judgement.answer]
        assert said["advice"] == judgement.advice
        assert (said["recommended"], said["choices"]) == (judgement.choices.recommended, judgement.choices.by_word)
        assert [row["arm"] for row in said["front"]] == judgement.front.members["arm"].tolist()
        probability = judgement.front.points.set_index("arm")["front_probability"].to_dict()
        assert {row["arm"]: row["front_probability"] for row in said["judged"]} == probability
    for name in ("answer", "advice", "selected_on_test"):
        assert content[name] == content[SCALED][name]
    shipped = {row["arm"]: row["front_probability"] for row in content[SCALED]["judged"]}
    assert {row["arm"]: row["front_probability"] for row in content["arms"]} == shipped
    assert shipped != {row["arm"]: row["front_probability"] for row in content[RAW]["judged"]}
    assert all(claim["verdict"] for claim in content["claims"])


def test_front_csv_has_one_line_an_arm_of_the_front(rows):
    lines = list(csv.DictReader(io.StringIO(front_csv(rows))))
    assert [line["arm"] for line in lines] == [row["arm"] for row in rows]
    assert [float(line["validation_ece"]) for line in lines] == [row["validation"]["ece"] for row in rows]
    assert [float(line["ece_high"]) for line in lines] == [row["ece_interval"][1] for row in rows]
    assert len(front_csv([]).splitlines()) == 1


def test_a_row_whose_ece_is_impossible_is_an_internal_error(rows):
    (row, *_) = rows
    for impossible in ({"ece": abs(row["accuracy"] - row["confidence"]) - 0.01}, {"ece_scaled": 1.5}):
        with pytest.raises(AssertionError, match=r"internal error: .*is impossible at accuracy"):
            check_rows([row | impossible])


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_means_over_seeds_obey_the_bounds_too(seed, num_seeds):
    generator = np.random.default_rng(seed)
    figures = []
    for _ in range(num_seeds):
        confidence, correct = generator.random(9), generator.random(9) < generator.random()
        figures.append((correct.mean(), confidence.mean(), expected_calibration_error(confidence, correct)))
    accuracy, confidence, ece = np.mean(figures, axis=0)
    scaled = {"confidence_scaled": confidence, "ece_scaled": ece}
    check_rows([{"accuracy": accuracy, "confidence": confidence, "ece": ece} | scaled])


def test_a_table_is_text_with_blanks_where_there_is_no_figure(store):
    table = table_of(runs_of(read_sweep(store, "demo")), RUNS_TABLE)
    failed = dict(zip(table.headers, table.rows[3], strict=True))
    assert (failed["Trial"], failed["Status"], failed["ECE"], failed["Accuracy %"]) == (
        "mixup seed 1",
        "failed",
        "",
        "",
    )
    assert dict(zip(table.headers, table.numeric, strict=True))["ECE"]
    (teacher,) = table_of(teachers_of(read_sweep(store, "demo")), TEACHER_TABLE).rows
    assert teacher[-1] == "1,234"
