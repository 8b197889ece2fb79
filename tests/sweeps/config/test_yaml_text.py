"""YAML: what is read as people mean it, and what is refused since YAML would take it for something else."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kd_core.config.errors import SpecError
from kd_core.fields import shown
from sweeps.config.yaml_text import yaml_text, yaml_value

NEST = "".join(f"k{n}: &k{n} [{', '.join(9 * [f'*k{n - 1}' if n else '1'])}]\n" for n in range(9))
MERGES = "k0: &k0 {a: 1}\n" + "".join(f"k{n}: &k{n} {{<<: [{', '.join(9 * [f'*k{n - 1}'])}]}}\n" for n in range(1, 9))
REFUSED = [
    ("name: [", "is no valid YAML: expected the node content, but found '<stream end>'; quote what is text"),
    ("name: a\nname: b\n", "line 1, column 1: the key 'name' is given twice"),
    ("{a: &a {x: 1}, b: {<<: *a, <<: *a}}", "the key '<<' is given twice"),
    ("{a: &a {x: 1}, b: {<<: *a, x: 2, x: 3}}", "the key 'x' is given twice"),
    ("{a: &a {<<: {x: 1, x: 2}}, b: *a}", "the key 'x' is given twice"),
    ("{a: {<<: 1}}", "expected a mapping or list of mappings for merging"),
    ("a: &a {<<: *a}", "more than 50 levels or 100000 values"),
    (MERGES, "more than 50 levels or 100000 values"),
    ("a: 1\nname: 2020-13-45\n", "line 2, column 7: 2020-13-45 is no valid timestamp; quote it if it is text"),
    ("name: !!bool c", "c is no valid bool"),
    ('name: "\\ud800"', r"\ud800 is no valid str"),
    ("name: !!timestamp y", "y is no valid timestamp"),
    ("name: !!map [1]", "is no valid YAML: expected a mapping node"),
    ("name: \0", "is no valid YAML: unacceptable character #x0000: special characters are not allowed"),
    ("name: " + 5000 * "1", "1111 is no valid int"),
    ("name: *" + 5000 * "x", "found undefined alias"),
    ("name: " + 1500 * "[" + 1500 * "]", "more than 50 levels"),
    ("name: " + 60 * "[" + 60 * "]", "more than 50 levels"),
    ("name: &a [*a]", "more than 50 levels or 100000 values"),
    (NEST, "100000 values"),
]


@pytest.mark.parametrize(("text", "problem"), REFUSED, ids=shown)
def test_what_cannot_be_meant_is_one_sentence(text, problem):
    with pytest.raises(SpecError) as error:
        yaml_value(text)
    assert problem in str(error.value)
    assert len(str(error.value)) < 300
    assert str(error.value).isprintable()


BASE_60 = {"4:00": 240, "1_0:30": 630, "-1:30": -90, "12:30:45": 45045, "1:30.5": 90.5, "!!int '1:30'": 90}
BASE_8 = {"010": 8, "-010": -8, "+0_10": 8, "007": 7, "00": 0, "0o10": 8, "-0o7": -7, "!!int 010": 8}


@pytest.mark.parametrize("number", [*BASE_60, *BASE_8])
@pytest.mark.parametrize("place", ["{}", "a: 1\nb: [x, {}]", "{}: 1"])
def test_a_number_that_yaml_reads_in_an_unusual_base_is_refused_with_its_line_and_what_it_would_be(number, place):
    read, base = (BASE_60 | BASE_8)[number], 60 if number in BASE_60 else 8
    with pytest.raises(SpecError) as error:
        yaml_value(place.format(number))
    written = number.split()[-1].strip("'")
    said = f"{written}: YAML reads this as {read}, a number of base {base}; write the number in decimal, or quote it if"
    assert said in str(error.value)
    assert str(error.value).startswith("line 2, column 8: " if "\n" in place else written)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("0", 0), ("-0", 0), ("10", 10), ("1_000", 1000), ("-5", -5), ("0x1F", 31), ("0b101", 5), ("0.5", 0.5)),
        *(("1.5e-3", 0.0015), ("2e-1", "2e-1"), ("08", "08"), ("1:99", "1:99"), ("4:00 pm", "4:00 pm")),
        *(("'010'", "010"), ('"4:00"', "4:00"), ("'0o10'", "0o10"), ("a:00", "a:00"), ("", None)),
    ],
)
def test_what_is_plain_stays_what_it_is(text, value):
    assert yaml_value(text) == value
    assert type(yaml_value(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[&a {x: 1, y: 2}, {<<: *a, y: 3}]", {"x": 1, "y": 3}),
        ("[&a {x: 1, y: 2}, {y: 3, <<: *a}]", {"x": 1, "y": 3}),
        ("[&a {x: 1}, &b {x: 2, y: 2}, {<<: [*a, *b], z: 3}]", {"x": 1, "y": 2, "z": 3}),
        ("[&a {x: 1}, &b {<<: *a, y: 2}, {<<: *b, y: 3}]", {"x": 1, "y": 3}),
        ("[&a {x: 1}, {<<: [], x: 2}]", {"x": 2}),
        ("[{'<<': 1}]", {"<<": 1}),
        ("[&a {x: 1, y: 1}, &b {<<: *a, x: 2}, &c {<<: *b}, {<<: [*c, *b, *a]}]", {"x": 2, "y": 1}),
    ],
)
def test_a_mapping_takes_the_keys_of_others_by_a_merge_key_and_its_own_win(text, value):
    assert yaml_value(text)[-1] == value


def test_an_alias_is_a_value_of_its_own():
    first, second = yaml_value("[&a {x: [1]}, *a]")
    first["x"].append(2)
    assert second == {"x": [1]}


WORDS = st.text() | st.from_regex(r"[-+]?[0-9_:ox.e]{1,6}", fullmatch=True)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.recursive(WORDS | st.integers() | st.booleans() | st.none(), lambda inside: st.lists(inside, max_size=3)))
def test_what_is_written_reads_back_as_itself_whatever_its_text_looks_like(value):
    assert yaml_value(yaml_text({"a": value})) == {"a": value}
    assert yaml.safe_load(yaml_text({"a": value})) == {"a": value}
