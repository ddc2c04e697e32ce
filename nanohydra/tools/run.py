"""Run one tool call within its limits; whatever happens, the answer is text for the model.

Every call has a thread of its own, because signals do not work off the main thread and Python
cannot end a thread: a call that overruns is left behind, and counts against MAX_RUNNING until it
returns. A tool that could run for ever must therefore bound its own work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from nanohydra.core.registry import suggest
from nanohydra.core.types import ToolCall
from nanohydra.tools.tool import Tool, ToolError, check_arguments

MAX_RUNNING = 16
MAX_ERROR_CHARS = 300
_slots = threading.BoundedSemaphore(MAX_RUNNING)


def run_tool(call: ToolCall, tools: Mapping[str, Tool]) -> str:
    """The result of a call as text; a failure is the text "error: ...". Never raises.

    Blocks for at most the tool's `timeout_s` (twice that when MAX_RUNNING calls are under way).
    """
    tool = tools.get(call.name)
    if tool is None:
        return error_text(f"no tool named {call.name!r}; {suggest(call.name, tools)}")
    if "_error" in call.arguments:
        return error_text(f"the call is not valid: {call.arguments['_error']}")
    try:
        check_arguments(call.arguments, tool.parameters)
    except ToolError as error:
        return error_text(str(error))
    if not _slots.acquire(timeout=tool.timeout_s):
        return error_text("too many tools are running; try again later")
    outcome: list[str] = []
    worker = threading.Thread(
        target=_run, args=(tool, dict(call.arguments), outcome), name=f"tool-{tool.name}"
    )
    worker.daemon = True  # one that never returns must not keep the process alive
    worker.start()
    worker.join(tool.timeout_s)
    if not outcome:
        return error_text(f"{tool.name} took longer than {tool.timeout_s:g} seconds")
    return outcome[0]


def _run(tool: Tool, arguments: dict[str, Any], outcome: list[str]) -> None:
    """Body of the worker thread: appends the one result and frees the slot."""
    try:
        outcome.append(cut(str(tool.function(**arguments)), tool.max_result_chars))
    except ToolError as error:
        outcome.append(error_text(str(error)))
    except ZeroDivisionError:
        outcome.append(error_text("division by zero"))
    except BaseException as error:  # a tool's fault must reach the model, whatever its kind
        outcome.append(error_text(f"{type(error).__name__}: {error}"))
    finally:
        _slots.release()


def error_text(problem: str) -> str:
    """How a failure is told to the model."""
    return "error: " + cut(problem, MAX_ERROR_CHARS)


def cut(text: str, limit: int) -> str:
    """At most about `limit` characters of the text, saying how many were left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text) - limit} more characters)"


def is_error(result: str) -> bool:
    """Whether a result of `run_tool` reports a failure."""
    return result.startswith("error: ")


def index_tools(tools: Iterable[Tool]) -> dict[str, Tool]:
    """Tools by name, as `run_tool` takes them."""
    return {tool.name: tool for tool in tools}
