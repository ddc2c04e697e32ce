"""What the calculator answers is what the generated curriculum teaches that it answers."""

from __future__ import annotations

from nanohydra.core.types import Conversation
from nanohydra.data.primer import records
from nanohydra.tools import is_error, load_tools, run_tool


def test_every_call_of_the_primer_gets_the_result_that_is_taught() -> None:
    tools = load_tools()
    count = errors = 0
    for split in ("train", "test"):
        for record in records(split, seed=5, counts={"arithmetic": 400, "mixed": 100}):
            assert isinstance(record, Conversation)
            calls = {call.id: call for m in record.messages for call in m.tool_calls}
            for message in record.messages:
                if message.role == "tool" and message.tool_call_id is not None:
                    result = run_tool(calls[message.tool_call_id], tools)
                    assert result == message.content, calls[message.tool_call_id]
                    count += 1
                    errors += is_error(result)
    assert count > 500 and errors < count
