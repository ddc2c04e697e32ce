"""What a relation is: how it is told, asked, answered, and asked the other way round.

Wordings are written for a third person singular. Slots: {s} the subject, {p} its possessive,
{m} the subject as an object ("me"), {o} the object, {ao} with an article; some have more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

Wordings = str | Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Back:
    """Questions for the subject, by split, and the sentence that answers them."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    answer: str


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One relation with all its wordings.

    value: the kind of object, for wrong ones to deny (pools.py).
    say: statements, which also serve to recognise a fact. ask, dev, test: questions for the
    object, each group a family of its own. clause: the question as a part of a sentence.
    multi: one subject may well have several objects ("likes"), so two are no contradiction.
    only: what the object of a statement must look like, to be this relation.
    own: the answer where the user is the subject, if another sounds better.
    """

    key: str
    value: str
    say: tuple[str, ...]
    ask: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]
    clause: str
    answer: str
    back: Back | None = None
    multi: bool = False
    only: re.Pattern[str] | None = None
    own: str = ""


def relation(
    key: str,
    value: str,
    *,
    say: Wordings,
    ask: Wordings,
    dev: Wordings,
    test: Wordings,
    clause: str,
    answer: str,
    back: Wordings = (),
    back_test: Wordings = (),
    back_answer: str = "",
    multi: bool = False,
    only: str = "",
    own: str = "",
) -> Relation:
    """A relation whose wordings may be written as one text, separated by bars."""
    reverse = None
    if back:
        reverse = Back(train=listed(back), test=listed(back_test), answer=back_answer or answer)
    return Relation(
        key=key, value=value, say=listed(say), ask=listed(ask), dev=listed(dev),
        test=listed(test), clause=clause, answer=answer, back=reverse, multi=multi,
        only=pattern(only) if only else None,
        own=own,
    )  # fmt: skip


def listed(wordings: Wordings) -> tuple[str, ...]:
    """Wordings one by one, from a text that separates them by bars."""
    if isinstance(wordings, str):
        wordings = wordings.split("|")
    return tuple(dict.fromkeys(" ".join(w.split()) for w in wordings if w.strip()))


def pattern(text: str) -> re.Pattern[str]:
    """A condition on an object."""
    return re.compile(text, re.IGNORECASE)
