"""The warning before a sweep whose validation part is too small to tell students apart."""

import math

import pytest

from sweeps.plan.validation_size import ACCURATE_ECE_DEVIATION, ECE_DEVIATION, SMALL, images_to_see, too_small


@pytest.mark.parametrize("difference", [0.005, 0.02, 0.1])
def test_so_many_images_are_just_enough(difference):
    needed = images_to_see(difference)
    assert 1.96 * ECE_DEVIATION / math.sqrt(needed) <= difference
    assert 1.96 * ECE_DEVIATION / math.sqrt(needed - 1) > difference


def test_a_validation_part_is_warned_of_only_if_it_is_too_small():
    needed = images_to_see(SMALL)
    assert too_small(needed) is None
    assert f"{needed - 1:,} validation images may hide" in (too_small(needed - 1) or "")
    assert "\n" not in (too_small(30) or "")


def test_the_warning_names_both_numbers_in_hundreds():
    assert images_to_see(SMALL) == 2401
    assert images_to_see(SMALL, ACCURATE_ECE_DEVIATION) == 385
    assert "takes about 2,400 where students are right in half of the cases, and 400 where" in (too_small(30) or "")
