import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pareto import front_of, scaled
from analysis.runs import runs_of, teachers_of
from analysis.tables import (
    RUNS_TABLE,
    TEACHER_TABLE,
    check_rows,
    front_csv,
    front_json,
    front_rows,
    front_table,
    table_of,
)
from kd_core.measure.calibration import expected_calibration_error


@pytest.fixture(scope="module")
def front(store):
    return front_of(runs_of(store, "demo"))


def test_front_rows_report_test_and_name_what_selected_them(front, store):
    rows = front_rows(front)
    assert [row["arm"] for row in rows] == front.members["arm"].tolist()
    for row, (_, point) in zip(rows, front.members.iterrows(), strict=True):
        assert row["accuracy"] == point["test/accuracy"]
        assert row["validation"] == {"accuracy": point["validation/accuracy"], "ece": point["validation/ece"]}
        assert row["trial"] in row["trials"]
        assert store.trial(row["trial"]).status == "finished"
        assert row["label"].startswith(row["arm"])


def test_front_rows_hold_the_third_reading_of_those_that_have_it(front, make_sweep):
    arms = [{"method": "classic"}, {"method": "kd", "teacher": "resnet", "temperature": "sigma"}]
    everyone = front_of(runs_of(make_sweep(arms=arms), "demo"), {"num_parameters": "min"})
    assert set(front_table(everyone).headers) - set(front_table(front).headers) == {"ECE z/σ"}
    by_arm = {row["arm"]: row for row in front_rows(everyone)}
    for point in everyone.members.to_dict("records"):
        row = by_arm[point["arm"]]
        assert (row["ece_debiased"], row["aurc"]) == (point["test/ece_debiased"], point["test/aurc"])
        assert row["classwise_ece"] == point["test/classwise_ece"]
    assert "ece_standardized" not in by_arm["classic"]
    with pytest.raises(AssertionError, match="_standardized"):
        check_rows([by_arm["kd resnet T=sigma"] | {"ece_standardized": 1.5}])


def test_front_json_is_strict_and_holds_both_fronts(front, store):
    scaled_front = front_of(runs_of(store, "demo"), scaled(front.objectives))
    value = json.loads(front_json(front, scaled_front), parse_constant=pytest.fail)
    assert value["raw"]["front"] == front_rows(front)
    assert value["temperature_scaled"]["front"] == front_rows(scaled_front)
    assert list(value["temperature_scaled"]["objectives"]) == ["validation/accuracy", "validation/ece_scaled"]


def test_front_csv_has_one_line_an_arm_of_the_front(front):
    lines = list(csv.DictReader(io.StringIO(front_csv(front))))
    assert [line["arm"] for line in lines] == front.members["arm"].tolist()
    assert [float(line["validation_ece"]) for line in lines] == front.members["validation/ece"].tolist()


def test_an_empty_front_is_an_empty_list_and_a_header(store):
    empty = front_of(runs_of(store, "demo").iloc[:0])
    assert front_rows(empty) == []
    assert len(front_csv(empty).splitlines()) == 1
    assert json.loads(front_json(empty, empty))["raw"]["front"] == []


def test_a_row_whose_ece_is_impossible_is_an_internal_error(front):
    (row, *_) = front_rows(front)
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
    table = table_of(runs_of(store, "demo"), RUNS_TABLE)
    failed = dict(zip(table.headers, table.rows[3], strict=True))
    assert (failed["Trial"], failed["Status"], failed["ECE"], failed["Accuracy %"]) == (
        "mixup seed 1",
        "failed",
        "",
        "",
    )
    assert dict(zip(table.headers, table.numeric, strict=True))["ECE"]
    (teacher,) = table_of(teachers_of(store, "demo"), TEACHER_TABLE).rows
    assert teacher[-1] == "1,234"
