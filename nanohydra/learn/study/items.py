"""Study items: what the weights are trained on and tested with, and how a reply is judged.

An item is a prompt in chat form with the answer wanted. Whole families of wordings belong to one
split, so a test question is never a training question with another word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from nanohydra.chat.records import message_from_json, message_to_json
from nanohydra.core.types import Conversation, Message
from nanohydra.tasks.judge import abstains, says, tokens

ItemKind = Literal["qa", "statement", "reverse", "cloze", "negation", "conversation"]
ItemSplit = Literal["train", "dev", "test"]
SPARE_WORDS = 6  # that a right reply may be longer than the answer, beyond twice its length


@dataclass(frozen=True, kw_only=True)
class StudyItem:
    """One prompt with its answer.

    messages: the prompt, ending with a user's turn; empty for a plain text (a "statement").
    answer: what the assistant says, or that text.
    family: which group of wordings it comes from; a family lies in one split.
    accept: a right reply says one of these. forbid: and none of these.
    relation, subject: what the fact is about, empty where no pattern was recognised.
    """

    lesson_id: str
    kind: ItemKind
    messages: tuple[Message, ...]
    answer: str
    split: ItemSplit
    family: str
    accept: tuple[str, ...]
    forbid: tuple[str, ...] = ()
    relation: str = ""
    subject: str = ""

    @property
    def question(self) -> str:
        """The words of the last turn of the prompt; empty for a plain text."""
        return self.messages[-1].content if self.messages else ""

    @property
    def conversation(self) -> Conversation:
        """Prompt and answer together, as they are trained on."""
        answer = Message(role="assistant", content=self.answer)
        return Conversation(messages=(*self.messages, answer), source=f"lesson/{self.lesson_id}")


@dataclass(frozen=True, kw_only=True)
class Study:
    """All items of some lessons."""

    items: tuple[StudyItem, ...] = ()

    @property
    def train(self) -> tuple[StudyItem, ...]:
        """Items to train on."""
        return self.select("train")

    @property
    def dev(self) -> tuple[StudyItem, ...]:
        """Items that decide when to stop."""
        return self.select("dev")

    @property
    def test(self) -> tuple[StudyItem, ...]:
        """Items for the gate alone."""
        return self.select("test")

    @property
    def lesson_ids(self) -> tuple[str, ...]:
        """The lessons that have items, in order."""
        return tuple(dict.fromkeys(item.lesson_id for item in self.items))

    def select(
        self,
        split: ItemSplit | None = None,
        *,
        kinds: Iterable[ItemKind] | None = None,
        lessons: Iterable[str] | None = None,
    ) -> tuple[StudyItem, ...]:
        """The items of a split, of some kinds, of some lessons."""
        of_kinds = None if kinds is None else set(kinds)
        of_lessons = None if lessons is None else set(lessons)
        return tuple(
            item
            for item in self.items
            if (split is None or item.split == split)
            and (of_kinds is None or item.kind in of_kinds)
            and (of_lessons is None or item.lesson_id in of_lessons)
        )


def judge(item: StudyItem, reply: str, *, finished: bool = True) -> bool:
    """Whether a whole reply is right.

    It says what is accepted as whole words and nothing forbidden, does not abstain, does not run
    on or repeat itself, says yes or no as the answer does, and has ended by itself (`finished`).
    """
    said, wanted = tokens(reply), tokens(item.answer)
    if not finished or abstains(reply) or len(said) > 2 * len(wanted) + SPARE_WORDS:
        return False
    if wanted[:1] in (("yes",), ("no",)) and said[:1] != wanted[:1]:
        return False
    sentences = [s for s in map(tokens, reply.replace("!", ".").split(".")) if len(s) > 2]
    if len(set(sentences)) < len(sentences):
        return False
    return says(reply, item.accept, item.forbid)


def item_to_json(item: StudyItem) -> dict[str, Any]:
    """An item as plain JSON types."""
    body = {f.name: getattr(item, f.name) for f in fields(item)}
    body["messages"] = [message_to_json(m) for m in item.messages]
    return body | {"accept": list(item.accept), "forbid": list(item.forbid)}


def item_from_json(body: Mapping[str, Any]) -> StudyItem:
    """The inverse of `item_to_json`."""
    messages = tuple(message_from_json(m, "messages") for m in body["messages"])
    rest = {"accept": tuple(body["accept"]), "forbid": tuple(body["forbid"])}
    return StudyItem(**{**body, "messages": messages, **rest})
