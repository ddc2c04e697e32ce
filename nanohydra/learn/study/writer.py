"""What a model writes about a lesson, where it is able to: checked, and only added for training.

A writer proposes questions and paraphrases and answers from notes; the checks are here. What is
kept names what the statement is about, adds nothing to it, and is answered with the statement at
hand and not without. Knows nothing of how a writer works.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from nanohydra.core.types import Message
from nanohydra.learn.study.facts import PRONOUNS, ParsedFact
from nanohydra.learn.study.grammar import bare, sentence, swap_speaker
from nanohydra.learn.study.items import StudyItem
from nanohydra.learn.study.of_facts import accepted
from nanohydra.learn.study.sources import Told, key_phrase
from nanohydra.learn.study.wordings import DEV_FRAMES, TEST_FRAMES
from nanohydra.tasks.judge import numbers, says, tokens

FAMILY, FAMILY_TOLD = "written", "written/say"
MAX_CHARS, MAX_STATEMENT_CHARS, MAX_ANSWER_WORDS = 200, 400, 12
_ARTICLE = re.compile(r"^(?:the|a|an)\s+", re.IGNORECASE)
_NAME = re.compile(r"(?<=[\w,;:'\"] )[A-Z][\w'-]+")  # a capital that no sentence begins with
_FILLER = frozenset(
    "what when where which whom whose does with that this these those have been from your about "
    "their there many much will would should could into than then they were".split()
)
_REFERS = frozenset("statement sentence text passage paragraph above mentioned according".split())
_DENIES = frozenset("not no never nobody nothing cannot t".split())  # "isn't" is the words isn, t


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What a writer writes about.

    text: in the user's words. named: a question about it says one of these; () where no subject
    is known. answer, accept: what a question about it is answered with; "" and () where nothing
    is known but the words, so that each question has to come with an answer. ask: a plain
    question about it. unseen: those that belong to held-out families, drawn for it or not. told:
    whether a paraphrase needs no speaker ("my") to be true.
    """

    lesson_id: str
    text: str
    named: tuple[str, ...] = ()
    answer: str = ""
    accept: tuple[str, ...] = ()
    ask: str = ""
    unseen: tuple[str, ...] = ()
    told: bool = False
    relation: str = ""
    subject: str = ""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A question, with its answer where the statement has none; or a paraphrase, no question."""

    question: str = ""
    text: str = ""


class Writer(Protocol):
    """Writes about statements, and answers from them."""

    def write(self, statements: Sequence[Statement]) -> Sequence[Sequence[Written]]:
        """What it wrote about each statement, unchecked."""
        ...

    def answers(self, notes: Sequence[str], items: Sequence[StudyItem]) -> Sequence[bool]:
        """Whether each item is answered right from the note alone; "" is no note."""
        ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What of a writer's work is of use. num_written: how many questions and paraphrases it was."""

    items: tuple[StudyItem, ...]
    num_written: int


def statement_of_fact(lesson_id: str, fact: ParsedFact) -> Statement | None:
    """A fact to write about; None where it is too long."""
    text = fact.told
    if not says(text, [bare(fact.object)]):  # told as a question, with its answer
        text = next((fact.say(w) for w in fact.relation.say if fact.fits(w)), "")
    if not text or len(text) > MAX_STATEMENT_CHARS:
        return None
    asked = (fact.say(wording) for wording in fact.relation.ask if fact.fits(wording))
    unseen = [fact.say(w) for w in fact.relation.dev + fact.relation.test if fact.fits(w)]
    if fact.fits(fact.relation.clause):
        unseen += [frame.format(c=fact.clause()) for frame in DEV_FRAMES + TEST_FRAMES]
    both = f"{fact.subject} {fact.object}"
    own = fact.person in PRONOUNS
    return Statement(
        lesson_id=lesson_id, text=text, answer=fact.answer, accept=accepted(fact.object),
        # "my dog" and not "dog" alone, or a question might ask for another's
        named=PRONOUNS[fact.person] if own else (_ARTICLE.sub("", fact.subject),),
        ask=next(asked, ""), unseen=tuple(unseen), told=not own and swap_speaker(both) == both,
        relation=fact.relation.key, subject=fact.subject or fact.person,
    )  # fmt: skip


def statement_of_told(told: Told) -> Statement | None:
    """A plain sentence or a question with its answer to write about; None where it is too long."""
    text = told.sentence or f"{told.question} {told.answer}"
    if len(text) > MAX_STATEMENT_CHARS:
        return None
    if told.sentence:
        return Statement(lesson_id=told.lesson.id, text=text)
    accept = (key_phrase(told.answer, told.question),)
    return Statement(
        lesson_id=told.lesson.id, text=text, answer=told.answer, accept=accept, ask=told.question
    )


