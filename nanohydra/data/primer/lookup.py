"""Lookup: dense exercises in which almost every value can be found earlier in the same text.

Random words, so that nothing can be memorised: the only way to predict is to look it up. Made
for the first part of a run, where they make in-context copying form early.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from nanohydra.core.types import Conversation, Record
from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import (
    Bank,
    Example,
    Split,
    article,
    dialogue,
    distinct,
    document,
    fill,
    user,
)
from nanohydra.data.primer.passage import Passage
from nanohydra.data.primer.reading import conversation
from nanohydra.data.primer.values import spot
from nanohydra.data.primer.wordings_reading3 import BY_KEY

# joints between a key and its value, and between two pairs
JOINTS = Bank((": ", " = ", " - ", " is ", " has ", " -> ", " "), (" => ", " | ", " means "))
GAPS = Bank((", ", "; ", "\n", ". "), (" / ", ",\n"))
PAIR_QUESTIONS = Bank(
    ("{k}?", "What is {k}?", "{k}", "What goes with {k}?", "And {k}?", "Find {k}.",
     "Tell me {k}."),
    ("What belongs to {k}?", "Look up {k}.", "Which one is {k}?"),
)  # fmt: skip
KEY_QUESTIONS = Bank(
    ("Which one has {v}?", "What goes before {v}?", "{v} belongs to what?", "Whose is {v}?",
     "Where is {v}?", "Find the key of {v}.", "Who has {v}?"),
    ("What has {v}?", "Which one belongs to {v}?", "Tell me where {v} is."),
)  # fmt: skip
KEY_SHARE = 0.4  # of the questions and repetitions of a list go from the value to the key
LIST_FRAMES = Bank(
    ("Here is a list: {l}. {q}", "{l}. {q}", "Remember: {l}. {q}", "List: {l}\n{q}", "{l}\n{q}"),
    ("Look at this list: {l}. {q}", "Use this: {l}. {q}"),
)  # fmt: skip
COPY = Bank(
    ("Repeat: {t}", "Say this again: {t}", "Copy this: {t}", "Repeat after me: {t}", "Say: {t}",
     "Repeat this text: {t}"),
    ("Please copy: {t}", "Write this again: {t}"),
)  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth", "fifth")
PICK = Bank(
    ("{t}. What is the {o} word?", "List: {t}. Which is the {o} one?", "Say the {o} of these: {t}",
     "{t}. Tell me the {o}."),
    ("Look: {t}. Name the {o} word.", "What is the {o} of these? {t}"),
)  # fmt: skip
MAX_CHARS = 430  # so that a record fits in a row of 256 tokens
RESTATED = ("has", "lives", "job", "likes", "went", "where", "famous", "leaves", "price", "plays")


def _key(rng: Random, split: Split) -> str:
    roll = rng.random()
    if roll < 0.45:
        return names.made_word(rng, split)
    return names.person(rng, split) if roll < 0.8 else rng.choice(words.EVERYDAY)


def _value_maker(rng: Random, split: Split) -> Callable[[], str]:
    """How the values of one list are made: all numbers, all words, all names or all things."""
    kind = rng.randrange(5)
    if kind == 0:
        most = rng.choice((9, 99, 999))
        return lambda: str(rng.randint(0, most))
    if kind == 1:
        return lambda: rng.choice(words.EVERYDAY)
    if kind == 2:
        return lambda: names.made_word(rng, split)
    if kind == 3:
        return lambda: names.made_town(rng, split)
    return lambda: f"{rng.choice(words.COLOURS)} {rng.choice(words.THINGS)}"


def pairs(rng: Random, split: Split, count: int) -> list[tuple[str, str]]:
    """Random pairs with distinct keys; values may repeat when they are small numbers."""
    make = _value_maker(rng, split)
    keys = distinct(lambda: _key(rng, split), count)
    return [(key, make()) for key in keys]


def _one_to_one(items: Sequence[tuple[str, str]]) -> bool:
    return len({value for _, value in items}) == len(items)


def _listing(items: Sequence[tuple[str, str]], joint: str, gap: str) -> str:
    return gap.join(f"{key}{joint}{value}" for key, value in items)


def pair_list(rng: Random, split: Split) -> str:
    """Pairs, then the same pairs again in other orders, sometimes with the value first."""
    items = pairs(rng, split, rng.randint(3, 9))
    joint, gap = JOINTS.pick(rng, split), GAPS.pick(rng, split)
    blocks = [_listing(items, joint, gap)]
    for _ in range(rng.choice((1, 2, 2, 3))):
        if len(blocks) > 1 and len(blocks[0]) * (len(blocks) + 1) > MAX_CHARS:
            break
        # the same order now and then: a pure copy, the first thing that can be learned
        again = items if rng.random() < 0.25 else rng.sample(items, len(items))
        flip = rng.random() < KEY_SHARE and _one_to_one(items)
        blocks.append(_listing([(v, k) for k, v in again] if flip else again, joint, gap))
    return rng.choice(("\n", "\n\n")).join(blocks)


def restated(rng: Random, split: Split) -> str:
    """Facts in sentences, then the same facts in another order and mostly another wording."""
    relation = BY_KEY[rng.choice(RESTATED)]
    count = rng.randint(3, 6)
    subjects: list[str] = []
    kind = relation.slots["s"]
    if kind == "person":
        subjects = distinct(lambda: names.person(rng, split), count)
    elif kind == "town":
        subjects = distinct(lambda: names.made_town(rng, split), count)
    else:
        subjects = rng.sample(words.THINGS, count)
    slot = "n" if "n" in relation.slots else "v"
    values = distinct(lambda: _value(rng, split, relation.slots[slot]), count)
    both = zip(subjects, values, strict=True)
    facts = [{"s": s, slot: v, "a" + slot: article(v)} for s, v in both]
    told = []
    for _ in range(rng.choice((2, 2, 3))):
        # one wording per block keeps each block a plain list; blocks differ
        wording = relation.say.pick(rng, split)
        told.append(" ".join(fill(wording, f) for f in rng.sample(facts, count)))
        if len(told) > 1 and len(told[0]) * (len(told) + 1) > MAX_CHARS:
            break
    return "\n".join(told)


def _value(rng: Random, split: Split, kind: str) -> str:
    if kind == "town":
        return names.town(rng, split)
    if kind == "thing":
        return f"{rng.choice(words.COLOURS)} {rng.choice(words.THINGS)}"
    if kind == "spot":
        return spot(rng)
    if kind in ("hour", "price"):
        return str(rng.randint(1, 12 if kind == "hour" else 60))
    pools = {"job": words.JOBS, "food": words.FOODS, "place": words.PLACES,
             "goods": words.GOODS, "instrument": words.INSTRUMENTS}  # fmt: skip
    return rng.choice(pools[kind])


def _word(rng: Random, split: Split) -> str:
    if rng.random() < 0.5:
        return names.made_word(rng, split)
    return rng.choice(words.EVERYDAY)


def _words(rng: Random, split: Split, low: int, high: int) -> list[str]:
    return distinct(lambda: _word(rng, split), rng.randint(low, high))


class Lookup:
    """The domain `lookup`."""

    source = "primer/lookup"

    def record(self, rng: Random, split: Split) -> Record:
        """A repeated list, restated facts, dense questions about a passage, or a copy."""
        roll = rng.random()
        if roll < 0.3:
            return document(pair_list(rng, split), self.source)
        if roll < 0.45:
            return document(restated(rng, split), self.source)
        if roll < 0.75:
            passage = Passage(rng, split, rng.randint(3, 5), plain=rng.random() < 0.5)
            return conversation(rng, split, passage, rng.randint(4, 6), self.source)
        if roll < 0.9:
            return self._pair_chat(rng, split)
        return self._copy(rng, split)

    def _pair_chat(self, rng: Random, split: Split) -> Conversation:
        """A list in the first turn, then every turn asks for one value or one key."""
        items = pairs(rng, split, rng.randint(3, 7))
        listing = _listing(items, JOINTS.pick(rng, split), ", ")
        turns: list[str] = []
        for key, value in rng.sample(items, min(len(items), rng.randint(3, 6))):
            text, answer = PAIR_QUESTIONS.pick(rng, split).format(k=key), value
            if rng.random() < KEY_SHARE and _one_to_one(items):
                text, answer = KEY_QUESTIONS.pick(rng, split).format(v=value), key
            if not turns:
                text = LIST_FRAMES.pick(rng, split).format(l=listing, q=text)
            turns += [text, answer]
        return dialogue(turns, self.source)

    def _copy(self, rng: Random, split: Split) -> Record:
        items = _words(rng, split, 3, 9)
        roll = rng.random()
        if roll < 0.4:
            line = " ".join(items)
            return document("\n".join([line] * rng.randint(2, 3)), self.source)
        if roll < 0.75:
            line = " ".join(items)
            return dialogue([COPY.pick(rng, split).format(t=line), line], self.source)
        text, value = self._ordinal(rng, split, items)
        return dialogue([text, value], self.source)

    def _ordinal(self, rng: Random, split: Split, items: Sequence[str]) -> tuple[str, str]:
        place = rng.randrange(min(len(items), len(ORDINALS)) + 1)
        last = place == min(len(items), len(ORDINALS))
        ordinal, value = ("last", items[-1]) if last else (ORDINALS[place], items[place])
        return PICK.pick(rng, split).format(t=", ".join(items), o=ordinal), value

    def example(self, rng: Random, split: Split) -> Example:
        """A list of pairs and a question for one of its keys."""
        items = pairs(rng, split, rng.randint(3, 7))
        key, value = rng.choice(items)
        listing = _listing(items, JOINTS.pick(rng, split), ", ")
        text = PAIR_QUESTIONS.pick(rng, split).format(k=key)
        text = LIST_FRAMES.pick(rng, split).format(l=listing, q=text)
        others = [v for k, v in items if k != key and v != value]
        meta = {"kind": "pairs", "distractors": others, "reference": value}
        return Example(prompt=(user(text),), answer=value, domain="lookup", meta=meta)
