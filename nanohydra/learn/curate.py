"""Look at lessons before they are taken: what is refused, kept in memory only, warned of, asked.

Refused are lessons that are empty or too large. Marked are those that weights should not learn.
Contradictions to earlier lessons are returned for the user to decide. Texts are data here: nothing
in a lesson is ever an instruction.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.learn.evaluation import EvaluationTexts, evaluation_texts
from nanohydra.learn.lessons import QA, Body, ConversationLesson, DocumentLesson, Fact, Lesson
from nanohydra.learn.study.facts import ParsedFact
from nanohydra.learn.study.parse import split_sentences
from nanohydra.learn.study.sources import EXACT, INJECTION, MAX_SENTENCES, Told, told_by
from nanohydra.tasks.judge import tokens
from nanohydra.tokenizer import SPECIAL_TOKENS

Flag = Literal[
    "injection", "special_tokens", "control_characters", "other_language", "evaluation", "exact",
    "long", "volatile",
]  # fmt: skip
FLAGS: tuple[Flag, ...] = get_args(Flag)
Choice = Literal["keep_both", "replace", "reject"]
CHOICES: tuple[Choice, ...] = get_args(Choice)

QUOTE = re.compile(r"[\"\u201c\u00ab][^\"\u201d\u00bb]{160,}[\"\u201d\u00bb]")
VOLATILE = re.compile(
    r"\b(?:today|tomorrow|tonight|yesterday|right now|at the moment|this (?:week|morning|evening|"
    r"afternoon)|next week|as of now)\b",
    re.IGNORECASE,
)
ENGLISH = frozenset(
    "the a an is are was were of in on at to and for with has have my our your his her its that "
    "this it i you he she they we who what where when not by from as called named lives".split()
)
FOREIGN = frozenset(
    "der die das und ist ein eine einen nicht ich wir sie mein heißt wohnt von zu mit auf le la "
    "les des une est et dans je nous mon ma pour avec el los las una es en y mi por con il lo gli "
    "di che è sono mio um uma os não meu het een van en niet mijn ik zijn jest nie się w na".split()
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much may be taught at once. Sizes are in characters."""

    lessons: int = 1000
    fact: int = 4000
    question: int = 1000
    answer: int = 4000
    title: int = 300
    document: int = 2_000_000
    messages: int = 100
    conversation: int = 40_000


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A new lesson that contradicts an earlier one: what each of them says."""

    new: Lesson
    old: Lesson
    says: str
    said: str
    choices: tuple[Choice, ...] = CHOICES


@dataclass(frozen=True, kw_only=True)
class Curated:
    """Lessons that may be taken, with flags and states; what the user should know and decide.

    duplicates: ids of new lessons that were left out -> the lesson that says the same.
    """

    lessons: tuple[Lesson, ...]
    conflicts: tuple[Conflict, ...] = ()
    warnings: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()


def curate(
    lessons: Sequence[Lesson],
    earlier: Sequence[Lesson] = (),
    *,
    limits: Limits | None = None,
    evaluation: EvaluationTexts | None = None,
    markers: Sequence[str] = SPECIAL_TOKENS,
) -> Curated:
    """What to do with new lessons, given those of the same owner before them.

    evaluation: questions that no weights may learn; None = those of the built-in tasks.
    markers: texts that stand for special tokens of the model that learns.
    Raises UserError if there are too many lessons, or one is empty or too large.
    """
    limits = limits or Limits()
    if len(lessons) > limits.lessons:
        raise UserError(
            f"{len(lessons)} lessons at once are too many; send at most {limits.lessons}, and the "
            "others when these are live"
        )
    kept: list[Lesson] = []
    warnings: list[str] = []
    duplicates: list[tuple[str, str]] = []
    conflicts: list[Conflict] = []
    index = _Earlier(earlier)
    tests = evaluation or evaluation_texts()
    for number, lesson in enumerate(lessons):
        where = f"lessons[{number}]"
        _check_size(lesson.body, where, limits)
        lesson, notes = _marked(lesson, tests, markers)
        same = index.same(lesson)
        if same is not None:
            duplicates.append((lesson.id, same.id))
            warnings.append(f"{where} says what an earlier lesson says ({same.title!r}); left out")
            continue
        warnings += [f"{where} {note}" for note in notes]
        for conflict in index.contradicted(lesson):
            if conflict.old in kept:
                warnings.append(
                    f"{where} contradicts {conflict.old.title!r} beside it; both are kept"
                )
            else:
                conflicts.append(conflict)
        index.add(lesson)
        kept.append(lesson)
    return Curated(
        lessons=tuple(kept), conflicts=tuple(conflicts), warnings=tuple(warnings),
        duplicates=tuple(duplicates),
    )  # fmt: skip


def warm() -> None:
    """Prepare what the first lessons would otherwise wait for: about two seconds."""
    evaluation_texts()
    told_by(Lesson(id="", body=Fact("Mara lives in Lisbon. My dog is called Rex.")))


def _check_size(body: Body, where: str, limits: Limits) -> None:
    if isinstance(body, ConversationLesson):
        if len(body.messages) > limits.messages:
            raise UserError(
                f"{where} has {len(body.messages)} messages; send at most {limits.messages}"
            )
        total = sum(len(message.content) for message in body.messages)
        _check_length(f"{where}.messages", total, limits.conversation)
        if not any(m.role == "assistant" and m.content.strip() for m in body.messages):
            raise UserError(f"{where}.messages teaches nothing: the assistant says nothing")
        return
    parts = {
        Fact: (("text", limits.fact),),
        QA: (("question", limits.question), ("answer", limits.answer)),
        DocumentLesson: (("text", limits.document), ("title", limits.title)),
    }
    for name, limit in parts[type(body)]:
        value = getattr(body, name)
        if name != "title" and not re.search(r"\w", value):
            raise UserError(f"{where}.{name} is empty; write what is to be learned")
        _check_length(f"{where}.{name}", len(value), limit)


def _check_length(where: str, length: int, limit: int) -> None:
    if length > limit:
        raise UserError(
            f"{where} has {length:,} characters, and {limit:,} are the most; send a part of it, "
            "or a document instead of a fact"
        )


def _marked(
    lesson: Lesson, tests: EvaluationTexts, markers: Sequence[str]
) -> tuple[Lesson, list[str]]:
    """The lesson cleaned, flagged, and in memory only where weights are the wrong place for it."""
    body, cleaned = _clean(lesson.body)
    lesson = replace(lesson, body=body)
    text = lesson.text
    flags: list[Flag] = ["control_characters"] if cleaned else []
    notes = ["had control characters, which were taken out"] if cleaned else []
    if any(marker in text for marker in markers):
        flags.append("special_tokens")
        notes.append("contains the model's own markers; they are kept as plain text")
    if INJECTION.search(text):
        flags.append("injection")
        notes.append("contains what reads like an instruction to the model; kept as a quotation")
    if _other_language(text):
        flags.append("other_language")
        notes.append("is not in English; recall is tested with English questions only")
    reason = _only_memory(lesson, tests, flags)
    if reason:
        notes.append(f"is kept in memory only: {reason}")
        lesson = replace(lesson, state="memory_only", reason=reason)
    return replace(lesson, flags=tuple(flags)), notes


def _only_memory(lesson: Lesson, tests: EvaluationTexts, flags: list[Flag]) -> str:
    """Why the weights should not learn a lesson, or nothing; adds the flag that says so."""
    text, document = lesson.text, isinstance(lesson.body, DocumentLesson)
    if tests.reason(text):
        flags.append("evaluation")
        return "it repeats a question that the model is evaluated with"
    if document and len(split_sentences(text)) > MAX_SENTENCES:
        flags.append("long")
        return f"a text of more than {MAX_SENTENCES} sentences is looked up better than learned"
    if not document and (EXACT.search(text) or QUOTE.search(text)):
        flags.append("exact")
        return "addresses, long numbers and quotations are looked up better than learned"
    if not document and VOLATILE.search(text):
        flags.append("volatile")
        return "it will soon be no longer true"
    if "injection" in flags and (not document or not told_by(lesson)):
        return "an instruction is no knowledge"
    return ""


def _clean(body: Body) -> tuple[Body, bool]:
    """The body in one Unicode form without control characters, and whether there were any."""
    found = False

    def clean(text: str) -> str:
        nonlocal found
        text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
        plain = "".join(
            c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs", "Cf")
            or c in "\u200c\u200d"  # joiners, which emoji and some scripts need
        )  # fmt: skip
        found = found or plain != text
        return plain.strip()

    if isinstance(body, Fact):
        return Fact(clean(body.text)), found
    if isinstance(body, QA):
        return QA(clean(body.question), clean(body.answer)), found
    if isinstance(body, DocumentLesson):
        return DocumentLesson(clean(body.title), clean(body.text)), found
    messages: list[Message] = [replace(m, content=clean(m.content)) for m in body.messages]
    return ConversationLesson(tuple(messages)), found


def _other_language(text: str) -> bool:
    """Whether a text is surely not English: by its letters, or by its small words."""
    letters = [c for c in text[:4000] if c.isalpha()]
    if letters and sum(ord(c) > 0x24F for c in letters) > 0.3 * len(letters):
        return True
    words = re.findall(r"[^\W\d_]+", text[:4000].casefold())
    english = sum(word in ENGLISH for word in words)
    foreign = sum(word in FOREIGN and word not in ENGLISH for word in words)
    return foreign > english and (foreign >= 2 or english == 0)


class _Earlier:
    """What lessons say, to find those that say the same or the contrary.

    Only lessons that hold all words of a new fact's subject are taken apart.
    """

    def __init__(self, lessons: Iterable[Lesson]) -> None:
        self._by_text: dict[tuple[str, ...], Lesson] = {}
        self._by_question: dict[tuple[str, ...], Lesson] = {}
        self._by_word: dict[str, list[Lesson]] = {}
        self._told: dict[str, list[Told]] = {}
        for lesson in lessons:
            self.add(lesson)

    def add(self, lesson: Lesson) -> None:
        """Take one more into account."""
        said = tokens(lesson.text)
        self._by_text.setdefault(said, lesson)
        if isinstance(lesson.body, QA):
            self._by_question[tokens(lesson.body.question)] = lesson
        if isinstance(lesson.body, Fact | QA | DocumentLesson):
            for word in set(said):
                self._by_word.setdefault(word, []).append(lesson)

    def same(self, lesson: Lesson) -> Lesson | None:
        """An earlier lesson that says all that this one says."""
        if (found := self._by_text.get(tokens(lesson.text))) is not None:
            return found
        told = self._told_by(lesson) if isinstance(lesson.body, Fact) else []
        if len(told) != 1 or told[0].fact is None:
            return None
        fact = told[0].fact
        for old in self._about(fact):
            if any(f.topic == fact.topic and f.value == fact.value for f in self._of(old)):
                return old
        return None

    def contradicted(self, lesson: Lesson) -> list[Conflict]:
        """Earlier lessons that say something else of the same."""
        found: dict[str, Conflict] = {}
        body = lesson.body
        if isinstance(body, QA):
            old = self._by_question.get(tokens(body.question))
            if old is not None and isinstance(old.body, QA):
                found[old.id] = Conflict(
                    new=lesson, old=old, says=body.answer, said=old.body.answer
                )
        for fact in self._of(lesson):
            for old in [] if fact.relation.multi else self._about(fact):
                for other in self._of(old):
                    if other.topic == fact.topic and _differ(fact.value, other.value):
                        conflict = Conflict(
                            new=lesson, old=old, says=fact.answer, said=other.answer
                        )
                        found.setdefault(old.id, conflict)
        return list(found.values())

    def _about(self, fact: ParsedFact) -> list[Lesson]:
        """Lessons that hold every word of a fact's subject."""
        words = tokens(fact.topic[1]) if fact.subject else ()
        pools = [self._by_word.get(word, []) for word in words]
        if not pools:  # the user or the assistant: "I", "my", ...
            names = ("i", "my", "we", "our", "you", "your", "me", "us")
            seen = {x.id: x for name in names for x in self._by_word.get(name, [])}
            return list(seen.values())
        ids = set.intersection(*({lesson.id for lesson in pool} for pool in pools))
        return [lesson for lesson in min(pools, key=len) if lesson.id in ids]

    def _of(self, lesson: Lesson) -> list[ParsedFact]:
        return [told.fact for told in self._told_by(lesson) if told.fact is not None]

    def _told_by(self, lesson: Lesson) -> list[Told]:
        if lesson.id not in self._told:
            self._told[lesson.id] = told_by(lesson)
        return self._told[lesson.id]


def _differ(value: str, other: str) -> bool:
    """Whether two values exclude each other: not where one only says more than the other."""
    a, b = set(tokens(value)), set(tokens(other))
    return not (a <= b or b <= a)
