"""How models spell tool calls: one table of formats, each with the text between its marks.

A call that cannot be read is a value too, so that the model learns what was wrong with it. Knows
nothing of ids; see reader.py for how the marks are found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nanohydra.core.types import ToolCall

RAW, ERROR = "_raw", "_error"  # arguments of a call whose JSON did not parse
_NAMED = re.compile(r"\s*([\w.-]+)\s*(?:\[ARGS\])?\s*(\{.*)", re.DOTALL)


def format_call(call: ToolCall) -> str:
    """`NAME JSON`, the text after `<|call|>`; a call that did not parse gives its own text back."""
    if RAW in call.arguments:
        return str(call.arguments[RAW])
    return f"{call.name} {json.dumps(dict(call.arguments), ensure_ascii=False)}"


def parse_call(text: str, id: str) -> ToolCall:
    """The inverse of `format_call`; errors are values, see `OwnChat.parse`."""
    name, _, body = text.partition(" ")
    return ToolCall(id=id, name=name, arguments=_arguments(body, text))


def _arguments(body: str, raw: str) -> Mapping[str, Any]:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        return {ERROR: f"the arguments are not valid JSON: {error}", RAW: raw}
    return _object(value, raw)


def _object(value: Any, raw: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    return {ERROR: f"the arguments must be a JSON object, not {type(value).__name__}", RAW: raw}


def _own(text: str) -> list[ToolCall]:
    return [parse_call(text, "")]


def _json_calls(text: str) -> list[ToolCall]:
    """An object or a list of objects with a name and its arguments, or several after each other."""
    decoder = json.JSONDecoder()
    calls: list[ToolCall] = []
    rest = text.strip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError) as error:
            why = f"the call is not valid JSON: {error}"
            return [*calls, ToolCall(id="", name="", arguments={ERROR: why, RAW: text})]
        calls += [
            _json_call(each, text) for each in (value if isinstance(value, list) else [value])
        ]
        rest = rest[end:].lstrip("; \n\t")
    return calls


def _json_call(value: Any, raw: str) -> ToolCall:
    inner = value.get("function", value) if isinstance(value, Mapping) else value
    value = inner if isinstance(inner, Mapping) else value
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        why = 'the call must be a JSON object with "name" and "arguments"'
        return ToolCall(id="", name="", arguments={ERROR: why, RAW: raw})
    given = value.get("arguments", value.get("parameters", {}))
    if isinstance(given, str):
        return ToolCall(id="", name=value["name"], arguments=_arguments(given, raw))
    return ToolCall(id="", name=value["name"], arguments=_object(given, raw))


def _mistral(text: str) -> list[ToolCall]:
    """A list of objects, or in later versions `NAME[ARGS]{...}`."""
    if (named := _NAMED.fullmatch(text)) and not text.lstrip().startswith(("[", "{")):
        return [ToolCall(id="", name=named[1], arguments=_arguments(named[2], text))]
    return _json_calls(text)


@dataclass(frozen=True, kw_only=True)
class CallFormat:
    """One spelling of tool calls.

    name: its own in the table. begin, end: the marks around a call; without an end it goes to the
        next begin, or the end of the turn. read: the calls between the marks. signs: any of them
        in a chat template tells that the model uses this format. bare: an answer that is nothing
        but such JSON is a call as well. before: what stands between text and the first call, and
        is no part of the text.
    short_ids: templates refuse ids of calls other than nine letters and digits.
    """

    name: str
    begin: str
    end: str = ""
    read: Callable[[str], list[ToolCall]]
    signs: tuple[str, ...]
    bare: bool = False
    before: str = ""
    short_ids: bool = False


# In the order in which a template is searched for their signs.
CALL_FORMATS: Mapping[str, CallFormat] = {
    "nanohydra": CallFormat(name="nanohydra", begin="<|call|>", read=_own, signs=("<|call|>",)),
    "hermes": CallFormat(
        name="hermes",
        begin="<tool_call>",
        end="</tool_call>",
        read=_json_calls,
        signs=("<tool_call>",),
        before="\n",
    ),
    "mistral": CallFormat(
        name="mistral",
        begin="[TOOL_CALLS]",
        read=_mistral,
        signs=("[TOOL_CALLS]",),
        short_ids=True,
    ),
    "llama3": CallFormat(
        name="llama3",
        begin="<|python_tag|>",
        read=_json_calls,
        signs=("<|python_tag|>", "ipython"),
        bare=True,
    ),
}


def detect(template: str) -> CallFormat | None:
    """The format that a chat template uses, if it knows tools at all."""
    if "tools" not in template and "tool_calls" not in template:
        return None
    found = (each for each in CALL_FORMATS.values() if any(s in template for s in each.signs))
    return next(found, None)
