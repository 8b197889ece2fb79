"""Faithfulness: where a student predicts what its teacher does, and whether it is as sure of it."""

from collections.abc import Iterator, Sequence

import numpy as np

from kd_core.config.evaluation import EvaluateConfig
from kd_core.measure.detection import maximum_probability
from kd_core.measure.fidelity import agreement, log_odds, slope_and_correlation
from kd_core.reliability.evaluator import Evaluator, Figures, Model
from kd_core.reliability.readings import readings

MOST_POINTS = 500  # of the scatter of log-odds


def evaluate(model: Model, teacher: Model | None, options: EvaluateConfig) -> Figures:
    """Agreement and confidence difference of a student and its teacher, and their log-odds; nothing without a teacher.

    - agreement: the share of inputs of which both predict the same class, the same in both readings
    - confidence_difference: the mean of |max p_t − max p_s|, each in its own prediction

    They are over clean images and, with _mixed, pairs at 0 < λ < 1; with _near, the neighbours of those images that
    both classify correctly, none of them if there are none; with _corrupted, all corruptions and severities, and as
    arrays [C] over those of each corruption, in the order of the array corruption.
    """
    if teacher is None:
        return
    for kind, inputs in _inputs(model, teacher):
        yield from _compared(model, teacher, kind, inputs)
    yield from _log_odds(model, teacher, options.seed)


def _inputs(model: Model, teacher: Model) -> Iterator[tuple[str, list[np.ndarray]]]:
    """The ending of the figures' names and the logits [..., N, K] of both models, of each kind of input."""

    def both(name: str) -> list[np.ndarray]:
        """What student and teacher said of a set."""
        return [each.outputs[name].logits for each in (model, teacher)]

    clean, labels = both("clean"), model.outputs["clean"].labels
    assert np.array_equal(labels, model.outputs["near"].labels), "neighbours are those of the clean images, in order"
    sure = np.all([logits.argmax(axis=1) == labels for logits in clean], axis=0)
    yield "", clean
    yield "_mixed", [logits[1:-1] for logits in both("mixed")]
    if sure.any():
        yield "_near", [logits[:, sure] for logits in both("near")]
    yield "_corrupted", both("corrupted")


def _compared(model: Model, teacher: Model, kind: str, inputs: Sequence[np.ndarray]) -> Figures:
    """Agreement and confidence difference on logits [..., N, K] of both, and of corrupted images by corruption."""
    values = {f"agreement{kind}": agreement(*inputs)}
    for suffix, temperatures in readings(model, teacher):
        student_confidence, teacher_confidence = map(maximum_probability, inputs, temperatures)
        values[f"confidence_difference{kind}{suffix}"] = np.abs(teacher_confidence - student_confidence)
    for name, value in values.items():
        yield f"faithfulness/{name}", float(value.mean())
    if kind == "_corrupted":
        yield "corruption", np.array(model.outputs["corrupted"].axes["corruption"])
        for name, value in values.items():
            yield name, value.mean(axis=(1, 2))


def _log_odds(model: Model, teacher: Model, seed: int) -> Figures:
    """The student's log-odds of the class that its teacher predicts, against the teacher's, on clean images.

    A slope above 1 is the exaggeration of Nagarajan 2023: surer where the teacher is sure, less where it is not.
    Slope and correlation are of all images, and left out where one of the models says the same of all; the arrays
    student_log_odds and teacher_log_odds are of 500 images at most, the same in both.
    """
    student_logits, teacher_logits = (each.outputs["clean"].logits for each in (model, teacher))
    num_images, predicted = len(teacher_logits), teacher_logits.argmax(axis=1)
    drawn = np.sort(np.random.default_rng(seed).permutation(num_images)[:MOST_POINTS])
    for suffix, (temperature, teacher_temperature) in readings(model, teacher):
        of_teacher = log_odds(teacher_logits, predicted, teacher_temperature)
        of_student = log_odds(student_logits, predicted, temperature)
        figures = zip(("slope", "correlation"), slope_and_correlation(of_teacher, of_student), strict=True)
        for name, value in figures:
            if not np.isnan(value):
                yield f"faithfulness/log_odds_{name}{suffix}", value
        yield f"teacher_log_odds{suffix}", of_teacher[drawn].astype(np.float32)
        yield f"student_log_odds{suffix}", of_student[drawn].astype(np.float32)


FAITHFULNESS = Evaluator(
    "faithfulness",
    "Stanton 2021 (agreement); Lamb 2023 (confidence near what both know); Nagarajan 2023 (log-odds)",
    inputs=("clean", "mixed", "near", "corrupted"),
    evaluate=evaluate,
    options=("seed",),
    headlines={"faithfulness/agreement": "agreement"},
    objectives={"faithfulness/agreement": "max"},
)
