"""How often claims get a false verdict where all recipes are the same, and the right one where a difference is real."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from analysis.statistics.cases import CONTRADICTED, SUPPORTED
from analysis.statistics.claims import claims_of
from analysis.statistics.evidence import Evidence, evidence_of
from kd_core.measure.predictions import Predictions
from tests.benchmarks.coverage.population import model

ARMS = (  # method, teacher, temperature: fourteen claims can be asked of them
    *(("classic", "", ""), ("mixup", "", ""), ("kd", "t", "2")),
    *(("kd_mixup", "t", temperature) for temperature in ("2", "4", "8", "sigma")),
)
SEED_DEVIATION = 0.0075  # of accuracy
FIGURES = ("accuracy", "ece", "abs_gap")
_SLOPE = 0.14  # of accuracy, in logits of the population


def measure(num_pages: int = 200) -> dict[str, float]:
    """The share of pages with a false verdict, by number and deviation of seeds; and the power for two points."""
    made = {}
    for seeds in (2, 3, 5):
        for deviation in (0.0, SEED_DEVIATION):
            found = [verdicts(page, seeds, deviation) for page in range(num_pages)]
            name = f"seeds_{seeds}_deviation_{100 * deviation:g}"
            made[f"pages_with_a_false_verdict_{name}"] = float(np.mean([bool(each) for each in found]))
    for seeds in (2, 5):
        found = [verdicts(page, seeds, SEED_DEVIATION, better=0.03) for page in range(num_pages)]
        made[f"seen_that_mixup_is_3_points_better_seeds_{seeds}"] = float(np.mean([0 in each for each in found]))
    return made


def verdicts(number: int, num_seeds: int, deviation: float, better: float = 0.0, num_images: int = 1000) -> list[int]:
    """Which claims of a simulated page are supported or contradicted; mixup alone is better by so much accuracy."""
    generator = np.random.default_rng(number)
    hardness, luck = generator.normal(size=num_images), generator.normal(size=num_images)
    predictions: dict[str, Predictions] = {}
    for arm in ARMS:
        for seed in range(num_seeds):
            shift = (better * (arm[0] == "mixup") + deviation * generator.normal()) / _SLOPE
            predictions[f"{' '.join(arm)} {seed}"] = _model(generator, hardness, luck, shift)
    predictions["t"] = _model(generator, hardness, luck, 0.0)
    points = pd.DataFrame(ARMS, columns=["method", "teacher", "temperature"])
    names = [" ".join(arm) for arm in ARMS]
    trials = [[f"{name} {seed}" for seed in range(num_seeds)] for name in names]
    points = points.assign(arm=names, trials=trials, alpha=0.0, student="s")
    test = _evidence([(arm, trial) for arm, each in zip(names, trials, strict=True) for trial in each], predictions)
    found = claims_of(points, test, _evidence([("t", "t")], predictions))
    return [place for place, claim in enumerate(found) if claim.verdict in (SUPPORTED, CONTRADICTED)]


def _model(generator: np.random.Generator, hardness: np.ndarray, luck: np.ndarray, shift: float) -> Predictions:
    """A model that is overconfident, whose accuracy is higher by about _SLOPE times shift."""
    level = 1 + shift + 1.6 * (0.9 * hardness + np.sqrt(1 - 0.81) * generator.normal(size=len(hardness)))
    chance = norm.cdf(0.8 * luck + 0.6 * generator.normal(size=len(hardness)))
    return model(expit(level + 0.2 - 0.5 * shift), chance < expit(level))


def _evidence(
    members: Sequence[tuple[str, str]], predictions: dict[str, Predictions], num_resamples: int = 400
) -> Evidence:
    runs = pd.DataFrame(members, columns=["arm", "trial"]).assign(status="finished")
    for figure in FIGURES:
        runs = runs.assign(**{f"test/{figure}{suffix}": np.nan for suffix in ("", "_scaled")})
    made = evidence_of(runs, "test", predictions.__getitem__, num_resamples, FIGURES)
    assert made is not None
    return made
