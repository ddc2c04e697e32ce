"""A tool: a typed function with a docstring, and the JSON schema that follows from them.

Knows nothing of models, conversations or limits; see run.py for how a call is run.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from nanohydra.core.errors import UserError

JSON_TYPES: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")


class ToolError(Exception):
    """What went wrong inside a tool, in words that the model can read."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function that the model may call, with its limits.

    parameters: the JSON schema of the arguments.
    timeout_s: seconds after which the caller gets an error instead of the result.
    max_result_chars: a longer result is cut, and says so.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., object]
    timeout_s: float = 2.0
    max_result_chars: int = 2000

    @classmethod
    def from_function(
        cls,
        function: Callable[..., object],
        *,
        timeout_s: float = 2.0,
        max_result_chars: int = 2000,
    ) -> Tool:
        """Derive name, description and schema from a typed function.

        The docstring's first paragraph is the description; `Annotated[str, "..."]` describes a
        parameter. Raises UserError if the docstring or a type is missing or cannot be expressed.
        """
        name = function.__name__
        if not NAME.fullmatch(name):
            raise UserError(f"{name!r} cannot be a tool's name; letters, digits and _ can")
        description = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        if not description:
            raise UserError(f"tool {name!r} needs a docstring: it is what the model is told")
        return cls(
            name=name,
            description=description,
            parameters=parameters_schema(function),
            function=function,
            timeout_s=timeout_s,
            max_result_chars=max_result_chars,
        )

    def schema(self) -> dict[str, Any]:
        """The tool in the form that chat APIs exchange."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.parameters),
            },
        }


def parameters_schema(function: Callable[..., object]) -> dict[str, Any]:
    """The JSON schema of a function's parameters. Raises UserError if one has no usable type."""
    hints = typing.get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        where = f"parameter {name!r} of tool {function.__name__!r}"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise UserError(f"{where} is variadic; a tool's parameters must be listed")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise UserError(f"{where} is positional only; arguments are passed by name")
        if name not in hints:
            raise UserError(f"{where} has no type")
        properties[name] = type_schema(hints[name], where)
        if parameter.default is parameter.empty:
            required.append(name)
        elif parameter.default is not None:
            properties[name]["default"] = parameter.default
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def type_schema(hint: Any, where: str) -> dict[str, Any]:
    """The JSON schema of one type hint: basic types, Literal, list, X | None, Annotated."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        schema = type_schema(arguments[0], where)
        notes = [note for note in arguments[1:] if isinstance(note, str)]
        return {**schema, "description": " ".join(notes)} if notes else schema
    if origin in (Union, types.UnionType) and type(None) in arguments and len(arguments) == 2:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return type_schema(inner, where)
    if origin is Literal:
        kinds = {JSON_TYPES.get(type(value)) for value in arguments}
        if len(kinds) == 1 and None not in kinds:
            return {"type": kinds.pop(), "enum": list(arguments)}
    if origin is list and arguments:
        return {"type": "array", "items": type_schema(arguments[0], where)}
    if hint in JSON_TYPES:
        return {"type": JSON_TYPES[hint]}
    raise UserError(
        f"{where} has type {hint!r}; a tool can take str, int, float, bool, Literal, "
        "list of these, and any of them | None"
    )


def check_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise ToolError unless the arguments fit the schema, naming the one that does not."""
    properties = schema["properties"]
    for name in arguments:
        if name not in properties:
            known = ", ".join(properties) or "none"
            raise ToolError(f"unknown argument {name!r}; known: {known}")
    for name in schema["required"]:
        if name not in arguments:
            raise ToolError(f"argument {name!r} is missing")
    for name, value in arguments.items():
        check_value(value, properties[name], name, optional=name not in schema["required"])


def check_value(value: Any, schema: Mapping[str, Any], name: str, *, optional: bool) -> None:
    """Raise ToolError unless the value has the type and is one of the choices of the schema."""
    if value is None and optional:
        return
    expected: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
    }
    kind = schema["type"]
    if kind == "array":
        if not isinstance(value, list):
            raise ToolError(f"argument {name!r} must be an array")
        for item in value:
            check_value(item, schema["items"], name, optional=False)
        return
    # bool is an int to Python, but not to JSON.
    if not isinstance(value, expected[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise ToolError(f"argument {name!r} must be of type {kind}")
    if "enum" in schema and value not in schema["enum"]:
        choices = ", ".join(str(choice) for choice in schema["enum"])
        raise ToolError(f"argument {name!r} must be one of: {choices}")
