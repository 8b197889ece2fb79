import pytest

from kd_core.methods.method import Method


def test_a_method_without_a_loss_learns_from_labels_alone():
    assert Method("plain", "the baseline").teacherless
    assert not Method("copy", "nobody 2026", lambda student, *_: student.mean()).teacherless


def test_the_paper_of_a_method_is_what_stands_before_the_place_in_it():
    assert [Method("a", source).paper for source in ("Zhao 2022, eq. 7", "Kim 2026")] == ["Zhao 2022", "Kim 2026"]


@pytest.mark.parametrize("bound", [{"mixup": "never"}, {"twin": "other"}])
def test_a_method_that_is_bound_to_its_mixup_names_the_one_to_take_instead(bound):
    with pytest.raises(AssertionError, match="twin"):
        Method("a", "nobody 2026", **bound)
