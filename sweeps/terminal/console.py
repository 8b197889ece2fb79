"""Prints plans, statuses and predictions as tables and sentences on stderr."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kd_core.config.checkpoint import checkpoint_caveat
from kd_core.fields import size_text

if TYPE_CHECKING:  # printing a status loads neither torch nor pandas
    from analysis.report import Report
    from sweeps.plan.cost import Cost
    from sweeps.plan.eta import TimeLeft
    from sweeps.plan.plan import Plan
    from sweeps.plan.sharing import SignalPlan
    from sweeps.plan.upkeep import Verification

_MOST_ROWS = 100  # of a status that lists all
_LOG_WIDTH = 200


def stderr() -> Console:
    """A console on stderr, a terminal or a log, whose lines are long, so that labels are found in it."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _LOG_WIDTH
    return console


def table(*columns: str, title: str | None = None) -> Table:
    """A table without lines whose first column never wraps."""
    empty = Table(title=title, title_style="dim", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        empty.add_column(column, overflow="fold", no_wrap=column == columns[0])
    return empty


def print_plan(
    plan: Plan, cost: Cost, bfloat16_gains: dict[str, float], time: TimeLeft | None = None, new: Iterable[str] = ()
) -> None:
    """Print the parts of a sweep, their status, cost and time of the rest, and where bfloat16 would make it cheaper.

    new holds sentences on why trials are new.
    """
    from sweeps.plan.cost import bfloat16_text

    console = stderr()
    console.print(f"{plan.spec.name}: {plan.data.sizes}", soft_wrap=True)
    for line in plan.data.lines:
        console.print(line, soft_wrap=True, markup=False)
    if plan.teachers:
        console.print(_teachers_table(plan))
    if caveat := checkpoint_caveat(plan.given_teachers):
        console.print(f"note: {caveat}", soft_wrap=True)
    foreseen = [signal for signal in plan.signals if signal.foreseen]
    if foreseen:
        console.print(_signals_table(foreseen))
    if len(foreseen) < len(plan.signals):
        why = "a range of their arms changes what the teacher sees, so that no two would share its logits"
        console.print(f"distilled trials with a live teacher: {why}", soft_wrap=True)
    roles = ["role"] * any(planned.role for planned in plan.trials)
    trials = table("trial", *roles, "status", "epochs")
    for planned in plan.trials:
        role, num_epochs = [planned.role] * len(roles), planned.trial.config.train.num_epochs
        trials.add_row(planned.trial.label, *role, planned.status_text, str(num_epochs))
    if plan.trials:
        console.print(trials)
    for sentence in new:
        console.print(sentence, soft_wrap=True, markup=False)
    if plan.num_unproposed:
        search, num_seeds = plan.spec.search, len(plan.spec.seeds)
        each_of = f", each with {num_seeds} seeds" if num_seeds > 1 else ""
        console.print(f"{search.sampler} is to propose {plan.num_unproposed} of {search.trials} points{each_of}")
    console.print(_cost_sentence(cost), soft_wrap=True)
    if time is not None and not plan.up_to_date:
        console.print(f"time to train, one after another: {time}", soft_wrap=True)
    for gain in bfloat16_gains.items():
        console.print(bfloat16_text(*gain), soft_wrap=True)


def _teachers_table(plan: Plan) -> Table:
    teachers = table("teacher", "model", "status", "trials", "epochs")
    for teacher in plan.teachers:
        recipe, num_trials = teacher.finetuning, str(teacher.num_trials)
        num_epochs = str(recipe.train.num_epochs)
        teachers.add_row(teacher.name, recipe.student.model, teacher.state.status, num_trials, num_epochs)
    for fused in plan.fused:
        of = f"{fused.rule} of {', '.join(fused.entry.members)}"
        teachers.add_row(fused.name, of, fused.status, str(fused.num_trials), "")
    return teachers


def _signals_table(signals: list[SignalPlan]) -> Table:
    rows = table("signal", "how", "shared by", "epochs stored", "missing", "size", "teacher passes saved")
    for signal in signals:
        num_missing = len(signal.missing)
        saved = 1 - signal.passes / signal.live_passes if signal.live_passes else 0.0
        rows.add_row(
            signal.label,
            "stored" if signal.stored else "live",
            f"{signal.num_trials} trials",
            f"{signal.num_epochs - num_missing}/{signal.num_epochs}",
            str(num_missing) if signal.stored else "",
            size_text(signal.size_bytes) if signal.stored else "",
            f"{saved:.0%}",
        )
    return rows


def _cost_sentence(cost: Cost) -> str:
    live = ""
    if cost.live_teacher_flops > cost.teacher_flops:
        whole = cost.total_flops - cost.teacher_flops + cost.live_teacher_flops
        live = (
            f"; with the teacher in every trial, {whole / 1e12:,.1f} in {cost.live_teacher_passes} passes: "
            f"{whole / cost.total_flops:.1f} times as much"
        )
    return (
        f"to compute: {cost.total_flops / 1e12:,.1f} TFLOP: fine-tuning teachers {cost.finetuning_flops / 1e12:,.1f}, "
        f"labelling {cost.teacher_flops / 1e12:,.1f} in {cost.teacher_passes} passes over the training images, "
        f"training students {cost.student_flops / 1e12:,.1f}{live}"
    )


def print_status(rows: list[dict[str, Any]]) -> None:
    """Print the status of each product of a sweep; of many, only those that are neither finished nor pending."""
    ordinary = {"finished", "pending"} if len(rows) > _MOST_ROWS else set()
    roles = ["role"] * any(row.get("role") for row in rows)
    products = table("", *roles, "status", "epoch", "key", "error")
    for column in products.columns:  # a long label or error is wrapped, and a key is not
        column.no_wrap = column.header not in ("", "error")
    for row in rows:
        if row["status"] not in ordinary:
            epochs = f"{row['epoch']}/{row['epochs']}" if row["epochs"] is not None else ""
            role = [row.get("role", "")] * len(roles)
            error = Text(row["error"] or "")
            products.add_row(Text(row["label"]), *role, row["status"], epochs, row["key"] or "", error)
    console = stderr()
    if products.row_count:
        console.print(products)
    if ordinary:
        counts = ", ".join(f"{count} {status}" for status, count in Counter(row["status"] for row in rows).items())
        console.print(f"{counts}; --json lists all", soft_wrap=True)


def print_outcome(report: Report, counts: dict[str, int], runs: str | None, searched: bool = False) -> None:
    """Print the front and the answer, what would decide it, the trials by status, and where report and runs are.

    Of a search, also which keys matter, in one line.
    """
    print_front(report.arms)
    console = stderr()
    for sentence in [*report.answer, *report.advice[:1]]:
        console.print(sentence, markup=False, soft_wrap=True)
    if searched and report.keys:
        console.print(" ".join(report.keys), markup=False, soft_wrap=True)
    console.print(", ".join(f"{count} {what}" for what, count in counts.items()), markup=False)
    console.print(f"report: {report.path}", markup=False, soft_wrap=True)
    if runs:
        console.print(f"runs:   {runs}", markup=False, soft_wrap=True)


def print_failures(failures: list[tuple[str, str]]) -> None:
    """Print the label and the reason of each trial, teacher and signal that failed."""
    reasons = table("failed", "reason")
    for label, reason in failures:
        reasons.add_row(Text(label), Text(reason))
    stderr().print(reasons)


def print_front(arms: list[dict[str, Any]]) -> None:
    """Print the plausible arms, the most probable first, or those on the front where plausibility is not known (None).

    An arm is bold if it is on the front with a probability above a half. Figures are the report's estimates.
    """
    rows, selected = [row for row in arms if row["plausible"]], "plausible on validation"
    if all(row["plausible"] is None for row in arms):
        rows, selected = [row for row in arms if row["on_front"]], "on the validation front"
    title = f"{selected}; figures are of test, with 95 % intervals"
    front = table("arm", "accuracy %", "ECE as shipped", "as trained", "on front", title=title)
    for column in front.columns:
        column.no_wrap = column.header != "arm"
    for row in sorted(rows, key=lambda row: -(row["front_probability"] or 0.0)):
        probability = row["front_probability"]
        front.add_row(
            Text(row["arm"]),
            _with_interval(100 * (_estimate(row, "accuracy") or 0.0), row["accuracy_interval"], 100, 1),
            _with_interval(_estimate(row, "ece_scaled"), row["ece_scaled_interval"], 1, 3),
            _with_interval(_estimate(row, "ece"), None, 1, 3),
            "" if probability is None else f"{probability:.0%}",
            style="bold" if probability is not None and probability > 0.5 else None,
        )
    stderr().print(front)
    for row in arms:
        if "impossible" in row:
            stderr().print(f"{row['arm']}: {row['impossible']}", markup=False, soft_wrap=True)


def _estimate(row: dict[str, Any], metric: str) -> float | None:
    """The bias-corrected estimate, or, where it is not known, the metric of the sample."""
    estimate = row.get(f"{metric}_estimate")
    return row[metric] if estimate is None else estimate


def _with_interval(value: float | None, interval: list[float | None] | None, scale: int, digits: int) -> str:
    """A value, and the bounds of its interval times scale where they are known; they need not be symmetric."""
    if value is None:
        return ""
    bounds = [f"{scale * bound:.{digits}f}" for bound in interval or () if bound is not None]
    return f"{value:.{digits}f}" + (f" ({'–'.join(bounds)})" if len(bounds) == 2 else "")


def print_verification(verification: Verification) -> None:
    """Print the differences between a stored signal and its teacher, and the problem."""
    replay, text = verification.replay, f"signal {verification.label}"
    if replay is not None:
        text += (
            f": {replay.num_slots} slots of {len(replay.epochs)} epochs compared: largest error "
            f"{replay.max_error:.3g}, mean {replay.mean_error:.3g}, arg-max flips {replay.argmax_flips}"
        )
    problem = f": {verification.problem}" if verification.problem else ""
    stderr().print(text + problem, markup=False, soft_wrap=True)
