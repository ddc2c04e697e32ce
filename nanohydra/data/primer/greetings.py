"""Greetings, identity and small talk, in one turn or several, with and without a system prompt."""

from __future__ import annotations

from random import Random

from nanohydra.core.types import Message, Record
from nanohydra.data.primer import names
from nanohydra.data.primer.craft import Example, Split, dialogue, user
from nanohydra.data.primer.wordings_greetings import (
    ABILITIES,
    BYE,
    HELLO,
    HOBBIES,
    HOW_ARE_YOU,
    IDENTITY,
    INTRODUCE,
    MEET,
    MY_NAME,
    NAME,
    PERSONA_REPLY,
    PERSONAS,
    SIMPLE,
    SYSTEMS,
    TALK,
    THANKS,
    YOUR_NAME,
    Intent,
)


def small_talk(rng: Random, split: Split, intent: Intent | None = None) -> tuple[str, str]:
    """One thing said and its reply, of an intent or of any."""
    return _turn(intent or rng.choice(SIMPLE), rng, split)


def _turn(intent: Intent, rng: Random, split: Split) -> tuple[str, str]:
    slots = {"x": rng.choice(HOBBIES)}
    said = intent.says.pick(rng, split).format_map(slots)
    return said, rng.choice(intent.replies).format_map(slots)


def _visit(rng: Random, split: Split) -> list[str]:
    """A short chat: hello, some small talk, perhaps the user's name, thanks and goodbye."""
    turns: list[str] = []
    if rng.random() < 0.6:
        turns += _turn(HELLO, rng, split)
    name = ""
    if rng.random() < 0.4:
        name = names.person(rng, split)
        turns += [INTRODUCE.pick(rng, split).format(n=name), rng.choice(MEET).format(n=name)]
    if rng.random() < 0.4:
        turns += _turn(HOW_ARE_YOU, rng, split)
    for _ in range(rng.randint(1, 2)):
        turns += _turn(rng.choice((NAME, ABILITIES, *IDENTITY, *TALK)), rng, split)
    if name:
        turns += [MY_NAME.pick(rng, split), rng.choice(YOUR_NAME).format(n=name)]
    if rng.random() < 0.4:
        turns += _turn(THANKS, rng, split)
    if rng.random() < 0.4:
        turns += _turn(BYE, rng, split)
    return turns


class Greetings:
    """The domain `greetings`."""

    source = "primer/greetings"

    def record(self, rng: Random, split: Split) -> Record:
        """One exchange, a short chat, or a persona from the system prompt."""
        roll = rng.random()
        if roll < 0.08:
            name = names.person(rng, split)
            system = PERSONAS.pick(rng, split).format(n=name)
            turns = [NAME.says.pick(rng, split), PERSONA_REPLY.format(n=name)]
            return dialogue(turns, self.source, system=system)
        system = SYSTEMS.pick(rng, split) if rng.random() < 0.25 else ""
        if roll < 0.5:
            return dialogue(_turn(rng.choice(SIMPLE), rng, split), self.source, system=system)
        return dialogue(_visit(rng, split), self.source, system=system)

    def example(self, rng: Random, split: Split) -> Example:
        """One thing said, in a wording of the split; the reply must hold one of the key words."""
        intent = rng.choice(SIMPLE)
        slots = {"x": rng.choice(HOBBIES)}
        text = intent.says.pick(rng, split).format_map(slots)
        prompt: tuple[Message, ...] = (user(text),)
        must = tuple(word.format_map(slots) for word in intent.must)
        meta = {"kind": intent.key, "reference": intent.replies[0].format_map(slots)}
        return Example(prompt=prompt, answer=must[0], accept=must, domain="greetings", meta=meta)
