"""A sweep's Tables 1 to 5, laid out like those of the paper, as CSV, Markdown and LaTeX."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.findings import Findings
from analysis.objectives import SIZES, figure_of
from analysis.readings import Judgement
from analysis.statistics.evidence import Evidence
from analysis.text.names import READING_TITLES
from analysis.text.table import Table, one_line, plain
from kd_core.measure.names import ACCURACIES
from kd_core.measure.predictions import RAW, SCALED

VALUE, WITH_INTERVAL, WITH_ESTIMATE = ("",), ("", "_low", "_high"), ("", "_estimate", "_low", "_high")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "σ": r"$\sigma$", "α": r"$\alpha$"}
)

Cell = str | Sequence[float]


@dataclass(frozen=True)
class Column:
    """A column of text or, with parts, of figures; parts are endings of names in CSV, one for each of a cell's numbers.

    A reader sees the estimate, or the only number, times factor, in the given form, and the last two as its interval.
    """

    name: str
    title: str
    parts: tuple[str, ...] = ()
    form: str = ".4f"
    factor: float = 1

    def text(self, cell: Cell) -> str:
        """A cell for a reader: text as it is, figures with their interval in brackets, nothing where there is none."""
        if isinstance(cell, str):
            return cell
        value, *interval = ("" if math.isnan(x) else format(x * self.factor, self.form) for x in cell[-3:])
        return f"{value} [{', '.join(interval)}]" if any(interval) else value


@dataclass(frozen=True)
class Sheet:
    """A table with its caption, before it is written in any format."""

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]


def tables_of(findings: Findings) -> dict[str, str]:
    """The tables by file name: table1.csv, table1.md, table1.tex, … table5.tex. Equal findings give equal text.

    Table 1, as in the paper: accuracy and calibration of every arm, by teacher and temperature. Table 2 has the layout
    of the paper's Tables 2 to 4, each of which is one data set: the teachers, the best student of each, and the
    students without a teacher. Table 3, every arm against the baseline, and Tables 4 and 5, the front as trained and as
    shipped with the probability of each arm, are what the paper lacks. Figures are of test images unless a title says
    otherwise, estimates as on the page, means over seeds, with 95 % intervals. CSV has fractions, with columns
    `_estimate`, `_low` and `_high`, beside the figure of the sample. Until an arm has finished, tables have no rows.
    """
    fronts = [_front(findings, findings.readings[reading]) for reading in (RAW, SCALED)]
    sheets = [_by_temperature(findings), _teachers_and_students(findings), _differences(findings), *fronts]
    writers = {"csv": csv_of, "md": markdown_of, "tex": latex_of}
    return {
        f"table{number}.{ending}": write(sheet, number)
        for number, sheet in enumerate(sheets, start=1)
        for ending, write in writers.items()
    }


def csv_of(sheet: Sheet, number: int) -> str:
    """A header and a line for each row; text that a spreadsheet would take for a formula begins with an apostrophe."""
    names = [column.name + part for column in sheet.columns for part in column.parts or ("",)]
    rows = [[x for cell in row for x in ([_harmless(cell)] if isinstance(cell, str) else cell)] for row in sheet.rows]
    return pd.DataFrame(rows, columns=names).to_csv(index=False, lineterminator="\n", float_format="%.8g")


def markdown_of(sheet: Sheet, number: int) -> str:
    """The caption and the table in GitHub's Markdown; text stands in it as it is, never as markup."""
    cells = [[plain(cell) if isinstance(cell, str) else cell for cell in row] for row in sheet.rows]
    rows = [[column.text(cell) for column, cell in zip(sheet.columns, row, strict=True)] for row in cells]
    headers, numeric = zip(*((plain(column.title), bool(column.parts)) for column in sheet.columns), strict=True)
    return f"**Table {number}.** {plain(sheet.caption)}\n\n{Table(headers, rows, numeric).markdown()}\n"


