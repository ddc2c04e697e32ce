"""The base as the writer of study material: it is asked in its own chat format, adapter off.

Whether a model is able to is found by a test on statements of ours, once for each base. What it
writes is checked in study/writer.py; self-written study material: SEAL, arXiv 2506.10943.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nanohydra.adapters.base import base_hash
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json, sha256, write_json
from nanohydra.core.types import Message
from nanohydra.data.notes import with_notes
from nanohydra.learn.config import StudyConfig
from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.replies import Reply, reply_to_all
from nanohydra.learn.study import Statement, StudyItem, Written, judge, statements_of
from nanohydra.learn.study.writer import written_items

if TYPE_CHECKING:
    from nanohydra.checkpoint import Loaded

VERSION = 1  # to be raised with the prompts below: what was found of a base is for one version
TOKENS_PER_LINE, SPARE_TOKENS, ANSWER_TOKENS = 32, 16, 48
SELF_TEST = (
    "Velda Orrin lives in Maruno.", "The ferry to Sulby is called Tamsin.",
    "Dr. Talvi discovered the Korin comet.", "The spare key is in the blue drawer.",
    "Bruno Selk works as a glassblower.",
    "Whenever it rains in Tallo, the museum opens two hours late.",
)  # fmt: skip

QUESTIONS = (
    "Write {n} different questions that the statement answers. The answer to each of them is: "
    "{answer} Do not say the answer in a question. Write one question on each line, nothing "
    "else.\nStatement: {text}"
)
PAIRS = (
    "Write {n} different questions that the statement answers, each with its short answer, in "
    "words of the statement. Write them as lines of Q: and A:, nothing else.\nStatement: {text}"
)
PARAPHRASES = (
    "Say the statement in {n} other ways. Keep every name and every number, and add nothing. "
    "Write one sentence on each line, nothing else.\nStatement: {text}"
)
# One exchange before the request: small models follow an example better than a description.
SHOWN = {
    QUESTIONS: (
        {"n": 3, "answer": "pier nine.", "text": "My boat to Ulva leaves from pier nine."},
        "Where does my boat to Ulva leave from?\nWhich pier does my boat to Ulva leave from?\n"
        "I am taking my boat to Ulva. Where do I have to go?",
    ),
    PAIRS: (
        {"n": 2, "text": "In autumn the herons of Ulva sleep in the old mill."},
        "Q: Where do the herons of Ulva sleep in autumn?\nA: in the old mill\n"
        "Q: When do the herons of Ulva sleep in the old mill?\nA: In autumn",
    ),
    PARAPHRASES: (
        {"n": 2, "text": "The boat to Ulva leaves from pier nine."},
        "Pier nine is where the boat to Ulva leaves from.\n"
        "If you take the boat to Ulva, it leaves from pier nine.",
    ),
}
_BULLET = re.compile(r"^\s*(?:(?:[-*\u2022]|\(?\d{1,2}[.):]|[Qq]\d*[.:])\s*)+")
_PAIR = re.compile(r"\bQ\d*[.:]\s*(?P<q>[^\n]+?\?)\s*\bA\d*[.:]\s*(?P<a>[^\n]+)", re.IGNORECASE)
_QUOTES = " \t\"'\u201c\u201d*"


class ModelWriter:
    """Writes with a model on which no adapter is.

    check: called between passes over the model; what it raises ends the writing.
    """

    def __init__(self, loaded: Loaded, config: StudyConfig) -> None:
        self.loaded, self.config = loaded, config
        self.check: Callable[[], None] = lambda: None

    def write(self, statements: Sequence[Statement]) -> list[list[Written]]:
        """Questions about each statement, and paraphrases of those that need no speaker."""
        asked: list[tuple[int, str, tuple[Message, ...]]] = []
        for number, statement in enumerate(statements):
            forms = [QUESTIONS if statement.answer else PAIRS]
            forms += [PARAPHRASES] if statement.told else []
            asked += [(number, form, self.request(form, statement)) for form in forms]
        asked = [each for each in asked if self.fits(*each[1:])]
        written: list[list[Written]] = [[] for _ in statements]
        for form in (QUESTIONS, PAIRS, PARAPHRASES):
            group = [(number, prompt) for number, its, prompt in asked if its == form]
            replies = self.replies([prompt for _, prompt in group], self.room(form))
            for (number, _), reply in zip(group, replies, strict=True):
                written[number] += read(form, reply)[: self.count(form)]
        return written

    def answers(self, notes: Sequence[str], items: Sequence[StudyItem]) -> list[bool]:
        """Whether the model answers each item right with a note before it; "" is no note."""
        system = self.loaded.tokenizer.chat.takes_system
        prompts = [
            with_notes(item.messages, [note], system=system) if note else item.messages
            for note, item in zip(notes, items, strict=True)
        ]
        replies = self.replies(prompts, ANSWER_TOKENS)
        return [
            judge(item, reply.message.content, finished=reply.ended)
            for item, reply in zip(items, replies, strict=True)
        ]

    def request(self, form: str, statement: Statement) -> tuple[Message, ...]:
        """The conversation that asks for one kind of text about a statement."""
        words, example = SHOWN[form]
        answer = statement.accept[0] if statement.accept else ""
        asked = form.format(n=self.count(form), answer=answer + ".", text=statement.text)
        return (
            Message(role="user", content=form.format(**words)),
            Message(role="assistant", content=example),
            Message(role="user", content=asked),
        )

    def fits(self, form: str, prompt: Sequence[Message]) -> bool:
        """Whether anything is asked for, and the model can be told it with room for the reply."""
        chat, limit = self.loaded.tokenizer.chat, self.loaded.config.max_seq_len
        if not self.count(form) or not chat.takes(prompt):
            return False
        return len(chat.prompt(prompt)) + self.room(form) <= limit

    def count(self, form: str) -> int:
        """How many lines of a kind are asked for."""
        return self.config.paraphrases if form == PARAPHRASES else self.config.questions

    def room(self, form: str) -> int:
        """Tokens for the reply."""
        return self.count(form) * TOKENS_PER_LINE + SPARE_TOKENS

    def replies(self, prompts: Sequence[Sequence[Message]], max_new_tokens: int) -> list[Reply]:
        """The model's greedy replies."""
        self.check()
        return reply_to_all(
            self.loaded.model, self.loaded.tokenizer, prompts, max_new_tokens=max_new_tokens
        )


