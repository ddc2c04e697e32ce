"""Functions that the model may call: typed Python, a derived JSON schema, limits that hold."""

from __future__ import annotations

from collections.abc import Iterable

from nanohydra.core.registry import Table
from nanohydra.tools.run import is_error, run_tool
from nanohydra.tools.tool import Tool, ToolError

__all__ = ["TOOLS", "Tool", "ToolError", "is_error", "load_tools", "run_tool"]

TOOLS = Table(
    "tool",
    {
        "calculator": "nanohydra.tools.calculator:calculator",
    },
)


def load_tools(names: Iterable[str] | None = None) -> dict[str, Tool]:
    """The named tools of the table, or all of them. Raises UserError for an unknown name."""
    chosen = TOOLS if names is None else names
    return {name: Tool.from_function(TOOLS.load(name)) for name in chosen}
