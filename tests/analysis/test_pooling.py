"""Where the noise of seeds decides what is visible."""

import numpy as np
import pytest

from analysis.pooling import pooling_text, seeds_decide
from analysis.statistics.evidence import Evidence


def evidence(difference, images, seeds, num_seeds=2, num_arms=12):
    """Arms of which the second is better; images and seeds are the standard deviations of noise, of an arm's mean."""
    generator, arms = np.random.default_rng(0), [f"arm {number}" for number in range(num_arms)]
    plain = np.zeros(num_arms)
    plain[1] = difference
    of_images = 0.5 + plain + generator.normal(scale=images, size=(2000, num_arms))
    draws = of_images + generator.normal(scale=seeds / np.sqrt(num_seeds), size=(2000, num_arms))
    return Evidence(
        split="test",
        num_images=1000,
        num_resamples=2000,
        arms=arms,
        num_seeds=dict.fromkeys(arms, num_seeds),
        plain={"accuracy": plain},
        draws={"accuracy": draws},
        seed_deviation={"accuracy": seeds},
        image_draws={"accuracy": of_images},
    )


@pytest.mark.parametrize(
    ("difference", "images", "seeds", "decide"),
    [
        (0.02, 0.002, 0.02, True),  # visible but for the seeds
        (0.20, 0.002, 0.02, False),  # visible
        (0.02, 0.02, 0.001, False),  # images alone hide it
        (0.02, 0.02, np.nan, False),
    ],
)
def test_seeds_decide_where_images_alone_would_show_a_difference(difference, images, seeds, decide):
    noise = 0.0 if np.isnan(seeds) else seeds
    found = evidence(difference, images, noise)
    found.seed_deviation["accuracy"] = seeds
    assert seeds_decide(found, "accuracy", "arm 1", "arm 0") == decide


def test_the_pooling_and_what_it_decides_are_named():
    found = evidence(0.02, 0.002, 0.02)
    text = pooling_text(found, ["arm 1"], "arm 0", ["accuracy"])
    assert text.startswith("How much seeds differ is pooled over 12 arms of 2 seeds")
    assert text.endswith("It hides 1 of these 1 differences, which would be visible if seeds did not differ.")
    assert "It hides none of these differences." in pooling_text(
        evidence(0.2, 0.002, 0.02), ["arm 1"], "arm 0", ["accuracy"]
    )


def test_with_one_seed_or_one_arm_nothing_is_pooled():
    assert pooling_text(evidence(0.02, 0.002, 0.02, num_seeds=1), ["arm 1"], "arm 0", ["accuracy"]) == ""
    found = evidence(0.02, 0.002, 0.02)
    found.num_seeds.update(dict.fromkeys(found.arms[1:], 1) | {"arm 2": 3, "arm 0": 2})
    assert "over 2 arms of 2 to 3 seeds" in pooling_text(found, ["arm 1"], "arm 0", ["accuracy"])
    found.num_seeds.update({"arm 2": 1})
    assert pooling_text(found, ["arm 1"], "arm 0", ["accuracy"]) == ""
