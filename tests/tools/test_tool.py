"""Tools from functions: the schema says what the signature says, and calls never raise."""

from __future__ import annotations

import json
import threading
import time
from typing import Annotated, Any, Literal

import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.types import ToolCall
from nanohydra.tools import TOOLS, Tool, ToolError, is_error, load_tools, run_tool
from nanohydra.tools.run import MAX_RUNNING


def weather(
    city: Annotated[str, "where"],
    days: int = 1,
    unit: Literal["C", "F"] = "C",
    places: list[float] | None = None,
    exact: bool = False,
) -> str:
    """The weather
    of a city.

    More words that the model is not told.
    """
    return f"{city} {days} {unit} {places} {exact}"


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(id="1", name=name, arguments=arguments)


def run(function: Any, /, _limits: dict[str, Any] | None = None, **arguments: Any) -> str:
    tool = Tool.from_function(function, **(_limits or {}))
    return run_tool(call(tool.name, **arguments), {tool.name: tool})


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_contract_of_every_tool(name: str) -> None:
    tool = load_tools([name])[name]
    assert tool.name == name
    assert tool.timeout_s > 0 and tool.max_result_chars > 0
    schema = json.loads(json.dumps(tool.schema()))
    assert schema["function"]["name"] == name and schema["function"]["description"]
    assert schema["function"]["parameters"]["type"] == "object"
    assert is_error(run_tool(call(name, surely_unknown=1), {name: tool}))
    for parameter in tool.parameters["required"]:
        assert is_error(run_tool(call(name, **{parameter: object()}), {name: tool}))
        assert is_error(run_tool(call(name), {name: tool}))


def test_schema_follows_the_signature() -> None:
    tool = Tool.from_function(weather)
    assert tool.description == "The weather of a city."
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "where"},
            "days": {"type": "integer", "default": 1},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
            "places": {"type": "array", "items": {"type": "number"}},
            "exact": {"type": "boolean", "default": False},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_arguments_reach_the_function() -> None:
    assert run(weather, city="Oslo") == "Oslo 1 C None False"
    assert run(weather, city="Oslo", places=[1, 2.5], unit="F") == "Oslo 1 F [1, 2.5] False"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "argument 'city' is missing"),
        ({"city": 3}, "argument 'city' must be of type string"),
        ({"city": None}, "argument 'city' must be of type string"),
        ({"city": "Oslo", "days": "two"}, "argument 'days' must be of type integer"),
        ({"city": "Oslo", "days": True}, "argument 'days' must be of type integer"),
        ({"city": "Oslo", "unit": "K"}, "argument 'unit' must be one of: C, F"),
        ({"city": "Oslo", "places": 3}, "argument 'places' must be an array"),
        ({"city": "Oslo", "places": ["x"]}, "argument 'places' must be of type number"),
        ({"city": "Oslo", "when": 3}, "unknown argument 'when'; known: city, days"),
    ],
)
def test_wrong_arguments_are_told(arguments: dict[str, Any], problem: str) -> None:
    result = run(weather, **arguments)
    assert result.startswith("error: ") and problem in result


def test_unknown_tool_and_malformed_call() -> None:
    tools = load_tools()
    assert "did you mean 'calculator'" in run_tool(call("calculater"), tools)
    assert run_tool(call("calculator"), {}) == "error: no tool named 'calculator'; there are none"
    broken = call("calculator", _error="no closing brace", _raw='{"expression"')
    assert run_tool(broken, tools) == "error: the call is not valid: no closing brace"
    assert run_tool(call("calculator", expression="1/0"), tools) == "error: division by zero"
    assert run_tool(call("calculator", expression="37 * 24"), tools) == "888"


def test_exceptions_become_text() -> None:
    def fails(kind: str) -> str:
        """Fail."""
        if kind == "tool":
            raise ToolError("in words")
        if kind == "zero":
            return str(1 // 0)
        if kind == "exit":
            raise SystemExit(3)
        raise KeyError("x" * 1000)

    assert run(fails, kind="tool") == "error: in words"
    assert run(fails, kind="zero") == "error: division by zero"
    assert run(fails, kind="exit") == "error: SystemExit: 3"
    result = run(fails, kind="key")
    assert result.startswith("error: KeyError: 'xxx") and len(result) < 400


def test_time_limit_holds() -> None:
    release = threading.Event()

    def sleepy() -> str:
        """Sleep."""
        release.wait(10)
        return "late"

    start = time.monotonic()
    try:
        assert run(sleepy, {"timeout_s": 0.05}) == "error: sleepy took longer than 0.05 seconds"
        assert time.monotonic() - start < 5
    finally:
        release.set()


def test_calls_left_behind_are_bounded() -> None:
    release = threading.Event()

    def stuck() -> str:
        """Hang."""
        release.wait(30)
        return "late"

    limits = {"timeout_s": 0.01}
    try:
        for _ in range(MAX_RUNNING):
            assert "longer than" in run(stuck, limits)
        assert "too many tools" in run(stuck, limits)
        assert "too many tools" in run(weather, limits, city="Oslo")
    finally:
        release.set()
    deadline = time.monotonic() + 10
    while "too many" in run(weather, {"timeout_s": 1}, city="Oslo"):
        assert time.monotonic() < deadline


def test_result_size_is_bounded() -> None:
    def long(count: int) -> str:
        """Be long."""
        return "a" * count

    assert run(long, {"max_result_chars": 10}, count=10) == "a" * 10
    assert run(long, {"max_result_chars": 10}, count=25) == "a" * 10 + "... (15 more characters)"


def test_functions_that_cannot_be_tools() -> None:
    def silent(x: int) -> str:
        return str(x)

    def untyped(x) -> str:  # type: ignore[no-untyped-def]
        """Say."""
        return str(x)

    def strange(x: dict[str, int]) -> str:
        """Say."""
        return str(x)

    def variadic(*x: int) -> str:
        """Say."""
        return str(x)

    def positional(x: int, /) -> str:
        """Say."""
        return str(x)

    for function, problem in [
        (silent, "docstring"),
        (untyped, "no type"),
        (strange, "has type"),
        (variadic, "variadic"),
        (positional, "positional"),
        (lambda: 3, "cannot be a tool's name"),
    ]:
        with pytest.raises(UserError, match=problem):
            Tool.from_function(function)


def test_unknown_name_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="did you mean 'calculator'"):
        load_tools(["calculater"])
