import pytest
from pydantic import ValidationError

from kd_core.fields import AbsolutePath, Config, even, number_of, or_word, shown, size_text


class Example(Config):
    """One field."""

    rate: float = 0.1
    """a number"""
    place: AbsolutePath = "/"
    """a path"""


def test_a_config_is_frozen_strict_and_finite():
    with pytest.raises(ValidationError, match="frozen"):
        Example().rate = 1.0  # type: ignore[misc]
    for wrong in ({"raet": 1}, {"rate": float("nan")}):
        with pytest.raises(ValidationError):
            Example.model_validate(wrong)


def test_a_field_is_described_by_its_docstring():
    assert Example.model_fields["rate"].description == "a number"


def test_the_schema_of_a_model_tells_the_words_that_may_stand_for_it():
    class Worded(Example):
        """A model or a word."""

        model_config = or_word("auto", False)

    whole, words = Worded.model_json_schema()["anyOf"]
    assert whole["properties"].keys() == {"rate", "place"}
    assert words == {"enum": ["auto", False]}


@pytest.mark.parametrize(("value", "number"), [("2e-1", 0.2), ("sigma", "sigma"), (3, 3), (None, None)])
def test_text_that_is_a_number_is_one(value, number):
    assert number_of(value) == number


def test_an_odd_number_is_refused():
    assert even(4) == 4
    with pytest.raises(ValueError, match="even"):
        even(3)


@pytest.mark.parametrize(
    "value", ["a\nb", "\x1b[31m\0", "\ud800", "x" * 10**6, "\n" * 99, 16**5000, 10**80, ["é"] * 99], ids=shown
)
def test_a_value_is_shown_in_one_line_of_at_most_80_characters(value):
    text = shown(value)
    assert text.isprintable()
    assert 0 < len(text) <= 80
    text.encode()


def test_a_short_value_is_shown_as_it_is_and_a_long_one_by_both_its_ends():
    assert [shown(value) for value in ("漢字 🙂", 1, None, [1, "a"])] == ["漢字 🙂", "1", "None", "[1, 'a']"]
    assert shown("a" * 50 + "b" * 50) == "a" * 40 + "…" + "b" * 39


def test_a_size_is_told_in_its_unit():
    sizes = (0, 1023, 1024, 1500, 2**20 - 1, 3 * 2**30, 2**50)
    assert [size_text(size) for size in sizes] == [
        "0 B",
        "1023 B",
        "1 KiB",
        "1.46 KiB",
        "1024 KiB",
        "3 GiB",
        "1024 TiB",
    ]


def test_the_home_of_a_user_who_is_not_there_is_refused():
    with pytest.raises(ValidationError, match="give the whole path"):
        Example(place="~nobody-of-this-name/x")
