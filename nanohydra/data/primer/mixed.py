"""Mixed chats: the other domains one after another in one conversation, as real users do.

Makes nothing of its own; it joins what the other domains make, so that a calculation after a
story, or a fact after a calculation, is nothing new.
"""

from __future__ import annotations

from random import Random

from nanohydra.core.types import Conversation, Message, Record
from nanohydra.data.primer import arithmetic
from nanohydra.data.primer.abstain import Abstain, any_question
from nanohydra.data.primer.craft import Domain, Example, Split, assistant, user
from nanohydra.data.primer.facts import Facts, random_turn
from nanohydra.data.primer.greetings import small_talk
from nanohydra.data.primer.passage import Passage
from nanohydra.data.primer.reading import conversation
from nanohydra.data.primer.stories import request, tell
from nanohydra.data.primer.wordings_abstain import ABSTENTIONS
from nanohydra.data.primer.wordings_greetings import BYE, HELLO, THANKS

MAX_CHARS = 300  # so that a record mostly fits in a row of 256 tokens
CALL_CHARS = 60  # what a tool call takes besides


def _pair(turn: tuple[str, str]) -> tuple[Message, ...]:
    return user(turn[0]), assistant(turn[1])


def _segment(rng: Random, split: Split, number: int) -> tuple[Message, ...]:
    """One exchange of a random domain; `number` keeps the ids of tool calls apart."""
    roll = rng.random()
    if roll < 0.3:
        return arithmetic.turns(arithmetic.problem(rng, split), number)
    if roll < 0.6:
        return _pair(random_turn(rng, split))
    if roll < 0.75:
        return _pair((any_question(rng, split)[0], rng.choice(ABSTENTIONS)))
    if roll < 0.87:
        return _pair(small_talk(rng, split))
    if roll < 0.95:
        story = tell(rng, split)
        return _pair((request(story, rng, split), story.text))
    return conversation(rng, split, Passage(rng, split, 2), 1, "").messages


class Mixed:
    """The domain `mixed`."""

    source = "primer/mixed"

    def record(self, rng: Random, split: Split) -> Record:
        """Two to five exchanges of different domains."""
        return Conversation(messages=self._messages(rng, split, 5), source=self.source)

    def _messages(self, rng: Random, split: Split, most: int) -> tuple[Message, ...]:
        messages: tuple[Message, ...] = ()
        if rng.random() < 0.4:
            messages += _pair(small_talk(rng, split, HELLO))
        for number in range(1, rng.randint(2, most) + 1):
            segment = _segment(rng, split, number)
            if segment[0].role == "system" and messages:
                continue
            messages += segment
            if sum(len(m.content) + CALL_CHARS * len(m.tool_calls) for m in messages) > MAX_CHARS:
                return messages
        if rng.random() < 0.25:
            messages += _pair(small_talk(rng, split, THANKS if rng.random() < 0.5 else BYE))
        return messages

    def example(self, rng: Random, split: Split) -> Example:
        """A calculation, a known fact or an unknown one at the end of a chat."""
        before = self._messages(rng, split, 2)
        kind = rng.choice(("arithmetic", "facts", "abstain"))
        makers: dict[str, Domain] = {
            "arithmetic": arithmetic.Arithmetic(), "facts": Facts(), "abstain": Abstain(),
        }  # fmt: skip
        last = makers[kind].example(rng, split)
        meta = {**last.meta, "part": kind}
        return Example(
            prompt=before + last.prompt, answer=last.answer, accept=last.accept, domain="mixed",
            meta=meta,
        )  # fmt: skip