def latex_of(sheet: Sheet, number: int) -> str:
    """A table environment that needs the booktabs package."""
    rows = [[_latex_cell(*pair) for pair in zip(sheet.columns, row, strict=True)] for row in sheet.rows]
    frame = pd.DataFrame(rows, columns=[_latex(column.title) for column in sheet.columns])
    return frame.style.hide(axis="index").to_latex(
        column_format="".join("r" if column.parts else "l" for column in sheet.columns),
        position_float="centering",
        hrules=True,
        label=f"tab:kdsweep-{number}",
        caption=_latex(sheet.caption),
    )


def _by_temperature(findings: Findings) -> Sheet:
    columns = [Column("teacher", "Teacher"), Column("temperature", "T"), Column("arm", "Arm"), Column("seeds", "Seeds")]
    rows: list[list[Cell]] = []
    if (test := findings.shipped.test) is not None:
        for point in _by_teacher(findings.points).to_dict("records"):
            identity = [point["teacher"], point["temperature"], point["arm"], str(point["num_seeds"])]
            rows.append([*identity, *_figures(test, point["arm"])])
    caption = f"{findings.name}: accuracy and calibration by teacher and temperature{_of_images(findings.test)}"
    return Sheet(f"{caption}. {_NOTE}", [*columns, *_FIGURES], rows)


def _by_teacher(points: pd.DataFrame) -> pd.DataFrame:
    """Arms without a teacher, then those of each teacher: kd_mixup by temperature, sigma last, then other methods."""
    teachers = list(dict.fromkeys(["", *points["teacher"]]))
    methods = list(dict.fromkeys(["kd_mixup", *points["method"]]))
    keys = pd.DataFrame(index=points.index)
    keys["teacher"] = points["teacher"].map(teachers.index)
    keys["method"] = points["method"].map(methods.index)
    keys["temperature"] = [float(text.replace("sigma", "inf") or 0) for text in points["temperature"]]
    return points.loc[keys.sort_values(list(keys), kind="stable").index]


def _teachers_and_students(findings: Findings) -> Sheet:
    objective, direction = next(iter(findings.readings[RAW].front.objectives.items()))
    best_by = objective.replace("/", " ").replace("_", " ")
    points = findings.points.sort_values(objective, ascending=direction == "min", kind="stable")
    rows: list[list[Cell]] = []
    if findings.teacher_test is not None:
        for teacher in findings.teacher_test.arms:
            rows.append([teacher, "teacher", *_figures(findings.teacher_test, teacher)])
    if (test := findings.shipped.test) is not None:
        best = points.loc[points["teacher"] != ""].drop_duplicates("teacher").sort_index()
        rows += [[arm, "student", *_figures(test, arm)] for arm in best["arm"]]
        alone = points.loc[points["teacher"] == ""].sort_index()
        rows += [[arm, "no teacher", *_figures(test, arm)] for arm in alone["arm"]]
    caption = f"{findings.name}: teachers, each one's student with the best {best_by}, and students without a teacher"
    columns = [Column("model", "Model"), Column("role", "Role"), *_FIGURES]
    return Sheet(f"{caption}{_of_images(findings.test)}. {_NOTE}", columns, rows)


def _differences(findings: Findings) -> Sheet:
    test, baseline = findings.shipped.test, findings.baseline
    rows: list[list[Cell]] = []
    if test is not None and baseline:
        names = [column.name for column in _DIFFERENCES]
        for arm in findings.points["arm"].loc[lambda arms: arms != baseline]:
            rows.append([arm, *([*vars(test.difference(name, arm, baseline)).values()] for name in names)])
    caption = f"{findings.name}: each arm minus {baseline or 'a classic arm, of which there is none'}{_of_images(test)}"
    note = "Differences are without the bias of a finite sample, with paired 95 % intervals."
    return Sheet(f"{caption}. {note}", [Column("arm", "Arm"), *_DIFFERENCES], rows)


