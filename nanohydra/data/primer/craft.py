"""Small helpers every primer domain shares: splits by hash, turns, articles, plurals, numbers.

Knows no templates and no words. A key belongs to one side of the train/test border by its hash
alone, so the border holds whatever the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from random import Random
from typing import Any, Literal, Protocol, TypeVar
from zlib import crc32

from nanohydra.core.types import Conversation, Document, Message, Record

T = TypeVar("T")
Split = Literal["train", "test"]
Side = Literal["train", "test", "world"]

MAX_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class Example:
    """One evaluation question.

    prompt: the messages, ending with a user turn.
    answer: the string a right reply contains.
    accept: other strings that count as right.
    meta: what a scorer or a reader of failures wants: kind, distractors, expression, ...
    """

    prompt: tuple[Message, ...]
    answer: str
    accept: tuple[str, ...] = ()
    domain: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


class Domain(Protocol):
    """What an entry of the domain table is: a class without arguments that makes records."""

    def record(self, rng: Random, split: Split) -> Record:
        """One training record of the split."""
        ...

    def example(self, rng: Random, split: Split) -> Example:
        """One evaluation question of the split."""
        ...


@dataclass(frozen=True)
class Bank:
    """Wordings of one purpose, split into those for training and those only for testing."""

    train: tuple[str, ...]
    test: tuple[str, ...]

    def of(self, split: Split) -> tuple[str, ...]:
        """The wordings of a split."""
        return self.train if split == "train" else self.test

    def pick(self, rng: Random, split: Split) -> str:
        """A random wording of a split."""
        return rng.choice(self.of(split))


def side(word: str) -> Side:
    """Which side a made-up or given name lies on: 20% test, 20% the fixed world, else train."""
    bucket = crc32(word.lower().encode()) % 5
    return "test" if bucket == 0 else "world" if bucket == 1 else "train"


def held_out(key: str) -> bool:
    """Whether a key (for example an operand pair) is reserved for testing: one in five."""
    return crc32(key.encode()) % 5 == 0


def distinct(make: Callable[[], T], count: int) -> list[T]:
    """`count` different results of `make`, in the order they came."""
    found: dict[T, None] = {}
    while len(found) < count:
        found[make()] = None
    return list(found)


def user(text: str) -> Message:
    """A user turn."""
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    """An assistant turn."""
    return Message(role="assistant", content=text)


def dialogue(
    turns: Sequence[str], source: str, *, system: str = "", meta: Mapping[str, Any] | None = None
) -> Conversation:
    """A conversation of alternating turns, the user's first."""
    messages = [Message(role="system", content=system)] if system else []
    messages += [user(t) if i % 2 == 0 else assistant(t) for i, t in enumerate(turns)]
    return Conversation(messages=tuple(messages), source=source, meta=meta or {})


def document(text: str, source: str) -> Document:
    """A plain text of the primer."""
    return Document(text=text, source=source)


def capital(text: str) -> str:
    """The text with its first letter raised."""
    return text[:1].upper() + text[1:]


def fill(template: str, slots: Mapping[str, object]) -> str:
    """The template with its slots filled and its first letter raised."""
    text = template.format_map(slots)
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    """The noun with "a" or "an" before it."""
    return f"an {noun}" if noun[:1] in "aeiou" and not noun.startswith("uni") else f"a {noun}"


IRREGULAR = {
    "mouse": "mice", "fish": "fish", "sheep": "sheep", "goose": "geese", "child": "children",
    "loaf of bread": "loaves of bread", "leaf": "leaves", "knife": "knives", "deer": "deer",
    "scarf": "scarves", "shelf": "shelves", "person": "people",
}  # fmt: skip


def plural(noun: str) -> str:
    """The plural of a noun of the primer's vocabulary."""
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith(("s", "x", "ch", "sh")) or noun in ("potato", "tomato"):
        return noun + "es"
    return noun + "s"


def format_number(value: Fraction | int) -> str:
    """A number as the calculator prints it.

    Integers without a point; others rounded (half to even) to at most 6 decimals, with
    trailing zeros trimmed.
    """
    fraction = Fraction(value)
    if fraction.denominator == 1:
        return str(fraction.numerator)
    exact = Decimal(fraction.numerator) / Decimal(fraction.denominator)
    step = Decimal(1).scaleb(-MAX_DECIMALS)
    text = format(exact.quantize(step, rounding=ROUND_HALF_EVEN), "f")
    text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
