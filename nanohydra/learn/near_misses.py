"""The questions of a lesson, asked of what nobody taught: what the adapter must not answer.

A name in the question, or else its longest word, is replaced by another. The wanted answer is the
base's own where it says that it does not know, and a plain "I don't know." where it does not. A
base that seldom says so is held to its own words everywhere: abstaining is no habit of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from nanohydra.core.types import Message
from nanohydra.learn.replies import reply_to_all
from nanohydra.tasks.judge import abstains

if TYPE_CHECKING:
    from nanohydra.checkpoint import Loaded
    from nanohydra.learn.study import StudyItem

PLAIN = "I don't know."
MAX_NEW_TOKENS = 32
HABIT = 0.5  # share of near misses at which a base that abstains has the habit
ONSETS = "b br c cl d dr f g gr h j k l m n p pr r s st t tr v w z".split()
VOWELS = "a e i o u ai ea".split()
CODAS = "l m n r s t th nd rk ven lor mish".split()
NAME = re.compile(r"\b[A-Z][\w'-]+(?:\s+[A-Z][\w'-]+)*")
WORD = re.compile(r"\b[a-z][a-z-]{3,}\b")
# Words that make a question; all others of four letters or more say what it is about.
COMMON = frozenset(
    "about again also been before called could does did from have help here into kind know like "
    "many much must name named need only please remind remember said says should such tell than "
    "that their them then there these they this those want what when where which while whom whose "
    "will with would your yours forgot love learn hear say can how who why".split()
)


@dataclass(frozen=True, kw_only=True)
class NearMiss:
    """A question without an answer. by_base: the answer is what the base itself says."""

    messages: tuple[Message, ...]
    answer: str
    by_base: bool


def made_up_name(rng: Random) -> str:
    """A word of two syllables that looks like a name."""
    first = rng.choice(ONSETS) + rng.choice(VOWELS)
    return (first + rng.choice(ONSETS) + rng.choice(VOWELS[:5]) + rng.choice(CODAS)).capitalize()


def change_name(question: str, rng: Random) -> str | None:
    """The question about something else; None if nothing in it can be replaced."""
    names = list(NAME.finditer(question))
    # A sentence's first word is no name, except where more of a name follows: "Does Ann Lee".
    spans = [(m.start(), m.end()) for m in names if not _opens(question, m.start())]
    spans += [
        (m.start() + m.group().index(" ") + 1, m.end())
        for m in names
        if _opens(question, m.start()) and " " in m.group()
    ]
    if spans:
        start, end = rng.choice(spans)
        words = question[start:end].split()
        return question[:start] + " ".join(made_up_name(rng) for _ in words) + question[end:]
    words_found = [m for m in WORD.finditer(question) if m.group() not in COMMON]
    if not words_found:
        return None
    longest = max(words_found, key=lambda m: len(m.group()))
    return question[: longest.start()] + made_up_name(rng).lower() + question[longest.end() :]


def _opens(text: str, place: int) -> bool:
    """Whether a sentence begins at this place."""
    before = text[:place].rstrip()
    return not before or before[-1] in ".!?:\n"


def near_misses(
    loaded: Loaded, items: Sequence[StudyItem], *, count: int, seed: int
) -> list[NearMiss]:
    """At most `count` near misses of the questions of items; the adapter must be off."""
    rng = Random(f"{seed} near misses")
    asked = [item for item in items if item.kind in ("qa", "reverse") and item.messages]
    rng.shuffle(asked)
    prompts: dict[str, tuple[Message, ...]] = {}
    for item in asked:
        *before, last = item.messages
        question = change_name(last.content, rng)
        if question is not None:
            prompts.setdefault(question, (*before, Message(role="user", content=question)))
        if len(prompts) == count:
            break
    replies = reply_to_all(
        loaded.model, loaded.tokenizer, list(prompts.values()), max_new_tokens=MAX_NEW_TOKENS
    )
    known = [abstains(reply.text) for reply in replies]
    habit = sum(known) >= HABIT * len(known)
    found = []
    for messages, reply, abstained in zip(prompts.values(), replies, known, strict=True):
        own = reply.message.content
        if habit or not own:
            found.append(
                NearMiss(messages=messages, answer=own if abstained else PLAIN, by_base=abstained)
            )
        else:
            found.append(NearMiss(messages=messages, answer=own, by_base=True))
    return found
