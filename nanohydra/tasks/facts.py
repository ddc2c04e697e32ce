"""Facts: what the model was taught for good, or just now in the chat, asked in unseen wordings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import ClassVar

from nanohydra.core.types import Message
from nanohydra.data.primer import Example, Split
from nanohydra.data.primer.facts import answer, back_answer, back_question, question
from nanohydra.data.primer.world import Fact, all_facts, bare
from nanohydra.tasks.base import say
from nanohydra.tasks.judge import abstains, is_number, says, says_number
from nanohydra.tasks.primer import PrimerTask


class Facts(PrimerTask):
    """Every fact of the primer's world once, and in reverse too where it can be asked so."""

    metric: ClassVar[str] = "facts_accuracy"
    domain: ClassVar[str] = "facts"

    def load(self, split: Split, *, seed: int = 0, count: int | None = None) -> list[Example]:
        """All facts in an order drawn by the seed, each in a wording of the split."""
        rng = Random(f"{seed} {split} {self.domain} task")
        asked = [_ask(fact, rng, split, back=False) for fact in all_facts()]
        asked += [_ask(fact, rng, split, back=True) for fact in all_facts() if fact.relation.back]
        rng.shuffle(asked)
        return asked[:count]

    def score(self, example: Example, text: str, trace: Sequence[Message] = ()) -> float:
        """1 if the reply says the answer, and nothing that would answer for another subject."""
        if abstains(text):
            return 0.0
        if is_number(example.answer):
            return float(says_number(text, example.answer, example.prompt[-1].content))
        return float(says(text, (example.answer, *example.accept), _distractors(example)))

    def wrong(self, example: Example) -> tuple[Message, ...]:
        """The right answer along with another's, where there are others."""
        others = _distractors(example)
        return say(f"{example.answer} and {others[0]}." if others else "Nothing at all.")


class Taught(Facts):
    """Facts that the chat itself has told a few turns before."""

    metric: ClassVar[str] = "taught_accuracy"
    domain: ClassVar[str] = "taught"

    def load(self, split: Split, *, seed: int = 0, count: int | None = None) -> list[Example]:
        """The primer's examples; `count` None means 200."""
        return PrimerTask.load(self, split, seed=seed, count=count)


class Notes(Taught):
    """Facts that stand in the notes of the system turn, as a memory finds them."""

    metric: ClassVar[str] = "notes_accuracy"
    domain: ClassVar[str] = "notes"


def _ask(fact: Fact, rng: Random, split: Split, *, back: bool) -> Example:
    text = back_question(fact, rng, split) if back else question(fact, rng, split)
    return Example(
        prompt=(Message(role="user", content=text),),
        answer=bare(fact.subject) if back else fact.object,
        domain="facts",
        meta={
            "kind": f"{fact.relation.key}{' in reverse' if back else ''}",
            "relation": (fact.relation.kind, fact.relation.key, back),
            "reference": back_answer(fact) if back else answer(fact),
        },
    )


def _distractors(example: Example) -> list[str]:
    """What the example names itself, or else the answers to the same question about others.

    Words of the question or of the reference may be said, whatever else they answer.
    """
    others = example.meta.get("distractors") or _answers(example.meta.get("relation"))
    allowed = f"{example.prompt[-1].content}\n{example.meta['reference']}"
    return [other for other in others if not says(allowed, [other])]


@cache
def _answers(relation: tuple[str, str, bool] | None) -> tuple[str, ...]:
    """All answers of the world to one kind of question."""
    if relation is None:
        return ()
    kind, key, back = relation
    facts = [f for f in all_facts() if (f.relation.kind, f.relation.key) == (kind, key)]
    return tuple(dict.fromkeys(bare(fact.subject) if back else fact.object for fact in facts))
