"""The rough edges of real users, put on training conversations.

A missing full stop or capital, a system prompt where there is none.
Only what carries no loss is changed, and only in the train split.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from nanohydra.core.types import Conversation, Message, Record
from nanohydra.data.primer.craft import Split
from nanohydra.data.primer.wordings_greetings import SYSTEMS

SYSTEM_SHARE = 0.03
NO_STOP_SHARE = 0.06
NO_CAPITAL_SHARE = 0.06
# a first word that may lose its capital; names may not, since answers repeat them
OPENING_WORDS = frozenset(
    """What Who Where When Which How Tell Can Do Does Did Is Are Calculate Add Multiply Divide Find
    Please Read Listen Remember There The One Repeat Say Give Write Name If Each It In On For Whose
    Make Work Look A""".split()
)


def dress(record: Record, rng: Random, split: Split) -> Record:
    """The record, in the train split sometimes less tidy."""
    if split == "test" or not isinstance(record, Conversation):
        return record
    messages = tuple(_roughen(m, rng) if m.role == "user" else m for m in record.messages)
    if messages[0].role != "system" and rng.random() < SYSTEM_SHARE:
        system = Message(role="system", content=SYSTEMS.pick(rng, split))
        messages = (system, *messages)
    return replace(record, messages=messages)


def _roughen(message: Message, rng: Random) -> Message:
    text = message.content
    roll = rng.random()
    if roll < NO_STOP_SHARE and text[-1:] in ".?!" and len(text) > 3:
        return replace(message, content=text[:-1].rstrip())
    first = text.partition(" ")[0]
    if roll > 1 - NO_CAPITAL_SHARE and first in OPENING_WORDS:
        return replace(message, content=text[0].lower() + text[1:])
    return message
