"""Arithmetic through the tool: the right number, and the calculator has computed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nanohydra.core.types import Message, ToolCall
from nanohydra.data.primer import Example
from nanohydra.tasks.base import say
from nanohydra.tasks.judge import numbers, says_number
from nanohydra.tasks.primer import PrimerTask

TOOL = "calculator"


class Arithmetic(PrimerTask):
    """Word problems and bare calculations. A right answer without the tool scores 0."""

    metric: ClassVar[str] = "tool_accuracy"
    domain: ClassVar[str] = "arithmetic"

    def score(self, example: Example, text: str, trace: Sequence[Message] = ()) -> float:
        """1 if the reply concludes the answer and a calculator call in the trace gave it."""
        concluded = says_number(text, example.answer, question=example.prompt[-1].content)
        return float(concluded and computed(example.answer, trace))

    def gold(self, example: Example) -> tuple[Message, ...]:
        """Call, result, answer."""
        arguments = {"expression": example.meta["expression"]}
        call = ToolCall(id="call_1", name=TOOL, arguments=arguments)
        return (
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content=example.answer, tool_call_id=call.id),
            *super().gold(example),
        )

    def wrong(self, example: Example) -> tuple[Message, ...]:
        """The right answer, with no calculator to stand behind it."""
        return say(example.meta["reference"])


def computed(answer: str, trace: Sequence[Message]) -> bool:
    """Whether a calculator call in the trace has this number for its result."""
    calls = {call.id for message in trace for call in message.tool_calls if call.name == TOOL}
    results = [m.content for m in trace if m.role == "tool" and m.tool_call_id in calls]
    return any(numbers(result) == numbers(answer) for result in results)
