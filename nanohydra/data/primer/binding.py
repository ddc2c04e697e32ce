"""Binding: exercises in finding what stood before a word, from one place back to a sentence back.

"Who came by bike?" needs the name before the value. Copying teaches to find what came after a word,
and never the other way round: without these exercises, taken in this order, such questions are
answered at chance, however many of them a model has seen (docs/log.md).
"""

from __future__ import annotations

from random import Random

from nanohydra.core.types import Record
from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import Example, Split, dialogue, user
from nanohydra.data.primer.passage import Passage

LEAST, MOST = 8, 30  # words of a list
FILLERS = tuple(
    "is has and likes came by went to the a on in was lives plays with for of gave ate took".split()
)
GAPS = (0, 0, 1, 1, 2, 2, 3, 4)  # fillers between a key and its value
JOINTS = (", ", ". ", "; ", " ")
COMMON = tuple(dict.fromkeys((*words.EVERYDAY, *words.THINGS)))


class Exercise:
    """A text as the user's turn, and what follows from it as the answer."""

    source = ""

    def record(self, rng: Random, split: Split) -> Record:
        """One exercise."""
        return dialogue(list(self.make(rng, split)), self.source)

    def example(self, rng: Random, split: Split) -> Example:
        """One exercise; right is the whole answer."""
        text, answer = self.make(rng, split)
        meta = {"kind": self.source, "reference": answer}
        domain = self.source.removeprefix("primer/")
        return Example(prompt=(user(text),), answer=answer, domain=domain, meta=meta)

    def make(self, rng: Random, split: Split) -> tuple[str, str]:
        """The text and its answer."""
        raise NotImplementedError


class Backwards(Exercise):
    """The domain `backwards`: a list of words, said again from its end."""

    source = "primer/backwards"

    def make(self, rng: Random, split: Split) -> tuple[str, str]:
        """A list that is mostly of common words, and the same from its end."""
        listed = [
            rng.choice(COMMON) if rng.random() < 0.9 else names.made_word(rng, split)
            for _ in range(rng.randint(LEAST, MOST))
        ]
        return f"Backwards: {' '.join(listed)}", " ".join(reversed(listed))


class Pairs(Exercise):
    """The domain `pairs`: keys and values some words apart; each value, then its key."""

    source = "primer/pairs"

    def make(self, rng: Random, split: Split) -> tuple[str, str]:
        """Three to eight pairs with the same words in between, and the same pairs turned round."""
        count = rng.randint(3, 8)
        pool = COMMON if rng.random() < 0.5 else names.GIVEN_OF[split]
        keys = rng.sample(pool, count)
        values = rng.sample([word for word in COMMON if word not in keys], count)
        fillers = [rng.choice(FILLERS) for _ in range(rng.choice(GAPS))]
        pairs = list(zip(keys, values, strict=True))
        told = rng.choice(JOINTS).join(" ".join((key, *fillers, value)) for key, value in pairs)
        asked = rng.sample(pairs, count)
        return told, ", ".join(f"{value} {key}" for key, value in asked)


class Inverting(Exercise):
    """The domain `inverting`: sentences of a passage; each value, then whom it belongs to."""

    source = "primer/inverting"

    def make(self, rng: Random, split: Split) -> tuple[str, str]:
        """A passage, and its values with their subjects in another order."""
        while True:
            passage = Passage(rng, split, rng.randint(2, 5), plain=rng.random() < 0.7)
            turned = []
            for statement in rng.sample(passage.statements, len(passage.statements)):
                slots = [slot for slot in statement.relation.asks if slot != "s"]
                if slots and "s" in statement.relation.asks:
                    value = statement.slots[rng.choice(slots)]
                    turned.append(f"{value} {statement.slots['s']}")
            if len(turned) > 1:
                return passage.text, ", ".join(turned)