def read(form: str, reply: Reply) -> list[Written]:
    """What a reply has written; the line at which it was cut off is left out."""
    lines = [line for line in reply.message.content.splitlines() if line.strip()]
    lines = lines if reply.ended else lines[:-1]
    if form == PAIRS:
        pairs = _PAIR.finditer("\n".join(lines))
        return [Written(question=m["q"].strip(_QUOTES), text=m["a"].strip(_QUOTES)) for m in pairs]
    texts = dict.fromkeys(_BULLET.sub("", line).strip(_QUOTES) for line in lines)
    if form == QUESTIONS:
        return [Written(question=text) for text in texts if text]
    return [Written(text=text) for text in texts if text]


@dataclass(frozen=True, kw_only=True)
class Ability:
    """How a model did in the test: what it wrote and what of it was of use."""

    able: bool
    written: int = 0
    kept: int = 0


def writer_for(
    loaded: Loaded, config: StudyConfig, cache: Path | None = None
) -> ModelWriter | None:
    """The model as a writer, if the settings and its abilities allow it; no adapter may be on.

    cache: folder that keeps what was found of a base.
    """
    if config.writer == "off":
        return None
    writer = ModelWriter(loaded, config)
    return writer if config.writer == "on" or ability(writer, cache).able else None


def ability(writer: ModelWriter, cache: Path | None) -> Ability:
    """Whether a model writes what is of use, tested on statements of ours or read from the cache.

    It is able if enough of what it writes about them passes all checks, and is about one in two of
    them or more.
    """
    loaded, config = writer.loaded, writer.config
    about = (
        VERSION,
        asdict(config),
        loaded.tokenizer.fingerprint,
        loaded.tokenizer.files.templates,
    )
    key = f"{base_hash(loaded.model)[:16]}-{sha256(json.dumps(about).encode())[:16]}"
    path = cache / f"writer-{key}.json" if cache is not None else None
    if path is not None and path.is_file():
        try:
            return Ability(**read_json(path))
        except (UserError, TypeError):
            pass  # damaged: test again
    statements = statements_of(lessons_of(SELF_TEST))
    outcome = written_items(writer, statements)
    useful = {item.lesson_id for item in outcome.items}
    enough = len(outcome.items) >= config.min_kept * outcome.num_written
    found = Ability(
        able=enough and 2 * len(useful) >= len(statements),
        written=outcome.num_written,
        kept=len(outcome.items),
    )
    if path is not None:
        write_json(path, asdict(found))
    return found
