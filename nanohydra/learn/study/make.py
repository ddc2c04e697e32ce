"""Make study items of lessons (a first, thin version: few relations, the rest in one wording)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nanohydra.core.types import Message
from nanohydra.data.primer.craft import capital
from nanohydra.data.primer.wordings_facts import FRAMES, PEOPLE
from nanohydra.learn.lessons import QA, ConversationLesson, Lesson
from nanohydra.learn.study.items import ItemKind, ItemSplit, Study, StudyItem


def study(lessons: Sequence[Lesson], *, seed: int, writer: object = None) -> Study:
    """Items of all lessons."""
    items: list[StudyItem] = []
    for lesson in lessons:
        items += _items(lesson)
    return Study(items=tuple(items))


def _items(lesson: Lesson) -> list[StudyItem]:
    def add(
        split: ItemSplit, family: str, question: str, answer: str, accept: str,
        kind: ItemKind = "qa",
    ) -> None:  # fmt: skip
        messages = (Message(role="user", content=question),)
        items.append(StudyItem(
            lesson_id=lesson.id, kind=kind, messages=messages, answer=answer, split=split,
            family=family, accept=(accept,),
        ))  # fmt: skip

    items: list[StudyItem] = []
    body = lesson.body
    if isinstance(body, QA):
        for frame in ("{q}", "Please tell me: {q}", "I have a question. {q}"):
            add("train", "frame", frame.format(q=body.question), body.answer, body.answer)
        add("test", "held", f"Can you help? {body.question}", body.answer, body.answer)
        return items
    if isinstance(body, ConversationLesson):
        last = max(i for i, m in enumerate(body.messages) if m.role == "assistant")
        answer = body.messages[last].content
        items.append(StudyItem(
            lesson_id=lesson.id, kind="conversation", messages=body.messages[:last],
            answer=answer, split="train", family="own", accept=(answer,),
        ))  # fmt: skip
        return items
    for sentence in re.split(r"(?<=[.!?])\s+", body.text.strip()):
        _fact(sentence.strip(), add)
    return items


def _fact(sentence: str, add) -> None:  # type: ignore[no-untyped-def]
    ask: tuple[str, ...]
    held: tuple[str, ...]
    bare = sentence.rstrip(".!")
    if match := re.fullmatch(r"(.+?) (?:is called|is named) (.+)", bare):
        s, o = match.groups()
        s = s[0].lower() + s[1:] if s.startswith(("The ", "A ", "My ")) else s
        ask = (
            "What is {s} called?",
            "What is the name of {s}?",
            "Which name does {s} have?",
            "{s} is called what?",
            "How do people call {s}?",
            "What name does {s} have?",
        )
        held, clause, answer = (
            ("Which name was given to {s}?",),
            "what {s} is called",
            "{s} is called {o}.",
        )
        back = ("What is called {o}?", "Who or what is {o}?"), ("What has the name {o}?",)
    elif match := re.fullmatch(r"(.+?) lives in (.+)", bare):
        s, o = match.groups()
        r = PEOPLE[0]
        ask, held, clause, answer = r.ask.train, r.ask.test, r.clause, r.answer
        back = ("Who lives in {o}?", "Who has a home in {o}?"), ("Which person lives in {o}?",)
    elif match := re.fullmatch(r"(.+?) works as an? (.+)", bare):
        s, o = match.groups()
        r = PEOPLE[1]
        ask, held, clause, answer = r.ask.train, r.ask.test, r.clause, r.answer
        back = ("Who is a {o}?", "Who works as a {o}?"), ("Which person is a {o}?",)
    else:
        words = bare.split()
        cut = max(1, len(words) - 2)
        s, o = " ".join(words[:cut]), " ".join(words[cut:])
        for q in ("What do you know about {s}?", "Complete: {s}"):
            add("train", "cloze", q.format(s=s), sentence, o, "cloze")
        add("test", "cloze-held", f"Go on: {s}", sentence, o, "cloze")
        return
    full = capital(answer.format(s=s, o=o))
    for template in ask:
        add("train", "ask", capital(template.format(s=s)), full, o)
    for frame in FRAMES.train[:8]:
        add("train", "frame", frame.format(c=clause.format(s=s)), full, o)
    add("dev", "frame-dev", FRAMES.test[0].format(c=clause.format(s=s)), full, o)
    for template in held:
        add("test", "held", capital(template.format(s=s)), full, o)
    for split, bank in zip(("train", "test"), back, strict=True):
        for template in bank:
            add(
                split,
                f"back-{split}",
                capital(template.format(o=o)),
                full,
                s.removeprefix("the "),
                "reverse",
            )
