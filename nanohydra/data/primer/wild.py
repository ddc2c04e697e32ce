"""Wild: statements and questions whose words fit nothing, so that only who is named can decide.

The wordings of the other domains are a few hundred; a person has endless ones. Here every passage
has wordings of its own, drawn word by word, and the answer is the statement in which the name and
the key word of the question stand. Nothing can be learned but to find it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from nanohydra.core.types import Conversation, Record
from nanohydra.data.notes import frame_notes
from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import (
    Bank,
    Example,
    Split,
    capital,
    dialogue,
    distinct,
    side,
)
from nanohydra.data.primer.wordings_facts2 import ACKNOWLEDGE, TEACH
from nanohydra.data.primer.wordings_reading3 import PASSAGE_THEN_QUESTION

SWAPPED_SHARE = 0.4  # of the patterns have the value before the name
BACK_SHARE = 0.35  # of the questions ask for the name
FILLERS = tuple(
    """is are was has had does did will can may to of in on at by for from with under over near
    after before into the a its his her our and also still often never always only now then here
    very known called made kept given taken found seen held used likes wants gets goes comes brings
    puts shows plays eats buys needs knows loves""".split()
)
ASKING = Bank(
    ("What", "Who", "Where", "When", "Which", "How much", "Which one", "To whom", "In which",
     "Tell me what", "Do you know who", "Say where", "Whose"),
    ("With what", "Can you say who", "Tell me where"),
)  # fmt: skip
CONTENT = tuple(dict.fromkeys((*words.EVERYDAY, *words.JOBS, *words.GOODS, *words.POWERS)))
CONTENT_OF: dict[Split, tuple[str, ...]] = {
    "train": tuple(w for w in CONTENT if side(w) != "test"),
    "test": tuple(w for w in CONTENT if side(w) == "test"),
}


@dataclass(frozen=True)
class Pattern:
    """One way of saying something: words before, between and after a name and a value."""

    before: tuple[str, ...]
    between: tuple[str, ...]
    after: tuple[str, ...]
    swapped: bool
    key: str

    @classmethod
    def make(cls, rng: Random, key: str) -> Pattern:
        """A pattern of two to six words; the key word is one of them."""
        parts = [[rng.choice(FILLERS) for _ in range(n)] for n in _lengths(rng)]
        rng.choice([part for part in parts if part]).append(key)
        before, between, after = map(tuple, parts)
        return cls(before, between, after, rng.random() < SWAPPED_SHARE, key)

    def say(self, name: str, value: str) -> str:
        """The statement."""
        first, second = (value, name) if self.swapped else (name, value)
        return _sentence([*self.before, first, *self.between, second, *self.after], ".")

    def ask(self, about: str, rng: Random, split: Split) -> str:
        """A question about a name or a value, in new words around the key."""
        told = [self.key, about] if rng.random() < 0.5 else [about, self.key]
        inner = [rng.choice(FILLERS) for _ in range(rng.randint(0, 2))]
        outer = [rng.choice(FILLERS) for _ in range(rng.randint(0, 2))]
        return _sentence([ASKING.pick(rng, split), *outer, told[0], *inner, told[1]], "?")


def _lengths(rng: Random) -> tuple[int, int, int]:
    """Of the three parts; something always stands between, and mostly only there."""
    roll = rng.random()
    before = 0 if roll < 0.6 else rng.randint(1, 2)
    return before, rng.randint(1, 3), 0 if rng.random() < 0.7 else rng.randint(1, 2)


def _sentence(parts: Sequence[str], mark: str) -> str:
    return capital(" ".join(parts)) + mark


def _value_maker(rng: Random, split: Split) -> Callable[[], str]:
    """Makes values of one kind."""
    kind = rng.choice(("word", "word", "number", "town", "name", "colour", "code"))
    makers: dict[str, Callable[[], str]] = {
        "word": lambda: rng.choice(CONTENT_OF[split]),
        "number": lambda: str(rng.randint(2, 99)),
        "town": lambda: names.town(rng, split),
        "name": lambda: names.made_name(rng, split),
        "colour": lambda: rng.choice(words.COLOURS),
        "code": lambda: str(rng.randint(100, 9999)),
    }
    return makers[kind]


def _name(rng: Random, split: Split) -> str:
    roll = rng.random()
    if roll < 0.55:
        return names.person(rng, split)
    return names.made_town(rng, split) if roll < 0.7 else f"the {names.made_word(rng, split)}"


@dataclass(frozen=True)
class Statement:
    """What is said of one name."""

    pattern: Pattern
    name: str
    value: str

    @property
    def text(self) -> str:
        """As a sentence."""
        return self.pattern.say(self.name, self.value)


def statements(rng: Random, split: Split) -> list[Statement]:
    """Two to five statements; every pair of a key word and a name, or a value, is there once."""
    people = distinct(lambda: _name(rng, split), rng.randint(2, 4))
    made = []
    keys = distinct(lambda: rng.choice(CONTENT_OF[split]), rng.randint(1, 2))
    for key in keys:
        pattern, value = Pattern.make(rng, key), _value_maker(rng, split)
        values = [v for v in distinct(value, len(people) + len(keys)) if v not in keys]
        made += [Statement(pattern, *pair) for pair in zip(people, values, strict=False)]
    rng.shuffle(made)
    return made[:5]


def question(told: Statement, rng: Random, split: Split) -> str:
    """A question that the statement answers."""
    about = told.value if rng.random() < BACK_SHARE else told.name
    return told.pattern.ask(about, rng, split)


class Wild:
    """The domain `wild`."""

    source = "primer/wild"

    def record(self, rng: Random, split: Split) -> Record:
        """Statements as a passage, as notes or as what is taught, and one to four questions."""
        told = statements(rng, split)
        turns: list[str] = []
        for statement in rng.sample(told, min(len(told), 4)):
            turns += [question(statement, rng, split), statement.text]
        said = [statement.text for statement in told]
        roll = rng.random()
        if roll < 0.3:
            return dialogue(turns[:4], self.source, system=frame_notes(said))
        if roll < 0.55:
            taught: list[str] = []
            for text in said[:3]:
                taught += [TEACH.pick(rng, split).format(f=text), rng.choice(ACKNOWLEDGE)]
            wanted = rng.choice(told[:3])
            return dialogue([*taught, question(wanted, rng, split), wanted.text], self.source)
        frame = PASSAGE_THEN_QUESTION.pick(rng, split)
        return dialogue([frame.format(p=" ".join(said), q=turns[0]), *turns[1:]], self.source)

    def example(self, rng: Random, split: Split) -> Example:
        """A passage and one question."""
        told = statements(rng, split)
        wanted = rng.choice(told)
        back = rng.random() < BACK_SHARE
        text = wanted.pattern.ask(wanted.value if back else wanted.name, rng, split)
        frame = PASSAGE_THEN_QUESTION.pick(rng, split)
        passage = " ".join(s.text for s in told)
        conversation: Conversation = dialogue([frame.format(p=passage, q=text)], self.source)
        others = {(s.name if back else s.value) for s in told if s.pattern is wanted.pattern}
        key = wanted.name if back else wanted.value
        meta = {
            "slot": "s" if back else "v", "reference": wanted.text, "passage": passage,
            "distractors": sorted(others - {key}),
        }  # fmt: skip
        return Example(prompt=conversation.messages, answer=key, domain="wild", meta=meta)
