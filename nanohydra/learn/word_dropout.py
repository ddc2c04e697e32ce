"""Questions without some of their words, so that it counts what they name and not how they ask.

Word dropout: Iyyer et al., Deep Unordered Composition (ACL 2015). Held-out wordings of a lesson
share its names and most of its other words with those that are trained, but not their frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from nanohydra.core.types import Message
from nanohydra.learn.study.items import StudyItem
from nanohydra.tasks.judge import tokens

VARIANTS = 6  # of a question


def variants(item: StudyItem, share: float, rng: Random) -> list[StudyItem]:
    """The item asked with fewer words, in different ways; none where none can go."""
    if item.kind not in ("qa", "reverse") or not item.messages or not share:
        return []
    asked = dict.fromkeys(
        with_fewer_words(item.question, item.answer, share, rng) for _ in range(VARIANTS)
    )
    *before, last = item.messages
    return [
        replace(item, messages=(*before, Message(role=last.role, content=question)))
        for question in asked
        if question != item.question
    ]


def with_fewer_words(question: str, answer: str, share: float, rng: Random) -> str:
    """The question with each word left out by chance, but names and the answer's own words.

    A name is a word with a capital that does not come first. What would be empty stays whole.
    """
    own = set(tokens(answer))
    kept: Sequence[str] = [
        word
        for number, word in enumerate(question.split())
        if (number and word[:1].isupper())
        or own.intersection(tokens(word))
        or rng.random() >= share
    ]
    return " ".join(kept) or question
