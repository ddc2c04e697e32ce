"""Decide what a reply says: whole words and whole numbers, never a substring.

Knows nothing of tasks or models. A text becomes a sequence of tokens (case-folded words and
canonical numbers, so that 1,234 = 1234 = 1234.0), and a phrase is said where its tokens stand
next to each other: "888" is not said by "8880", nor "Ann" by "Anna".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal

# A hyphen is a minus sign only where no word or bracket stands before it: "-5", but not "3-5".
# A number that follows a letter belongs to a name ("B12"); one before letters does not ("5kg").
TOKEN = re.compile(
    r"(?P<number>(?<![\w.)\]])[-\u2212]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?)"
    r"|(?P<word>[^\W\d_]+\d[^\W_]*|[^\W\d_]+|\d+)"
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NOT = r"(?: ?n'?t| ?not| never)"
ABSTENTION = re.compile(
    rf"\bi (?:really |just |still )?(?:do|did|would|could|can){NOT} (?:yet )?"
    r"(?:know|say|tell|answer|have (?:that|any|this|the|an))\b"
    rf"|\bi(?: a|')m{NOT} (?:sure|certain|aware)\b|\bnot sure\b|\bi ca ?n'?t (?:say|tell|answer)\b"
    rf"|\bi(?: |')(?:ha)?ve{NOT} (?:yet )?(?:been (?:told|taught)|heard|learn)"
    rf"|\bi was{NOT} (?:told|taught)\b|\b(?:nobody|no one) (?:has )?(?:ever )?(?:told|taught)\b"
    rf"|\b(?:text|story|passage|it) (?:does|did){NOT} (?:say|tell|mention)\b"
    r"|\bi have no (?:idea|information)\b|\b(?:unknown|new) to me\b"
)
CLAUSE_END = re.compile(r"[.!?;:,\n]+|\b(?:but|maybe|perhaps|probably)\b", re.IGNORECASE)
SPEAKS_OF_THE_CHAT = re.compile(r"^\W*(?:i|you|please|sorry)\b(?! (?:think|guess|believe)\b)")


def tokens(text: str) -> tuple[str, ...]:
    """Words (case-folded, compatibility forms folded) and numbers in one canonical spelling."""
    return tuple(
        canonical(match["number"]) if match["number"] else match["word"]
        for match in TOKEN.finditer(unicodedata.normalize("NFKC", text).casefold())
    )


def canonical(number: str) -> str:
    """One spelling per value: no thousands separators, no trailing zeros, ASCII minus."""
    value = Decimal(number.replace(",", "").replace("\u2212", "-"))
    if value == 0:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def numbers(text: str) -> list[str]:
    """The numbers of a text in order, each in canonical spelling."""
    return [token for token in tokens(text) if NUMBER.fullmatch(token)]


def is_number(text: str) -> bool:
    """Whether a text is one number and nothing else."""
    return len(tokens(text)) == 1 == len(numbers(text))


def says(text: str, accepted: Iterable[str], distractors: Iterable[str] = ()) -> bool:
    """Whether the text says one of the accepted phrases and none of the distractors.

    At each place the longest phrase wins: "Anna Maria" does not say "Anna" when "Anna Maria" is
    a distractor, and says no distractor "Anna" when it is the answer. A phrase that is on both
    lists counts as accepted.
    """
    right = {tokens(phrase) for phrase in accepted} - {()}
    wrong = {tokens(phrase) for phrase in distractors} - right - {()}
    spoken = _spoken(tokens(text), [*right, *wrong])
    return bool(spoken & right) and not spoken & wrong


def says_number(text: str, answer: str, question: str = "") -> bool:
    """Whether the answer is the one number that a text concludes.

    Numbers of the question may be repeated; any other number must be the answer. An answer that
    is itself a number of the question has to be the last number said.
    """
    assert is_number(answer), f"the answer must be one number: {answer!r}"
    (target,) = tokens(answer)
    said, given = numbers(text), set(numbers(question))
    if target not in said:
        return False
    if target in given:
        return said[-1] == target
    return all(number == target or number in given for number in said)


def abstains(text: str) -> bool:
    """Whether a text declines to answer for want of knowledge, whatever else it says."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return bool(ABSTENTION.search(text))


def declines(text: str) -> bool:
    """Whether a whole reply abstains: it says so, and asserts nothing besides.

    Every clause must abstain or speak of the chat ("You can teach me."), so that "I don't know,
    maybe Rome." and "I don't know. It is Rome." do not pass.
    """
    clauses = [clause.casefold() for clause in CLAUSE_END.split(text) if tokens(clause)]
    return abstains(text) and all(
        abstains(clause) or SPEAKS_OF_THE_CHAT.search(clause) for clause in clauses
    )


def _spoken(said: Sequence[str], phrases: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The phrases met in a scan from left to right, the longest first at each place."""
    longest_first = sorted(set(phrases), key=len, reverse=True)
    found = set()
    place = 0
    while place < len(said):
        for phrase in longest_first:
            if tuple(said[place : place + len(phrase)]) == phrase:
                found.add(phrase)
                place += len(phrase)
                break
        else:
            place += 1
    return found
