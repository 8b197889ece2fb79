import itertools
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis.paper
from analysis.paper import FIGURES, MATCH_COLUMNS, dataset_of, impossible, matching, paper_rows, paper_source
from analysis.pareto import front_of
from analysis.runs import runs_of, teachers_of
from analysis.snapshot import read_sweep
from kd_core.measure.calibration import expected_calibration_error

mathematics = settings(deadline=None, derandomize=True)


def test_every_row_of_four_tables_is_there_in_fractions():
    rows = paper_rows()
    assert rows.groupby(["table", "dataset"]).size().to_dict() == {
        (1, "cifar100"): 30,
        (2, "cifar10"): 9,
        (3, "cifar100"): 9,
        (4, "imagenet"): 9,
    }
    assert rows["accuracy"].between(0, 1).all()
    assert rows.loc[rows["ece"].isna(), "method"].tolist() == [
        "classic"
    ]  # of Table 1, of which only accuracy is printed
    assert (rows["rounding"] > 0).all()
    assert "2606.12171" in paper_source()


def test_students_of_table_3_are_those_of_table_1_at_two():
    rows = paper_rows().loc[lambda rows: rows["method"] == "kd_mixup"].set_index(["table", "teacher", "temperature"])
    for teacher in rows.loc[3].index.get_level_values("teacher"):
        assert (rows.loc[(1, teacher, "2"), FIGURES] == rows.loc[(3, teacher, "2"), FIGURES]).all()


def possible(printed: list[str]) -> bool:
    """Whether some accuracy, confidence and ECE that round to these digits obey the bounds, in exact arithmetic."""
    ends = [
        [Decimal(each) + sign * Decimal("0.5") * Decimal(10) ** Decimal(each).as_tuple().exponent for sign in (-1, 1)]
        for each in printed
    ]
    corners = itertools.product(*ends)  # the bounds are linear on both sides of accuracy = confidence
    slack = [
        (ece - abs(accuracy - confidence), 2 - accuracy - confidence - ece) for accuracy, confidence, ece in corners
    ]
    return max(least for least, _ in slack) >= 0 and max(greatest for _, greatest in slack) >= 0


def test_three_rows_are_impossible_however_they_were_rounded():
    content = json.loads(Path(analysis.paper.__file__).with_name("paper_tables.json").read_text())
    printed = [(table["table"], row) for table in content["tables"] for row in table["rows"]]
    expected = [None not in row[4:] and not possible(row[4:]) for _, row in printed]
    rows = paper_rows()
    assert impossible(rows).tolist() == expected
    found = rows.loc[impossible(rows), ["table", "dataset", "method"]].to_numpy().tolist()
    assert found == [[1, "cifar100", "mixup"], [2, "cifar10", "classic"], [4, "imagenet", "classic"]]


@mathematics
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_figures_of_a_model_are_never_called_impossible_for_their_rounding(seed, digits):
    generator = np.random.default_rng(seed)
    confidence, correct = generator.beta(5, generator.uniform(0.1, 5), 40), generator.random(40) < generator.random()
    figures = [correct.mean(), confidence.mean(), expected_calibration_error(confidence, correct)]
    rows = pd.DataFrame([np.round(figures, digits)], columns=FIGURES)
    assert not impossible(rows.assign(rounding=1.5 * 10.0**-digits)).any()
    assert not impossible(pd.DataFrame([figures], columns=FIGURES)).any()


@pytest.mark.parametrize(
    ("accuracy", "confidence", "ece", "expected"),
    [
        (0.80, 0.90, 0.10, False),
        (0.80, 0.90, 0.09, True),
        (0.90, 0.80, 0.09, True),
        (0.96, 0.98, 0.06, False),
        (0.96, 0.98, 0.07, True),
        (0.80, np.nan, 0.99, False),
    ],
)
def test_a_row_without_rounding_is_held_to_the_bounds(accuracy, confidence, ece, expected):
    rows = pd.DataFrame([[accuracy, confidence, ece]], columns=FIGURES)
    assert impossible(rows).tolist() == [expected]
    assert impossible(rows.assign(rounding=0.02)).tolist() == [False]


