"""The tables of the paper, the rows of them that no model can have, and those that belong beside a sweep's arms.

Medina et al. 2026, arXiv 2606.12171v1, Tables 1 to 4 are in `paper_tables.json`, figures with the digits as printed.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kd_core.measure.calibration import ece_bounds

FIGURES = ["accuracy", "confidence", "ece"]
ROW_COLUMNS = ["dataset", "table", "role", "teacher", "method", "temperature", "alpha", *FIGURES, "rounding"]
OWN_COLUMNS = ["role", "name", "model", "method", "teacher", "temperature", "alpha", *FIGURES]
PAPER_COLUMNS = ["table", *(f"paper_{name}" for name in ("teacher", "alpha", *FIGURES)), "impossible"]
MATCH_COLUMNS = [*OWN_COLUMNS, *PAPER_COLUMNS]  # impossible is said of the paper's figures
DATASETS = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}  # number of classes
FOLDERS = {"cifar10": "cifar10", "cifar100": "cifar100"} | dict.fromkeys(
    ("imagenet", "imagenet1k", "ilsvrc", "ilsvrc2012", "ilsvrc2015", "ilsvrcclsloc"), "imagenet"
)
FAMILIES = {  # how timm calls the architectures of the paper's teachers
    "convnext_large": "convnext_large",
    "vit_base_patch16": "vit_base_patch16",
    "resnet152v2": "resnet152v2|resnetv2_152",
    "convnext_tiny": "convnext_tiny",
}
_FILE = Path(__file__).with_name("paper_tables.json")
_TOLERANCE = 1e-6  # of sums of float32 values


def paper_rows() -> pd.DataFrame:
    """One row for each row of the paper's Tables 1 to 4, with ROW_COLUMNS; NaN where nothing is printed.

    role is teacher or student; the students of Tables 2 to 4 have T = 2. rounding is how far the rounding of the
    printed figures can move |accuracy − confidence| from the ECE, in all: half a unit of each one's last digit.
    """
    content = _content()
    rows = []
    for table in content["tables"]:
        for values in table["rows"]:
            row = dict(zip(content["columns"], values, strict=True))
            printed = [row[name] for name in FIGURES if row[name] is not None]
            distilled = row["role"] == "student" and row["teacher"] != ""
            row |= {name: np.nan if row[name] is None else float(row[name]) for name in FIGURES}
            half_units = [0.5 * 10.0 ** -len(digits.partition(".")[2]) for digits in printed]  # 0.0005 for 0.912
            row |= {"rounding": sum(half_units), "alpha": table["alpha"] if distilled else np.nan}
            rows.append(row | {"dataset": table["dataset"], "table": table["table"]})
    return pd.DataFrame(rows, columns=ROW_COLUMNS)


def paper_source() -> str:
    """Where the tables come from, for a caption."""
    return _content()["source"]


def impossible(rows: pd.DataFrame) -> pd.Series:
    """Which rows break |accuracy − confidence| ≤ ECE ≤ (1 − accuracy) + (1 − confidence); a boolean Series.

    Columns accuracy, confidence and ece are fractions; a row that lacks one is not judged. The bounds may be exceeded
    by the column `rounding`, if there is one.
    """
    least, greatest = ece_bounds(rows["accuracy"], rows["confidence"])  # type: ignore[arg-type]
    slack = _TOLERANCE + (rows["rounding"] if "rounding" in rows.columns else 0.0)
    return pd.Series((rows["ece"] < least - slack) | (rows["ece"] > greatest + slack), index=rows.index)


def dataset_of(data: Mapping[str, Any], num_classes: int | None = None) -> str:
    """The paper's data set that a sweep's `data` section names: cifar10, cifar100 or imagenet; "" for any other.

    Files count as a data set if the last folder of their path has its name, as in data/CIFAR-100 or ILSVRC2012/, or if
    their labels are the `fine_label` of CIFAR-100. With other labels, another number of classes, or a limit on the
    training images, it is another data set.
    """
    source, column = data.get("source"), data.get("label_column")
    folder = re.sub("[^a-z0-9]", "", re.split(r"[/\\]", str(data.get("path") or "").rstrip("/\\"))[-1].lower())
    if source in DATASETS:
        name = str(source)
    elif source not in ("folder", "parquet"):
        name = ""
    else:
        name = "cifar100" if column == "fine_label" else FOLDERS.get(folder, "")
    if column not in (None, "label", "fine_label") or data.get("limit") is not None:
        return ""
    return name if num_classes in (None, DATASETS.get(name)) else ""


def matching(points: pd.DataFrame, dataset: str, teachers: pd.DataFrame) -> pd.DataFrame:
    """The paper's rows on a data set beside a sweep's own, one row for each pair, with MATCH_COLUMNS.

    points are the arms of a front, teachers the table of `analysis.runs.teachers_of`, with test figures of both;
    dataset is the value of `dataset_of`. A student matches if its method, its temperature and the architecture of its
    teacher do, a teacher if its architecture does. The student's network, the recipe and alpha may differ. Students
    that are both in Table 1 and in Table 3 are listed once.
    """
    families: dict[Any, Any] = {"": ""} | dict(zip(teachers["teacher"], map(family_of, teachers["model"]), strict=True))
    paper = paper_rows().assign(impossible=impossible)
    paper = paper.loc[paper["dataset"] == dataset]
    paper = paper.drop_duplicates(["role", "teacher", "method", "temperature", *FIGURES])
    students = points.assign(role="student", name=points["arm"], model=points["student"])
    others = teachers.assign(role="teacher", name=teachers["teacher"], method="", temperature="", alpha=np.nan)
    ours = pd.concat([_of_test(others), _of_test(students)], ignore_index=True)
    ours = ours.assign(paper_teacher=ours["teacher"].map(families.get))
    theirs = paper.rename(columns={name: f"paper_{name}" for name in ("teacher", "alpha", *FIGURES)})
    return ours.merge(theirs, on=["role", "method", "temperature", "paper_teacher"]).loc[:, MATCH_COLUMNS]


def _content() -> dict[str, Any]:
    return json.loads(_FILE.read_text())


def family_of(model: str) -> str | None:
    """The paper's teacher with the architecture of a timm model, whatever its weights; None if it is no such model."""
    name = model.removeprefix("timm/").removeprefix("hf_hub:timm/")
    return next((family for family, names in FAMILIES.items() if re.match(rf"({names})(?![a-z0-9])", name)), None)


def _of_test(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their figures of test under plain names; those without an accuracy are left out."""
    rows = rows.assign(**{name: rows[f"test/{name}"] for name in FIGURES})
    return rows.loc[rows["accuracy"].notna(), OWN_COLUMNS]
