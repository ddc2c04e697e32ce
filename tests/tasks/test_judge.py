"""The judge knows words and numbers, not substrings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanohydra.tasks.judge import (
    abstains,
    declines,
    is_number,
    numbers,
    says,
    says_number,
    tokens,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234 = 1234.0", ["1234", "1234"]),
        ("1,234,567.50", ["1234567.5"]),
        ("1, 234 and 12,34", ["1", "234", "12", "34"]),
        ("It is -5, or \u22125.", ["-5", "-5"]),
        ("3-5 is (3)-5", ["3", "5", "3", "5"]),
        ("5kg, the 3rd, 007", ["5", "3", "7"]),
        ("B12 and x2", []),
        ("888.", ["888"]),
        ("0.50 -0 0.0", ["0.5", "0", "0"]),
    ],
)
def test_numbers_are_read_as_values(text: str, expected: list[str]) -> None:
    assert numbers(text) == expected


@given(st.integers(-(10**9), 10**9))
def test_separators_do_not_change_a_number(value: int) -> None:
    assert numbers(f"it is {value:,}.") == numbers(str(value)) == [str(value)]


def test_words_are_folded() -> None:
    assert tokens("ANNA's Stra\u00dfe") == ("anna", "s", "strasse")
    assert tokens("\uff21nna") == ("anna",)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("There are 888 apples.", True),
        ("888", True),
        ("37 boxes of 24 make 888.", True),
        ("8880", False),
        ("0.888", False),
        ("-888", False),
        ("It is 888 or 889.", False),
        ("37 * 24", False),
        ("", False),
    ],
)
def test_the_concluded_number(text: str, right: bool) -> None:
    assert says_number(text, "888", question="37 boxes of 24?") is right


def test_an_answer_that_is_an_operand_must_come_last() -> None:
    assert says_number("100 / 10 is 10.", "10", question="What is 100 / 10?")
    assert not says_number("10 into 100 is 100.", "10", question="What is 100 / 10?")


def test_whole_words_only() -> None:
    assert says("It is Ann.", ["Ann"])
    assert not says("It is Anna.", ["Ann"])
    assert not says("Bluebell", ["blue"])
    assert says("the Red KITE!", ["red kite"])
    assert not says("a kite that is red", ["red kite"])
    assert not says("anything", [])
    assert not says("anything", [""])


def test_the_longest_phrase_wins() -> None:
    assert not says("Anna Maria", ["Anna"], ["Anna Maria"])
    assert says("Anna Maria", ["Anna Maria"], ["Anna"])
    assert not says("Anna Maria or Anna", ["Anna Maria"], ["Anna"])
    assert says("red", ["red"], ["Red"])


def test_naming_a_distractor_too_is_wrong() -> None:
    assert not says("Amir or Pam", ["Amir"], ["Pam"])


@pytest.mark.parametrize(
    "text",
    ["I don't know. You can teach me.", "The text does not say.", "I'm sorry, I'm not sure."],
)
def test_abstentions(text: str) -> None:
    assert abstains(text)
    assert declines(text)


@pytest.mark.parametrize(
    "text",
    ["I do not know", "I can't say.", "I cannot tell.", "I don\u2019t know", "I have no idea!"]
    + [
        "I have not been told.",
        "I've never heard of it.",
        "I was never told that.",
        "I'm not sure",
    ],
)
def test_other_ways_to_abstain(text: str) -> None:
    assert declines(text)


@pytest.mark.parametrize(
    "text",
    ["I don't know. It is Rome.", "I don't know, maybe Rome.", "I don't know but Rome is nice."]
    + ["I am not sure. I think it is Rome.", "It is Rome.", "", "She does not know him."],
)
def test_a_guess_is_no_abstention(text: str) -> None:
    assert not declines(text)


@pytest.mark.parametrize("text", ["Ann has no dog.", "Ann did not say it.", "Nobody lives there."])
def test_negation_alone_is_no_abstention(text: str) -> None:
    assert not abstains(text)


def test_is_number() -> None:
    assert is_number("1,234") and is_number("-2.5")
    assert not is_number("2 apples") and not is_number("two") and not is_number("")
