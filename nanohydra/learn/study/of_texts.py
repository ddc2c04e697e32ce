"""The items of what no relation fits: plain sentences, questions with answers, conversations.

And of all that is known about a subject together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from nanohydra.core.types import Message
from nanohydra.learn.lessons import Lesson
from nanohydra.learn.study.facts import ParsedFact
from nanohydra.learn.study.grammar import sentence, swap_speaker
from nanohydra.learn.study.items import ItemKind, ItemSplit, StudyItem
from nanohydra.learn.study.of_facts import accepted
from nanohydra.learn.study.sources import Told, key_phrase
from nanohydra.learn.study.wordings import (
    ABOUT_DEV,
    ABOUT_TEST,
    ABOUT_TRAIN,
    DEV_FRAMES,
    GAPS_DEV,
    GAPS_TEST,
    GAPS_TRAIN,
    QUOTED_DEV,
    QUOTED_TEST,
    QUOTED_TRAIN,
    TEST_FRAMES,
    TRAIN_FRAMES,
)

MAX_TOLD = 3  # facts that one answer about a subject joins
_INVERTED = re.compile(
    r"(?P<w>what|who|where|when|why|which \w+|what \w+|how \w+) (?P<v>is|are|was|were|will|can) "
    r"(?P<s>the .+|my .+|our .+|[A-Z].*)",
    re.IGNORECASE,
)


def subject_items(groups: Sequence[tuple[Lesson, ParsedFact]], seed: int) -> list[StudyItem]:
    """ "What do you know about Mara?", answered with facts of one lesson; for training alone.

    Of several lessons about a subject the last one answers: no lesson's words stand in another's.
    """
    about: dict[str, list[tuple[Lesson, ParsedFact]]] = {}
    for lesson, fact in groups:
        if fact.subject:
            about.setdefault(fact.subject, []).append((lesson, fact))
    items = []
    for subject, told in about.items():
        lesson, last = told[-1]
        rng = Random(f"{seed} about {subject}")
        answers = [fact.answer for own, fact in told if own.id == lesson.id]
        item = _item(
            lesson.id, "statement", "train", "about/train",
            rng.choice(ABOUT_TRAIN).format(s=subject), " ".join(answers[-MAX_TOLD:]),
            accepted(last.object),
        )  # fmt: skip
        items.append(replace(item, relation=last.relation.key, subject=subject))
    return items


def sentence_items(told: Told, rng: Random) -> list[StudyItem]:
    """A sentence that no relation fits: asked by what it is about, and by its beginning."""
    said = sentence(swap_speaker(told.sentence))
    words = told.sentence.split()
    accept = (key_phrase(said, swap_speaker(told.about)),)
    items = []
    about: tuple[tuple[ItemSplit, tuple[str, ...]], ...] = (
        ("train", ABOUT_TRAIN), ("dev", ABOUT_DEV), ("test", ABOUT_TEST)
    )  # fmt: skip
    for split, wordings in about:
        for wording in wordings:
            question = wording.format(s=told.about)
            items.append(
                _item(told.lesson.id, "qa", split, f"about/{split}", question, said, accept)
            )
    cuts = sorted({max(2, len(words) // 2), max(2, len(words) - 3), max(2, len(words) - 1)})
    gaps: tuple[tuple[ItemSplit, tuple[str, ...]], ...] = (
        ("train", GAPS_TRAIN), ("dev", GAPS_DEV), ("test", GAPS_TEST[:1])
    )  # fmt: skip
    for split, wordings in gaps:
        for cut in cuts if split == "train" else cuts[-1:]:
            beginning = " ".join(words[:cut])
            rest = (" ".join(words[cut:]).strip(".!? "),) if split == "test" else accept
            question = rng.choice(wordings).format(x=beginning)
            items.append(
                _item(told.lesson.id, "cloze", split, f"gap/{split}", question, said, rest)
            )
    items.append(
        StudyItem(
            lesson_id=told.lesson.id, kind="statement", messages=(), answer=told.sentence,
            split="train", family="told", accept=accept,
        )
    )  # fmt: skip
    return items


def question_items(told: Told, rng: Random) -> list[StudyItem]:
    """A question in the user's own words, in frames, and as a part of a sentence."""
    question, answer = told.question, told.answer
    accept = (key_phrase(answer, question),)
    items = [_item(told.lesson.id, "qa", "train", "own", question, answer, accept)]
    groups: tuple[tuple[ItemSplit, tuple[str, ...], int], ...] = (
        ("train", QUOTED_TRAIN, 10), ("dev", QUOTED_DEV, 2), ("test", QUOTED_TEST, 3)
    )  # fmt: skip
    asked = question if question.endswith(("?", ".", "!")) else question + "?"
    for split, wordings, count in groups:
        for wording in rng.sample(wordings, count):
            text = wording.format(q=asked)
            items.append(
                _item(told.lesson.id, "qa", split, f"quoted/{split}", text, answer, accept)
            )
    clause = as_clause(question)
    framed: tuple[tuple[ItemSplit, tuple[str, ...], int], ...] = (
        ("train", TRAIN_FRAMES, 6), ("dev", DEV_FRAMES, 1), ("test", TEST_FRAMES, 2)
    )  # fmt: skip
    for split, wordings, count in framed if clause else ():
        for wording in rng.sample(wordings, count):
            text = wording.format(c=clause)
            items.append(_item(told.lesson.id, "qa", split, f"frame/{split}", text, answer, accept))
    return items


def turn_items(told: Told) -> list[StudyItem]:
    """A turn of an example conversation as it is, and its last question in other frames."""
    last = told.turns[-1]
    accept = (key_phrase(told.answer, last.content),)
    own = _item(
        told.lesson.id, "conversation", "train", "own", last.content, told.answer, accept
    )  # fmt: skip
    items = [replace(own, messages=told.turns)]
    groups: tuple[tuple[ItemSplit, tuple[str, ...]], ...] = (
        ("train", QUOTED_TRAIN[:6]), ("dev", QUOTED_DEV[:1]), ("test", QUOTED_TEST[:2])
    )  # fmt: skip
    for split, wordings in groups:
        for wording in wordings:
            text = Message(role="user", content=wording.format(q=last.content))
            items.append(replace(
                own, split=split, family=f"quoted/{split}", messages=(*told.turns[:-1], text)
            ))  # fmt: skip
    return items


def as_clause(question: str) -> str:
    """A question with "is" or "can" as a part of a sentence: "what the code is"; "" if unsure."""
    match = _INVERTED.fullmatch(question.strip().rstrip("?"))
    if match is None or len(match["s"].split()) > 7:
        return ""
    return f"{match['w'].lower()} {match['s']} {match['v'].lower()}"


def _item(
    lesson_id: str,
    kind: ItemKind,
    split: ItemSplit,
    family: str,
    question: str,
    answer: str,
    accept: tuple[str, ...],
) -> StudyItem:
    return StudyItem(
        lesson_id=lesson_id, kind=kind, messages=(Message(role="user", content=question),),
        answer=answer, split=split, family=family, accept=accept,
    )  # fmt: skip