def _front(findings: Findings, judgement: Judgement) -> Sheet:
    front, on_test = judgement.front, judgement.selected.set_index("arm")
    splits = {"validation": findings.validation, "test": judgement.test}
    figures = [(split, figure_of(name)) for split in splits for name in front.objectives if name not in SIZES]
    sizes = [name for name in front.objectives if name in SIZES]
    columns = [
        *(Column("arm", "Arm"), Column("front_probability", "On the front, %", VALUE, ".1f", 100)),
        *(Column("rival", "Rival"), Column("rival_share", "Dominated by it, %", VALUE, ".1f", 100)),
        *(_column(figure, split) for split, figure in figures),
        *(Column(name, name.replace("_", " "), VALUE, ".8g") for name in sizes),
        *(Column(name, name.capitalize()) for name in ("single", "optimistic", "pessimistic")),
    ]
    points = front.points.loc[front.points["plausible"] | front.points["on_front"]]
    rows: list[list[Cell]] = []
    for point in points.sort_values("front_probability", ascending=False, kind="stable").to_dict("records"):
        arm = point["arm"]
        row: list[Cell] = [arm, [point["front_probability"]], point["rival"], [point["rival_share"]]]
        row += [_measured(splits[split], figure, arm) for split, figure in figures]
        row += [[float(point[name])] for name in sizes]
        chosen = on_test.loc[arm] if arm in on_test.index else {}
        flags = [point["on_front"], *(bool(chosen.get(front)) for front in ("optimistic", "pessimistic"))]
        rows.append([*row, *("yes" if flag else "no" for flag in flags)])
    which = f"{findings.name}, {READING_TITLES[judgement.reading].lower()}"
    caption = f"{which}: the arms that may be optimal, and how often each is on the front of validation resamples"
    notes = [
        "Single: on the front of the validation images as they are.",
        "Optimistic, pessimistic: on the best and the worst front, on test, of a choice among these arms.",
    ]
    return Sheet(f"{caption}. {' '.join(notes)}", columns, rows)


def _column(figure: str, split: str = "", parts: tuple[str, ...] = WITH_ESTIMATE) -> Column:
    plain = figure.removesuffix("_scaled")
    title = plain.upper() if plain in ("ece", "nll", "aurc", "augrc") else plain.replace("_", " ")
    title = f"{split} {title}".strip() + " scaled" * figure.endswith("_scaled")
    title, name = title[0].upper() + title[1:], f"{split}_{figure}" if split else figure
    sign = "+" * (parts == WITH_INTERVAL)  # of differences
    if plain not in (*ACCURACIES, "confidence"):
        return Column(name, title, parts, f"{sign}.4f")
    return Column(name, title + (", points" if sign else ", %"), parts, f"{sign}.2f", 100)


_FIGURES = [_column(figure) for figure in ("accuracy", "confidence", "ece", "ece_scaled")]
_DIFFERENCES = [_column(figure, parts=WITH_INTERVAL) for figure in ("accuracy", "ece", "ece_scaled", "nll")]
_NOTE = (
    "Means over seeds, with 95 % intervals, of what infinitely many images would show; of the recommended arm, without "
    "the luck of its selection, where several seeds show it. The CSV has the figures of the sample, too."
)


def _figures(evidence: Evidence, arm: str) -> list[Cell]:
    return [_measured(evidence, column.name, arm) for column in _FIGURES]


def _measured(evidence: Evidence | None, figure: str, arm: str) -> Cell:
    assert evidence is not None, "an arm has finished, so there is evidence of it"
    of_sample = float(evidence.plain[figure][evidence.arms.index(arm)])
    return [of_sample, *vars(evidence.estimate(figure, arm)).values()]


def _of_images(evidence: Evidence | None) -> str:
    return "" if evidence is None else f", on {evidence.num_images:,} test images"


def _harmless(text: str) -> str:
    text = one_line(text)
    return "'" + text if text.startswith(("=", "+", "-", "@")) and not _NUMBER.fullmatch(text) else text


def _latex(text: str) -> str:
    return one_line(text).translate(_LATEX)


def _latex_cell(column: Column, cell: Cell) -> str:
    """A cell in LaTeX; {} keeps a bracket or a star after the end of a row from being read as its option."""
    if isinstance(cell, str):
        text = _latex(cell)
        return "{}" * text.startswith(("[", "*")) + text
    return column.text(cell).replace("-", "$-$")
