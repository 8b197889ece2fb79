"""The model card of a promoted student: what it is, how good it is, and what it is not good for."""

from collections.abc import Iterable, Mapping
from typing import Any

from analysis.snapshot import Snapshot
from analysis.statistics.bootstrap import Estimate
from analysis.text.names import interval_text, title_of, value_text
from analysis.text.table import Table
from kd_core.measure.predictions import SCALED
from kd_core.measure.scaling import has_optimum
from sweeps.promotion.choice import Choice
from sweeps.promotion.formats import INT8, FormatCheck
from sweeps.promotion.student import Student

_MOST_CLASSES = 20  # that are named


def card_of(snapshot: Snapshot, choice: Choice, student: Student) -> str:
    """The card in Markdown; equal records give equal cards."""
    return "\n\n".join(
        [
            f"# {snapshot.sweep.name}: {choice.run['label']}",
            _summary(choice, student),
            Table(["", ""], _origin(snapshot, choice, student)).markdown(),
            "## Figures",
            Table(["on the test images", "its arm", "95 % interval", "this student"], _figures(choice)).markdown(),
            _reading_aid(choice),
            _standing(choice),
            "## Use",
            _use(student),
            "## Limits",
            "\n".join(f"- {each}" for each in _limits(choice, student)),
        ]
    )


def export_note(checks: Iterable[FormatCheck]) -> str:
    """The section on the files of an export, with the metrics of each."""
    rows = [
        [
            f"`{check.name}`",
            f"{check.size_bytes:,}",
            f"{100 * check.accuracy:.2f}",
            f"{check.ece:.4f}",
            f"{check.difference:.2g}" + ", 8-bit" * (check.name == INT8),
        ]
        for check in checks
    ]
    headers = ["file", "bytes", "accuracy %", "ECE", "largest difference from the stored probabilities"]
    files = Table(headers, rows).markdown()
    return f"## Files\n\n{files}\n\nThe front and the report of the sweep: front.svg, report.html."


def _summary(choice: Choice, student: Student) -> str:
    run, names = choice.run, student.class_names
    shown = ", ".join(names[:_MOST_CLASSES]) + (", …" if len(names) > _MOST_CLASSES else "")
    taught = f", distilled from the teacher {run['teacher']}" if run["teacher"] else ", trained on hard labels alone"
    return f"A {run['student']} that tells {len(names)} classes of images apart{taught}. Classes: {shown}."


def _origin(snapshot: Snapshot, choice: Choice, student: Student) -> list[list[str]]:
    run, config = choice.run, choice.trial.config
    data, teacher = snapshot.index.data, config["teacher"] or {}
    height, width = student.image_size
    unlabelled = f" and {data.num_unlabelled:,} unlabelled" if data and data.num_unlabelled and config["beta"] else ""
    rows = {
        "arm": run["arm"],
        "method": run["method"],
        "temperature of distillation": run["temperature"],
        "weight of the hard labels": f"{run['alpha']:g}",
        "teacher": _teacher(snapshot, run["teacher"], teacher) if teacher else "",
        "data": f"{config['data']['source']}, {student.num_train:,} training{unlabelled}, {len(student.validation):,} "
        f"validation and {len(student.test):,} test images of {width}×{height} pixels",
        "data's fingerprint": data.fingerprint if data else "",
        "training": f"{config['train']['epochs']} epochs, seed {run['seed']}",
        "parameters": f"{run['num_parameters']:,.0f}",
        "trial": f"{run['trial']} of the sweep {snapshot.sweep.name}",
    }
    return [[name, text] for name, text in rows.items() if text]


def _teacher(snapshot: Snapshot, name: str, config: Mapping[str, Any]) -> str:
    """The teacher, and its own accuracy and ECE on test, if its record is whole; config is its part of a trial's."""
    results = {each.entry.name: each.result.metrics for each in snapshot.teachers if each.result}
    results |= {each.entry.name: each.metrics for each in snapshot.fused}
    models = {each.entry.name: each.description for each in snapshot.fused}
    told = f"{name}, {models.get(name, config.get('model'))}"
    if not (metrics := results.get(name)):
        return told
    accuracy, ece = (metrics[f"test/{figure}"] for figure in ("accuracy", "ece"))
    return f"{told}, {100 * accuracy:.2f} % accurate with an ECE of {ece:.4f}"


def _figures(choice: Choice) -> list[list[str]]:
    """The figures of the student's arm as the report has them, and beside them its own, as the sample shows them."""
    titles = {
        "accuracy": "accuracy %",
        "ece_scaled": "ECE, as it answers",
        "ece": "ECE before the temperature",
        "nll_scaled": "NLL (nats)",
    }
    rows = []
    for figure, title in titles.items():
        interval, own = choice.arm[f"{figure}_interval"], choice.run[f"test/{figure}"]
        estimate = Estimate(choice.arm[f"{figure}_estimate"], *interval)
        told = value_text(figure, estimate.value), interval_text(figure, estimate)
        rows.append([title, *told, value_text(figure, own)])
    return rows


def _reading_aid(choice: Choice) -> str:
    """How the two columns of figures differ."""
    number = choice.arm["num_seeds"]
    seeds = f", means of its {number} seeds" if number > 1 else ""
    luck = " and without the luck of its selection" if "measured" in choice.arm else ""
    return (
        f"The arm's figures are those of the report{seeds}, as infinitely many images would show them{luck}; the "
        "student's are of these images alone, whose noise makes an ECE too large."
    )


def _standing(choice: Choice) -> str:
    """Whether the arm is on the sweep's front as shipped."""
    report, arm = choice.report, choice.arm
    objectives = " and ".join(map(_objective, report.content[SCALED]["objectives"]))
    where = f"is one of the {len(report.front)} on the front" if arm["on_front"] else "is not on the front"
    share = f"{100 * arm['front_probability']:.0f} %"
    return (
        f"Of {len(report.arms)} arms, its arm {where} of {objectives}, as the validation images show it, and in "
        f"{share} of their resamples."
    )


def _objective(name: str) -> str:
    return title_of(name.rpartition("/")[2])


def _use(student: Student) -> str:
    height, width = student.image_size
    return (
        "It takes raw images, uint8 RGB or grey, of any size, resizes and centre-crops them to "
        f"{width}×{height} pixels, and returns the probability of each class, calibrated by the temperature "
        f"{student.temperature:.4g}, in the order of the classes."
    )


def _limits(choice: Choice, student: Student) -> list[str]:
    return [
        "The figures hold for images like the test images; on others, accuracy falls and confidence often does not.",
        "Every image gets one of the classes, also one that shows none of them.",
        _calibration(student),
        _seeds(choice),
        *choice.report.content.get("sanity", []),
        "Whatever is biased in the data, or in the teacher, is likely to be biased in the student.",
    ]


def _calibration(student: Student) -> str:
    text = f"The temperature was fitted on {len(student.validation):,} validation images, which also chose the arm"
    validation = student.trial.product.predictions("validation", with_logits=True)
    if validation.logits is None or has_optimum(validation.logits, validation.label):
        return f"{text}."
    return (
        f"{text}; alone they have no best one (all right, or no better than chance), so that a weak prior decided it."
    )


def _seeds(choice: Choice) -> str:
    if choice.arm["num_seeds"] > 1:
        return "The intervals are of the mean over seeds; a single student, such as this one, varies more."
    return "The intervals say what other test images would show, not what another seed of the training would."
