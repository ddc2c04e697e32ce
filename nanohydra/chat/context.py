"""Conversations that are longer than the model's context: the oldest turns go, whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.tokenizer import ChatTool, Tokenizer


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model reads: ids that end with the assistant's marker, and how much is missing."""

    ids: tuple[int, ...]
    dropped_turns: int


def make_prompt(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    max_length: int,
    reserve: int,
    tools: Sequence[ChatTool] = (),
) -> Prompt:
    """Render as much of a conversation as fits beside `reserve` tokens of answer.

    System messages at the start stay. Then the oldest turns (a user's message with everything
    up to the next one) are left out until the rest fits; the last turn stays, and may use all
    of the context but one token. Raises UserError if even that does not fit, or if there is no
    message.
    """
    if not messages:
        raise UserError("the conversation is empty; it needs at least one message")

    def rendered(kept: Sequence[Message]) -> tuple[int, ...]:
        return tuple(tokenizer.chat.prompt(kept, tools=tools))

    ids = rendered(messages)
    if len(ids) <= max_length - reserve:
        return Prompt(ids=ids, dropped_turns=0)
    system, turns = split_turns(messages)
    # Lengths do not add up: what a template writes of one turn depends on the others. So the
    # shorter conversations are rendered themselves, the fewest turns left out that suffice.
    least, most = 0, max(0, len(turns) - 1)
    prompts = {least: ids}
    while least < most:
        middle = (least + most) // 2
        kept = [*system, *(message for turn in turns[middle:] for message in turn)]
        prompts[middle] = rendered(kept)
        if len(prompts[middle]) <= max_length - reserve:
            most = middle
        else:
            least = middle + 1
    if most not in prompts:
        prompts[most] = rendered([*system, *turns[-1]])
    ids = prompts[most]
    if len(ids) >= max_length:
        raise UserError(
            f"the last message and what belongs to it take {len(ids)} tokens, but the context "
            f"holds {max_length}; shorten it"
        )
    return Prompt(ids=ids, dropped_turns=most)


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