def written_items(
    writer: Writer, statements: Sequence[Statement], held_out: Sequence[StudyItem] = ()
) -> Outcome:
    """Training items of what a writer wrote and what keeps to its statement.

    held_out: items of the study whose questions stay unseen.
    """
    unseen = {tokens(question) for statement in statements for question in statement.unseen}
    unseen |= {tokens(item.question) for item in held_out}
    found: dict[tuple[str, ...], tuple[Statement, StudyItem]] = {}
    num_written = 0
    for statement, written in zip(statements, writer.write(statements), strict=True):
        num_written += len(written)
        for each in written:
            item = _question(statement, each) if each.question else _paraphrase(statement, each)
            if item is not None and (said := tokens(item.question or item.answer)) not in unseen:
                found.setdefault(said, (statement, item))
    return Outcome(items=tuple(_held(writer, list(found.values()))), num_written=num_written)


def _held(writer: Writer, pairs: Sequence[tuple[Statement, StudyItem]]) -> list[StudyItem]:
    """The items that pass the round trip.

    A question is answered from its statement, and not from nothing: then it would tell its answer,
    or ask for what everybody knows. A plain question is answered from a paraphrase.
    """
    notes = [s.text if i.messages else i.answer for s, i in pairs]
    right = writer.answers(notes, [_asked(s, i) for s, i in pairs])
    kept = [pair for pair, ok in zip(pairs, right, strict=True) if ok]
    asked = [(s, i) for s, i in kept if i.messages]
    alone = writer.answers([""] * len(asked), [_asked(s, i) for s, i in asked])
    told = {id(i) for (_, i), ok in zip(asked, alone, strict=True) if ok}
    return [item for _, item in kept if id(item) not in told]


def _asked(statement: Statement, item: StudyItem) -> StudyItem:
    """An item as it is judged in a round trip: a reply may be as long as the statement."""
    answer = max(item.answer, statement.text, key=len)
    messages = item.messages or (Message(role="user", content=statement.ask),)
    return replace(item, messages=messages, answer=answer)


def _question(statement: Statement, written: Written) -> StudyItem | None:
    """The item of a written question; None if its words show that it is none of the fact."""
    text = " ".join(written.question.split())
    answer, accept = statement.answer, statement.accept
    if not answer:
        span = " ".join(written.text.split()).strip(" .!\"'")
        if not _is_part(tokens(span), tokens(statement.text)):
            return None
        answer, accept = sentence(swap_speaker(span)), accepted(span)
    fine = accept and text.endswith("?") and len(text) <= MAX_CHARS
    if not fine or _adds(text, statement.text) or says(text, accept):
        return None
    if not (says(text, statement.named) if statement.named else _shares(text, statement, accept)):
        return None
    return StudyItem(
        lesson_id=statement.lesson_id, kind="qa", split="train", family=FAMILY,
        messages=(Message(role="user", content=text),), answer=answer, accept=accept,
        relation=statement.relation, subject=statement.subject,
    )  # fmt: skip


def _paraphrase(statement: Statement, written: Written) -> StudyItem | None:
    """The item of a paraphrase; None if it lacks subject or object, or is the statement itself."""
    text = " ".join(written.text.split())
    said, given = tokens(text), tokens(statement.text)
    fine = statement.told and statement.ask and text.endswith(".") and len(text) <= MAX_CHARS
    if not fine or said == given or _adds(text, statement.text):
        return None
    if bool(_DENIES & set(said)) != bool(_DENIES & set(given)):
        return None
    if not (says(text, map(bare, statement.named)) and says(text, statement.accept)):
        return None
    return StudyItem(
        lesson_id=statement.lesson_id, kind="statement", split="train", family=FAMILY_TOLD,
        messages=(), answer=text, accept=statement.accept, relation=statement.relation,
        subject=statement.subject,
    )  # fmt: skip


def _adds(text: str, statement: str) -> bool:
    """Whether a text has a name or a number that a statement lacks, or speaks of a statement."""
    given = set(tokens(statement))
    names = {word for name in _NAME.findall(text) for word in tokens(name) if len(word) > 1}
    return bool((names | set(numbers(text)) | (_REFERS & set(tokens(text)))) - given)


def _shares(text: str, statement: Statement, accept: Sequence[str]) -> bool:
    """Whether a question has a telling word of the statement, so that it stands by itself."""
    answer = {word for phrase in accept for word in tokens(phrase)}
    about = set(tokens(statement.ask or statement.text)) - answer - _FILLER
    return any(len(word) > 3 and word in about for word in tokens(text))


def _is_part(span: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    """Whether words stand in a text as they are, and are not all of it."""
    size = len(span)
    if not 0 < size <= min(MAX_ANSWER_WORDS, len(whole) - 1):
        return False
    return any(whole[start : start + size] == span for start in range(len(whole) - size + 1))
