"""Every error of ours is drawn in the tree, and is caught by its base."""

import re

from kd_core.config import errors


def test_the_tree_draws_every_error_and_each_has_the_base():
    classes = {name: value for name, value in vars(errors).items() if name.endswith("Error")}
    assert all(issubclass(error, errors.KdSweepsError) for error in classes.values())
    assert set(re.findall(r"^[ ├└─]*(\w+Error)", errors.__doc__, re.MULTILINE)) == set(classes)
