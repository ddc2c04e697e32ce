"""Questions written by a model, where it is able to: checked, and only ever added for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nanohydra.core.types import Message
from nanohydra.learn.study.facts import ParsedFact
from nanohydra.learn.study.grammar import bare
from nanohydra.learn.study.items import StudyItem
from nanohydra.learn.study.of_facts import accepted
from nanohydra.tasks.judge import says

MAX_WRITTEN, MAX_CHARS = 8, 200


class Writer(Protocol):
    """Writes questions that a statement answers."""

    def questions(self, statement: str, subject: str, count: int) -> Sequence[str]:
        """At most `count` different questions about the subject."""
        ...


def written_items(writer: Writer, lesson_id: str, fact: ParsedFact) -> list[StudyItem]:
    """Training items of a writer's questions that name the subject and do not give the answer."""
    accept = accepted(fact.object)
    items: dict[str, StudyItem] = {}
    if not fact.subject:
        return []
    for question in writer.questions(fact.told, fact.subject, MAX_WRITTEN):
        text = " ".join(question.split())
        fine = text.endswith("?") and len(text) <= MAX_CHARS
        if fine and says(text, [bare(fact.subject)], accept):
            items[text.casefold()] = StudyItem(
                lesson_id=lesson_id, kind="qa", split="train", family="written",
                messages=(Message(role="user", content=text),), answer=fact.answer,
                accept=accept, relation=fact.relation.key, subject=fact.subject,
            )  # fmt: skip
    return list(items.values())