@pytest.mark.parametrize(
    ("data", "dataset"),
    [
        ({"source": "cifar10"}, "cifar10"),
        ({"source": "cifar100", "path": "/data/whatever"}, "cifar100"),
        ({"source": "digits"}, ""),
        ({"source": "parquet", "path": "/somewhere", "label_column": "fine_label"}, "cifar100"),
        ({"source": "parquet", "path": "/data/CIFAR-100/"}, "cifar100"),
        ({"source": "parquet", "path": "/data/cifar100", "label_column": "coarse_label"}, ""),
        ({"source": "parquet", "path": "/data/cifar10", "label_column": "label"}, "cifar10"),
        ({"source": "folder", "path": "/data/ILSVRC2012"}, "imagenet"),
        ({"source": "folder", "path": "/data/imagenet-100"}, ""),
        ({"source": "folder", "path": "/data/cifar100/mine"}, ""),
        ({"source": "folder", "path": None}, ""),
        ({"source": "cifar100", "limit": 5000}, ""),
        ({}, ""),
    ],
)
def test_a_data_set_is_the_papers_only_if_the_spec_says_so(data, dataset):
    assert dataset_of(data) == dataset


def test_another_number_of_classes_makes_another_data_set():
    data = {"source": "folder", "path": "/data/imagenet"}
    assert [dataset_of(data, number) for number in (1000, 100, None)] == ["imagenet", "", "imagenet"]


ARMS = [
    ("classic", "classic", "", ""),
    ("mixup", "mixup", "", ""),
    ("kd large 2", "kd", "large", "2"),
    ("kd large 4", "kd", "large", "4"),
    ("kd_mixup large 4", "kd_mixup", "large", "4"),
    ("kd_mixup large sigma", "kd_mixup", "large", "sigma"),
    ("kd_mixup other 2", "kd_mixup", "other", "2"),
    ("dkd large 2", "dkd", "large", "2"),
]
MODELS = {"large": "convnext_large.fb_in1k", "other": "resnet10t"}


def sweep(models=MODELS):
    """Points and teachers with figures that say which row they are in."""
    points = pd.DataFrame(ARMS, columns=["arm", "method", "teacher", "temperature"])
    points = points.assign(student="mobilenetv2_100", alpha=0.0)
    teachers = pd.DataFrame({"teacher": list(models), "model": list(models.values())})
    return (each.assign(**{f"test/{name}": 0.5 for name in FIGURES}) for each in (points, teachers))


def test_our_arms_stand_beside_the_rows_of_their_teacher_method_and_temperature():
    points, teachers = sweep()
    table = matching(points, "cifar100", teachers)
    assert list(table.columns) == MATCH_COLUMNS
    assert table.groupby("name", sort=False)["paper_accuracy"].agg(list).to_dict() == {
        "large": [0.9217],
        "classic": [0.7952, 0.8105],
        "mixup": [0.8105],
        "kd large 2": [0.8283],
        "kd_mixup large 4": [0.8596],
        "kd_mixup large sigma": [0.8581],
    }
    assert table.loc[table["impossible"], "name"].tolist() == ["mixup"]
    assert (table[FIGURES] == 0.5).all(axis=None)
    students = matching(points, "cifar10", teachers).loc[lambda rows: rows["role"] == "student"]
    assert students["name"].tolist() == ["classic"]  # Table 2 has only kd_mixup at T = 2 beside it
    assert matching(points, "", teachers).empty


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("convnext_large", "convnext_large"),
        ("convnext_large.fb_in22k_ft_in1k", "convnext_large"),
        ("convnext_tiny.fb_in1k", "convnext_tiny"),
        ("vit_base_patch16_224.augreg_in21k_ft_in1k", "vit_base_patch16"),
        ("resnet152v2", "resnet152v2"),
        ("resnetv2_152", "resnet152v2"),
        ("resnetv2_152x2_bit", None),
        ("resnetv2_101.a1h_in1k", None),
        ("convnextv2_large", None),
        ("vit_base_patch32_224", None),
    ],
)
def test_a_teacher_is_the_papers_by_its_architecture(model, family):
    points, teachers = sweep({"large": model})
    found = matching(points, "cifar100", teachers).loc[lambda rows: rows["role"] == "teacher", "paper_teacher"]
    assert found.tolist() == ([family] if family else [])


def test_a_finished_sweep_can_be_matched_and_an_unfinished_one_too(store):
    runs, teachers = runs_of(read_sweep(store, "demo")), teachers_of(read_sweep(store, "demo"))
    points = front_of(runs).points
    table = matching(points, "cifar100", teachers)
    assert set(table["method"]) == {"classic", "mixup"}
    assert table["accuracy"].isin(points["test/accuracy"]).all()
    assert matching(front_of(runs.iloc[:0]).points, "cifar100", teachers.iloc[:0]).empty
