import io

import numpy as np
import pandas as pd
import pytest

from analysis.evaluations import evaluated_of
from analysis.snapshot import read_sweep
from analysis.statistics.beyond import Evaluated
from analysis.text.trust import (
    by_arm,
    corruption_csv,
    paper_beside,
    paper_with_itself,
    short_name,
    trust_sentences,
    trust_table,
)


@pytest.fixture(scope="module")
def models(evaluated_store):
    return evaluated_of(read_sweep(evaluated_store, "demo"))


def test_the_table_has_a_row_an_arm_with_means_over_its_seeds(models):
    table = trust_table(models)
    assert [row[0] for row in table.rows] == [
        "teacher resnet",
        "classic",
        "mixup",
        "kd T=2",
        "kd_mixup T=sigma alpha=0.2",
    ]
    accuracy = table.headers.index("Accuracy, corr.")
    seeds = [each.metrics["corruption/accuracy"] for each in by_arm(models)["classic"]]
    assert table.rows[1][accuracy] == f"{np.mean(seeds):.3f}"
    assert [row[-1] for row in table.rows] == ["1", "2", "2", "2", "2"]
    gain = table.headers.index("Gain")
    assert [bool(row[gain]) for row in table.rows] == [False, False, False, True, True]


def test_every_cell_of_table_7_is_in_a_file(models):
    table = pd.read_csv(io.StringIO(corruption_csv(models)))
    assert len(table) == 5 * 6 * 5  # models, corruptions, severities
    row = table[(table["model"] == "classic") & (table["corruption"] == "fog") & (table["severity"] == 4)].iloc[0]
    cells = [each.arrays["corruption"] for each in by_arm(models)["classic"]]
    place = cells[0]["corruption"].tolist().index("fog")
    assert row["accuracy"] == pytest.approx(np.mean([each["accuracy"][place, 3] for each in cells]))
    assert row["seeds"] == 2


def arm(name: str, accuracy: float, num: int = 2) -> list[Evaluated]:
    """Models of an arm that are right in this share of 4,000 corrupted images."""
    random = np.random.default_rng(len(name))
    metrics = {"corruption/accuracy": accuracy, "corruption/ece_scaled": 0.05, "ood/auroc": accuracy}
    return [
        Evaluated(
            f"{name}{n}",
            name,
            name,
            metrics=metrics,
            arrays={"corruption": {"correct": random.random((2, 5, 400)) < accuracy}},
        )
        for n in range(num)
    ]


def test_the_answer_says_whether_the_recommended_arm_is_the_one_to_trust():
    assert trust_sentences([], "classic") == trust_sentences(arm("mixup", 0.5), "classic") == []
    best = trust_sentences([*arm("kd", 0.6), *arm("mixup", 0.4)], "kd")
    assert best[0].startswith("On corrupted images kd is right in 60.0")
    assert best[0].endswith("the other evaluated arm is not visibly more accurate there.")
    assert (
        best[1]
        == "It tells images of other classes from its own with an AUROC of 0.600, the most of all evaluated arms."
    )
    worse = trust_sentences([*arm("kd", 0.6), *arm("mixup", 0.4)], "mixup")
    assert "; kd is visibly more accurate there, by " in worse[0]
    assert worse[1].endswith("AUROC of 0.400, kd with 0.600.")


def test_a_name_stays_as_it_is_in_a_sentence():
    [said, _] = trust_sentences([*arm("kd vit-b+", 0.6), *arm("mixup", 0.4)], "mixup")
    assert "; kd vit-b+ is visibly more accurate there" in said


def test_an_arm_is_called_without_the_only_teacher():
    one = [Evaluated("a", "teacher vit", teacher="vit"), Evaluated("b", "x", "kd vit T=2", "vit")]
    assert short_name("kd vit T=2", one) == "kd T=2"
    assert short_name("teacher vit", one) == "teacher vit"
    two = [*one, Evaluated("c", "teacher resnet", teacher="resnet")]
    assert short_name("kd vit T=2", two) == "kd vit T=2"


def test_the_papers_figures_stand_beside_those_of_its_architectures(models):
    assert paper_beside(models, {"resnet": "resnet18"}, "cifar100") is None
    assert paper_beside(models, {"resnet": "convnext_tiny"}, "cifar10") is None
    table = paper_beside(models, {"resnet": "convnext_tiny.fb_in22k"}, "cifar100")
    by_figure = {(row[0], row[1]): row[2:] for row in table.rows}
    assert by_figure["teacher resnet", "nonlinearity"] == [
        f"{models[0].metrics['linearity/nonlinearity']:.3f}",
        "1.720",
    ]


def test_the_papers_contradictions_come_with_their_arithmetic():
    equation, peaks, ratios = paper_with_itself()
    assert "could not exceed 1" in equation
    assert "0.825 and 0.848" in peaks
    assert "8.2, 20.5, 6.6, 3.9" in ratios
