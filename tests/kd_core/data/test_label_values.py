import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd_core.config.errors import DataError
from kd_core.data.label_values import LabelValues, is_label, named, problem_of, spelt_out, unlabelled, values_of


def labels(values, kind=None) -> LabelValues:
    """The labels of a column in two chunks."""
    half = len(values) // 2
    chunks = [values[:half], values[half:]]
    return values_of(pa.chunked_array(chunks, kind) if kind else pa.chunked_array(chunks))


@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=1, max_size=30))
def test_every_row_has_its_value_and_values_are_in_their_order(values):
    column = labels(values, pa.int64())
    assert [None if code < 0 else column.values[code] for code in column.codes.tolist()] == values
    assert list(column.values) == sorted({value for value in values if value is not None})
    assert column.counts.tolist() == [values.count(value) for value in column.values]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["b", "a", "b"], None, ("a", "b")),
        ([True, False, True], None, (False, True)),
        ([10, 2, 10], pa.uint8(), (2, 10)),
    ],
)
def test_labels_of_all_kinds(values, kind, expected):
    column = labels(values, kind)
    assert column.values == expected
    assert column.codes.tolist() == [1, 0, 1]


def test_a_dictionary_is_read_by_its_values():
    column = values_of(pa.chunked_array([pa.array(["b", "a", None, "b"]).dictionary_encode()]))
    assert (column.values, column.codes.tolist()) == (("a", "b"), [1, 0, -1, 1])
    assert is_label(pa.dictionary(pa.int32(), pa.string()))


def test_numbers_of_names_become_the_names_and_minus_one_none():
    column = named(labels([2, 0, -1, None]), ("x", "y", "z"))
    assert (column.values, column.codes.tolist()) == (("x", "y", "z"), [2, 0, -1, -1])
    with pytest.raises(DataError, match=r"holds 3, and .* classes 0 to 2"):
        named(labels([0, 3]), ("x", "y", "z"))


def test_minus_one_is_no_label_unless_it_is_one_of_two():
    assert unlabelled(labels([0, -1, 1, None])).tolist() == [False, True, False, True]
    assert unlabelled(labels([-1, 1, -1, None])).tolist() == [False, False, False, True]
    assert unlabelled(labels([-1, -1])).all()
    assert not unlabelled(labels(["-1", "a"])).any()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([0, 1] * 5, None),
        ([0, 1], None),
        ([1, 2**40] * 5, "a time, a hash or an id"),
        (list(range(10)), "10 different values in 10 rows"),
        ([f"{n}.png" for n in range(10)], "10 different values in 10 rows"),
    ],
)
def test_ids_and_times_are_no_classes(values, problem):
    said = problem_of(labels(values))
    assert said is None if problem is None else problem in str(said)


def test_truth_values_are_no_numbers():
    read = spelt_out(labels([True, False, True]))
    assert (read.values, read.codes.tolist()) == (("false", "true"), [1, 0, 1])
    assert spelt_out(labels([1, 0])).values == (0, 1)


def test_columns_that_may_hold_labels():
    kinds = (pa.int8(), pa.string(), pa.bool_(), pa.float32(), pa.binary())
    assert [is_label(kind) for kind in kinds] == [True, True, True, False, False]
