"""How figures are called and written, in sentences, tables and charts."""

import numpy as np

from analysis.objectives import SIZES
from analysis.statistics.bootstrap import Estimate
from kd_core.measure.names import ACCURACIES
from kd_core.measure.predictions import RAW, SCALED, STANDARDIZED

READING_TITLES = {SCALED: "As shipped", RAW: "As trained", STANDARDIZED: "z/σ"}

FIGURE_TITLES = {
    "ece": "ECE",
    "ece_debiased": "debiased ECE",
    "mce": "maximum calibration error",
    "classwise_ece": "class-wise ECE",
    "nll": "NLL (nats)",
    "brier": "Brier score",
    "aurc": "AURC",
    "augrc": "AUGRC",
    "set_size": "classes in a conformal set at 90 %",
    "set_coverage": "labels in their conformal set",
    "gap": "confidence − accuracy",
    "abs_gap": "|confidence − accuracy|",
    "num_parameters": "parameters",
    "latency_ms_1": "latency at batch 1 (ms an image)",
    "latency_ms_64": "latency at batch 64 (ms an image)",
}


def title_of(figure: str) -> str:
    """The name of a figure, such as `ECE as shipped` for ece_scaled, which is after temperature scaling."""
    raw = figure.removesuffix("_scaled")
    return FIGURE_TITLES.get(raw, raw.replace("_", " ")) + " as shipped" * (raw != figure)


def value_text(figure: str, value: float) -> str:
    """A value of a figure: accuracy in percent, without its sign, sizes in three digits or more, others in decimals."""
    if figure in ACCURACIES:
        return f"{100 * value:.2f}"
    if figure in SIZES:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:.4f}"


def share_text(share: float, digits: int = 0) -> str:
    """A share in percent, such as `95 %`, whose parts no line break separates; one of nearly nothing is no `0 %`."""
    number = f"{100 * share:.{digits}f}"
    return f"{'less than 1' if share > 0 and number == '0' else number}\N{NO-BREAK SPACE}%"


def estimate_text(figure: str, estimate: Estimate) -> str:
    """An estimate with its interval in brackets, if it has one, such as `47.05 (46.31–47.80)`; "" for none."""
    if np.isnan(estimate.value):
        return ""
    interval = "" if np.isnan(estimate.low) else f" ({interval_text(figure, estimate)})"
    return value_text(figure, estimate.value) + interval


def interval_text(figure: str, estimate: Estimate) -> str:
    """An interval, such as `46.31–47.80`."""
    return f"{value_text(figure, estimate.low)}–{value_text(figure, estimate.high)}"
