"""What lessons tell: parsed facts, and what no pattern fits as sentences, questions or turns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nanohydra.core.types import Message
from nanohydra.learn.lessons import QA, ConversationLesson, DocumentLesson, Fact, Lesson
from nanohydra.learn.study.facts import ParsedFact
from nanohydra.learn.study.grammar import VERBS, inside, swap_speaker
from nanohydra.learn.study.parse import parse, parse_question, split_sentences, tidy

MAX_SENTENCES = 60  # of one document; a longer one is for memory
MIN_WORDS = 3
INJECTION = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instruction|prompt|rule|message|"
    r"guideline)s?\b|\b(?:system prompt|you are now|act as|new instructions?|jailbreak)\b|"
    r"\bdo not (?:tell|inform) the user\b",
    re.IGNORECASE,
)
# what weights hold badly and memory holds exactly
EXACT = re.compile(
    r"https?://|\bwww\.|\b[\w.+-]+@[\w-]+\.\w+|\b[A-Z]{2}\d{2}(?: ?\d{4}){3,}|"
    r"(?:\d[ ./()-]{0,2}){7,}|\b(?=\w*\d)(?=\w*[A-Za-z])\w{10,}\b"
)
_STOP = re.compile(
    r"(?:is|are|was|were|has|have|had|can|could|will|would|must|should|may|might|do|does|did|"
    r"[a-z]{2,}ed|[a-z]{3,}(?<!s)s)[,.]?"
)
_ANYONE = frozenset("people visitors tourists somebody someone everybody everyone one".split())
_NAMED = re.compile(r"(?:the )?[A-Z][\w'-]*(?: [A-Z][\w'-]*)*")
_PRONOUN = re.compile(r"^(?:It|He|She|They|This|That)\b(?!')")


@dataclass(frozen=True, kw_only=True)
class Told:
    """One thing that a lesson tells. Exactly one of fact, sentence, question, turns is set.

    question: with its `answer`. turns: a prompt with the assistant's turn after it as `answer`.
    about: what a plain sentence is about, as far as its first words tell.
    """

    lesson: Lesson
    fact: ParsedFact | None = None
    sentence: str = ""
    about: str = ""
    question: str = ""
    turns: tuple[Message, ...] = ()
    answer: str = ""


def told_by(lesson: Lesson) -> list[Told]:
    """Everything that a lesson tells, in its order."""
    body = lesson.body
    if isinstance(body, QA):
        fact = parse_question(body.question, body.answer)
        asked = Told(lesson=lesson, question=body.question.strip(), answer=body.answer.strip())
        return [asked] if fact is None else [asked, Told(lesson=lesson, fact=fact)]
    if isinstance(body, ConversationLesson):
        return _turns(lesson, body.messages)
    assert isinstance(body, Fact | DocumentLesson)
    sentences = split_sentences(body.text)
    if isinstance(body, DocumentLesson):
        sentences = [s for s in sentences if not (INJECTION.search(s) or EXACT.search(s))]
    return _sentences(lesson, sentences[:MAX_SENTENCES])


def _sentences(lesson: Lesson, sentences: Sequence[str]) -> list[Told]:
    found: list[Told] = []
    subject = ""
    for text in sentences:
        if subject and _PRONOUN.match(text):
            text = _PRONOUN.sub(subject, text, count=1)
        if len(text.split()) < MIN_WORDS or text.endswith(("?", ":")):
            continue
        fact = parse(text)
        if fact is not None:
            found.append(Told(lesson=lesson, fact=fact))
            subject = fact.subject or subject
        else:
            found.append(Told(lesson=lesson, sentence=text, about=about(text)))
    if not found and (text := " ".join(sentences)):
        found.append(Told(lesson=lesson, sentence=text, about=about(text)))
    return found


def _turns(lesson: Lesson, messages: tuple[Message, ...]) -> list[Told]:
    found = []
    for i, message in enumerate(messages):
        plain = message.role == "assistant" and not message.tool_calls
        if plain and message.content.strip() and i and messages[i - 1].role == "user":
            found.append(Told(lesson=lesson, turns=messages[:i], answer=message.content.strip()))
    return found


def about(text: str) -> str:
    """What a sentence is about: its words up to the first verb, or its first three.

    Where those name nothing in particular ("People see ..."), a thing that is named later.
    """
    words = tidy(text).rstrip(".!?").split()
    end = next(
        (i for i, w in enumerate(words[1:7], 1) if w.strip(",.") in VERBS or _STOP.fullmatch(w)),
        min(3, max(1, len(words) - 1)),
    )
    if words[0].casefold() in _ANYONE and not any(w[:1].isupper() for w in words[1:end]):
        named = _NAMED.search(" ".join(words[end:]))
        if named is not None:
            return named[0]
    return inside(" ".join(words[:end]))


def key_phrase(answer: str, question: str) -> str:
    """What in an answer is new against its question: the longest run of such words."""
    known = set(re.findall(r"\w+", question.casefold()))
    filler = set("the a an is are was were it of in on at to and he she they i you yes no".split())
    best: list[str] = []
    run: list[str] = []
    for word in [*answer.split(), ""]:
        plain = re.sub(r"^\W+|\W+$", "", word)
        if plain and plain.casefold() not in known and (run or plain.casefold() not in filler):
            run.append(plain)
            continue
        while run and run[-1].casefold() in filler:
            run.pop()
        if len(" ".join(run)) > len(" ".join(best)):
            best = run
        run = []
    return " ".join(best[:8]) or answer


def to_user(text: str) -> str:
    """A sentence of the user's as the assistant says it back."""
    return swap_speaker(text)
