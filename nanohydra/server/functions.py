"""Who runs the tools of a chat request: the server its own, the client those that it describes.

Functions whose names are all the server's are the server's. If any is not, the client means its own
functions, and runs all of them itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanohydra.chat import Offer
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.server.errors import ApiError
from nanohydra.server.schema import ChatRequest, FunctionTool, NamedChoice
from nanohydra.server.service import ChatLike


@dataclass(frozen=True, kw_only=True)
class Tools:
    """names: of the server's tools that the model may call; None = all. offer: the client's."""

    names: Sequence[str] | None = None
    offer: Offer | None = None


def chosen_tools(body: ChatRequest, chat: ChatLike) -> Tools:
    """The tools of one request. Raises ApiError for one that nobody could run."""
    given = [body.tools] if isinstance(body.tools, str) else body.tools or []
    functions = [tool for tool in given if isinstance(tool, FunctionTool)]
    foreign = [tool for tool in functions if tool.function.name not in chat.tools]
    if foreign and len(functions) < len(given):
        message = "tools: name the server's tools, or describe your own functions, but not both"
        raise ApiError(400, message, param="tools", code="invalid_value")
    if foreign:
        return offered(body, functions)
    names = [t.function.name if isinstance(t, FunctionTool) else t for t in given]
    if body.tool_choice not in (None, "auto", "none"):
        message = "tool_choice: tools that the server runs are called when the model wants them"
        if not given:
            message = "tool_choice: there are no tools to choose from; describe them in 'tools'"
        raise ApiError(400, message, param="tool_choice", code="unsupported_value")
    if body.tool_choice == "none" or body.tools in ("none", []):
        return Tools(names=())
    if body.tools in (None, "auto"):
        return Tools()
    for name in names:
        if name not in chat.tools:
            message = f"tools: {name!r} is no tool of the server; {suggest(name, chat.tools)}"
            raise ApiError(400, message, param="tools", code="unsupported_value")
    return Tools(names=names)


def offered(body: ChatRequest, functions: Sequence[FunctionTool]) -> Tools:
    """The client's own functions, and which of them must be called."""
    if body.tool_choice == "none":
        return Tools(names=())
    asked, known = body.tool_choice, [tool.function.name for tool in functions]
    choice: str = asked.function.name if isinstance(asked, NamedChoice) else asked or "auto"
    if isinstance(asked, NamedChoice) and choice not in known:
        message = f"tool_choice: {choice!r} is no tool here; {suggest(choice, known)}"
        raise ApiError(400, message, param="tool_choice", code="invalid_value")
    tools = tuple(tool.to_tool() for tool in functions)
    parallel = body.parallel_tool_calls is not False
    try:
        return Tools(offer=Offer(tools=tools, choice=choice, parallel=parallel))
    except UserError as error:
        raise ApiError(400, f"tools: {error}", param="tools", code="invalid_value") from None
