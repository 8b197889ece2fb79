"""How many validation images it takes to see a difference between the calibration of two students."""

import math

# The standard deviation of the difference of two ECEs on the same images, times √N. Measured by the paired bootstrap
# (400 resamples, 15 bins) over all pairs of students of different arms on the validation images of two finished sweeps:
# median 0.51, quartiles 0.43 and 0.63, for the 144 pairs of cifar100 (5,000 images; accuracies of 32 to 48 %; 0.50 on
# its 10,000 test images, 0.45 after temperature scaling), and 0.19, 0.18 and 0.23 for quickstart (450 images;
# accuracies of 92 to 97 %).
ECE_DEVIATION, ACCURATE_ECE_DEVIATION = 0.5, 0.2
SMALL = 0.02  # a difference of ECE that a sweep should not miss
_VISIBLE = 1.96  # standard deviations at which a difference is told from none, at 95 %


def images_to_see(difference: float, deviation: float = ECE_DEVIATION) -> int:
    """The number of validation images that show a difference of two ECEs, at 95 %, if it is at least so large.

    The default deviation is that of students that are right in about half of the cases, which need the most images.
    """
    return math.ceil((_VISIBLE * deviation / difference) ** 2)


def too_small(num_validation: int) -> str | None:
    """A warning if so many validation images may not show a SMALL difference of ECE; None if they do."""
    needed, accurate = images_to_see(SMALL), images_to_see(SMALL, ACCURATE_ECE_DEVIATION)
    if num_validation >= needed:
        return None
    return (
        f"{num_validation:,} validation images may hide an ECE difference of {SMALL}: seeing it takes about "
        f"{round(needed, -2):,} where students are right in half of the cases, and {round(accurate, -2):,} where they "
        "are in 95 %; give more images, or a larger data.validation"
    )
