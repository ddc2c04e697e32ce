"""Conversations that are longer than the model's context: the oldest turns go, whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.tokenizer import Tokenizer, render


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model reads: ids that end with the assistant's marker, and how much is missing."""

    ids: tuple[int, ...]
    dropped_turns: int


def make_prompt(
    tokenizer: Tokenizer, messages: Sequence[Message], *, max_length: int, reserve: int
) -> Prompt:
    """Render as much of a conversation as fits beside `reserve` tokens of answer.

    System messages at the start stay. Then the oldest turns (a user's message with everything
    up to the next one) are left out until the rest fits; the last turn stays, and may use all
    of the context but one token. Raises UserError if even that does not fit, or if there is no
    message.
    """
    if not messages:
        raise UserError("the conversation is empty; it needs at least one message")
    ids = render(tokenizer, messages, add_generation_prompt=True).ids
    if len(ids) <= max_length - reserve:
        return Prompt(ids=tuple(ids), dropped_turns=0)
    system, turns = split_turns(messages)
    # The pieces of a rendered conversation are independent: their lengths add up.
    lengths = [len(render(tokenizer, turn).ids) - 1 for turn in turns]
    length, dropped = len(ids), 0
    while length > max_length - reserve and dropped < len(turns) - 1:
        length -= lengths[dropped]
        dropped += 1
    if length >= max_length:
        raise UserError(
            f"the last message and what belongs to it take {length} tokens, but the context "
            f"holds {max_length}; shorten it"
        )
    kept = [*system, *(message for turn in turns[dropped:] for message in turn)]
    ids = render(tokenizer, kept, add_generation_prompt=True).ids
    assert len(ids) == length
    return Prompt(ids=tuple(ids), dropped_turns=dropped)


def split_turns(messages: Sequence[Message]) -> tuple[list[Message], list[list[Message]]]:
    """The system messages at the start, and the turns; each turn but the first begins a user's."""
    first = 0
    while first < len(messages) and messages[first].role == "system":
        first += 1
    turns: list[list[Message]] = []
    for message in messages[first:]:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return list(messages[:first]), turns
