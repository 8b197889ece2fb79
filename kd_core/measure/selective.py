"""Selective classification: how well confidence ranks predictions, whose least confident ones are refused."""

import numpy as np

from kd_core.measure.calibration import area_under_risk_coverage, counted


def area_under_generalized_risk_coverage(
    confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """AUGRC: the share of all images that are accepted and wrong, averaged over the coverage from 0 to 1 (Traub 2024).

    Between two confidences the curve is a straight line, also through ties, so that the area equals
    (1 − AUROC)·accuracy·error + error²/2 with the AUROC of confidence for correctness (their eq. 7). It lies between
    error²/2 (every error less confident than every hit) and error − error²/2.
    """
    confidence, correct, weights = counted(confidence, correct, weights)
    _, tie = np.unique(-confidence, return_inverse=True)
    tied, wrong = np.bincount(tie, weights), np.bincount(tie, weights * (1 - correct))
    return float(np.sum(tied * (np.cumsum(wrong) - wrong / 2)) / tied.sum() ** 2)


def excess_area_under_risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> float:
    """E-AURC: the AURC less that of the best order of as many errors, all of them last (Geifman 2019)."""
    best = area_under_risk_coverage(np.asarray(correct, dtype=np.float64), correct)
    return max(0.0, area_under_risk_coverage(confidence, correct) - best)
