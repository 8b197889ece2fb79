"""Classes from a column of labels: integers of any values, text, true and false, or numbers that stand for names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from kd_core.config.errors import DataError

LARGEST = 10**8  # a label above it is a time, a hash or an id


@dataclass(frozen=True)
class LabelValues:
    """The different labels of a column, in their order, and which of them each row has, int64 [N]; −1 for none."""

    values: tuple[bool | int | str, ...]
    codes: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """How many rows have each value, [V]."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))


def is_label(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold labels."""
    if pa.types.is_dictionary(kind):
        return is_label(kind.value_type)
    return any(
        test(kind) for test in (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)
    )


def values_of(column: pa.ChunkedArray) -> LabelValues:
    """The labels of a column; memory grows with the rows, not with the values."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded: Any = column.dictionary_encode().combine_chunks()
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=lambda place: values[place])
    places = np.zeros(len(values) + 1, dtype=np.int64)
    places[order], places[-1] = np.arange(len(values)), -1
    codes = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False).astype(np.int64)
    return LabelValues(tuple(values[place] for place in order), places[codes])


def named(labels: LabelValues, names: Sequence[str]) -> LabelValues:
    """Labels that are numbers of names, as those names; −1 is no label. Raises DataError for any other number."""
    wrong = [value for value in labels.values if not -1 <= int(value) < len(names)]
    if wrong:
        raise DataError(f"holds {wrong[0]}, and the column's metadata name the classes 0 to {len(names) - 1}")
    numbers = np.array([int(value) for value in labels.values] + [-1], dtype=np.int64)
    return LabelValues(tuple(names), numbers[labels.codes])


def unlabelled(labels: LabelValues) -> np.ndarray:
    """The rows without a label, a mask [N]: null, or −1 where other labels are not negative."""
    if -1 in labels.values and min(labels.values) == -1 and set(labels.values) != {-1, 1}:  # type: ignore[type-var]
        return (labels.codes < 0) | (labels.codes == labels.values.index(-1))
    return labels.codes < 0


def problem_of(labels: LabelValues) -> str | None:
    """Why values are no classes, and what to do; None if they may be."""
    numbers = [value for value in labels.values if isinstance(value, int)]
    if numbers and max(map(abs, numbers)) > LARGEST:
        largest = max(numbers, key=abs)
        return f"holds {largest}, which is a time, a hash or an id and no class; name another column"
    num_rows = len(labels.codes)
    if len(labels.values) > max(2, num_rows / 2):
        return f"has {len(labels.values):,} different values in {num_rows:,} rows: no classes; name another column"
    return None


def spelt_out(labels: LabelValues) -> LabelValues:
    """Labels whose truth values are the texts true and false, since Python takes them for the numbers 1 and 0."""
    values = (str(value).lower() if isinstance(value, bool) else value for value in labels.values)
    return replace(labels, values=tuple(values))
