"""The contract of a task: questions with answers, used alike for evaluation, SFT and RL.

Knows no model: it gives messages to ask and judges the messages that come back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from nanohydra.core.types import Message
from nanohydra.data.primer import Example, Split


class Task(ABC):
    """Questions of one kind and their judge.

    Adding one: a file with a subclass, one line in TASKS. `version` is raised whenever a score
    could change; `metric` names the share of right replies in reports.
    """

    version: ClassVar[int] = 1
    metric: ClassVar[str]

    @abstractmethod
    def load(self, split: Split, *, seed: int = 0, count: int | None = None) -> list[Example]:
        """At most `count` examples of a split (None: all, or the task's usual number).

        Deterministic in its arguments; no example of one split is in the other.
        """

    @abstractmethod
    def score(self, example: Example, text: str, trace: Sequence[Message] = ()) -> float:
        """How right a reply is, 0.0 to 1.0.

        text: the final answer. trace: every new message that led to it, tool calls and tool
        results included; a task that demands a tool scores 0 without it.
        """

    def prompt(self, example: Example) -> tuple[Message, ...]:
        """The messages to ask; the last one is the user's."""
        return example.prompt

    @abstractmethod
    def gold(self, example: Example) -> tuple[Message, ...]:
        """A reply that scores 1, as the new messages of a conversation."""

    @abstractmethod
    def wrong(self, example: Example) -> tuple[Message, ...]:
        """A fluent reply that scores 0."""

    def score_reply(self, example: Example, reply: Sequence[Message]) -> float:
        """`score` of a whole reply, the new messages of a conversation."""
        return self.score(example, final_text(reply), reply)


def final_text(reply: Sequence[Message]) -> str:
    """What the user reads at the end of a reply: the last turn's text.

    Empty where the reply does not end in an assistant turn without tool calls, as when the
    rounds of tools ran out.
    """
    if not reply or reply[-1].role != "assistant" or reply[-1].tool_calls:
        return ""
    return reply[-1].content


def say(text: str) -> tuple[Message, ...]:
    """A reply of one assistant turn."""
    return (Message(role="assistant", content=text),)
