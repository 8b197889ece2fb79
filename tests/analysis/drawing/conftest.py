"""Synthetic evidence of arms, for figures; and what a figure says."""

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.pareto import Front
from analysis.statistics.evidence import Evidence

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = ("accuracy", "ece", "ece_scaled")
NUM_DRAWS = 200


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a real browser."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "the report is tested in Chromium; install it"
    return found


@pytest.fixture(scope="session")
def words() -> Callable[[str], list[str]]:
    """The texts of an SVG figure."""
    return lambda svg: [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture(scope="session")
def cut_off() -> Callable[[Figure], float]:
    """How many pixels what is drawn reaches out of a figure."""

    def pixels(figure: Figure) -> float:
        (left, bottom), (right, top) = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer()).get_points() * 72
        width, height = figure.get_size_inches() * 72
        return max(0, -left, -bottom, right - width, top - height)

    return pixels


@pytest.fixture(scope="session")
def evidence() -> Callable[..., Evidence]:
    """Evidence on test of arms with the given accuracies and ECEs; every interval is about 4 · spread wide."""

    def make(figures: dict[str, tuple[float, float]], spread: float = 0.01) -> Evidence:
        noise = np.random.default_rng(0).normal(scale=spread, size=(NUM_DRAWS, len(figures)))
        accuracy, ece = np.array(list(figures.values())).T
        plain = {"accuracy": accuracy, "ece": ece + 0.01, "ece_scaled": ece / 2 + 0.01}  # a sample's ECE is too large
        draws = {"accuracy": accuracy + noise, "ece": np.abs(ece + noise), "ece_scaled": np.abs(ece / 2 + noise)}
        seeds = dict.fromkeys(figures, 1)
        return Evidence("test", 1000, NUM_DRAWS, list(figures), seeds, plain, draws, dict.fromkeys(FIGURES, np.nan))

    return make


@pytest.fixture(scope="session")
def judged() -> Callable[..., pd.DataFrame]:
    """Judged arms from (method, teacher, temperature) with front probabilities; those below .1 are ruled out."""

    def make(arms: list[tuple[str, str, str]], probability: list[float]) -> pd.DataFrame:
        points = pd.DataFrame(arms, columns=["method", "teacher", "temperature"])
        names = [" ".join(filter(None, (*arm[:2], arm[2] and f"T={arm[2]}"))) for arm in arms]
        chance = np.array(probability)
        return points.assign(
            arm=names, front_probability=chance, plausible=chance >= 0.1, on_front=chance > 0.3, num_parameters=1000.0
        )

    return make


@pytest.fixture(scope="session")
def front_of_points() -> Callable[..., Front]:
    """A front of accuracy and ECE, or of other objectives, with the given points."""

    def make(points: pd.DataFrame, objectives: dict[str, str] | None = None) -> Front:
        return Front(points, objectives or {"validation/accuracy": "max", "validation/ece": "min"}, {}, 0.5)

    return make


ARMS = [
    ("classic", "", ""),
    ("kd", "small", "2"),
    ("kd_mixup", "small", "2"),
    ("kd_mixup", "small", "8"),
    ("kd_mixup", "small", "sigma"),
    ("kd_mixup", "large", "2"),
    ("kd_mixup", "large", "8"),
]
FIGURES_OF_ARMS = [(0.7, 0.02), (0.76, 0.05), (0.78, 0.06), (0.77, 0.03), (0.75, 0.2), (0.8, 0.07), (0.79, 0.04)]


@pytest.fixture(scope="session")
def points(judged: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Seven arms: two on the front, three plausible, two ruled out."""
    return judged(ARMS, [0.9, 0.05, 0.2, 0.3, 0.0, 0.6, 0.25])


@pytest.fixture(scope="session")
def on_test(points: pd.DataFrame, evidence: Callable[..., Evidence]) -> Evidence:
    """The evidence on test of these arms."""
    return evidence(dict(zip(points["arm"], FIGURES_OF_ARMS, strict=True)))


@pytest.fixture(scope="session")
def teachers_on_test(evidence: Callable[..., Evidence]) -> Evidence:
    """The evidence on test of their teachers."""
    return evidence({"small": (0.8, 0.05), "large": (0.9, 0.09)})
