"""The chat layout, in one place: messages -> ids + loss mask, the same as Jinja, and back.

    <|bos|> then for each message
    <|system|>text<|end|>  <|user|>text<|end|>  <|tool|>result<|end|>
    <|assistant|>text<|end|>
    <|assistant|>text<|call|>NAME JSON<|call|>NAME JSON<|end|>

Text is encoded piece by piece, so it can neither contain a marker nor merge with one. Runtimes
that use the Jinja template tokenize the rendered string instead: for them a marker typed by a
user is a marker. Without markers in the text both give the same ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nanohydra.core.errors import UserError
from nanohydra.core.types import Document, Message, Record, ToolCall
from nanohydra.tokenizer.special import ASSISTANT, CALL, SYSTEM, TOOL, USER

if TYPE_CHECKING:
    from nanohydra.tokenizer.tokenizer import Tokenizer

ROLE_TOKENS = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": TOOL}
RAW, ERROR = "_raw", "_error"  # arguments of a call whose JSON did not parse

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{- '<|assistant|>' -}}
{%- generation -%}
{{- message.content or '' -}}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function if call.function is defined else call -%}
{%- if call.arguments is string -%}
{{- '<|call|>' + call.name + ' ' + call.arguments -}}
{%- elif '_raw' in call.arguments -%}
{{- '<|call|>' + call.arguments._raw -}}
{%- else -%}
{{- '<|call|>' + call.name + ' ' + (call.arguments | tojson) -}}
{%- endif -%}
{%- endfor -%}
{{- '<|end|>' -}}
{%- endgeneration -%}
{%- elif message.role in ['system', 'user', 'tool'] -%}
{{- '<|' + message.role + '|>' + (message.content or '') + '<|end|>' -}}
{%- else -%}
{{- raise_exception('unknown role: ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- endif -%}
"""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A conversation as ids. `mask` is True where a token carries loss; same length."""

    ids: list[int]
    mask: list[bool]


def render(
    tokenizer: Tokenizer, messages: Sequence[Message], *, add_generation_prompt: bool = False
) -> Rendered:
    """Ids of a conversation, and which of them the assistant has to learn.

    Loss falls on the assistant's text, its calls and its `<|end|>`; never on the role token, nor
    on what others say. Raises UserError for an unknown role or calls by another role.
    """
    ids, mask = [tokenizer.bos_id], [False]
    for message in messages:
        if message.role not in ROLE_TOKENS:
            known = ", ".join(ROLE_TOKENS)
            raise UserError(f"unknown role {message.role!r} in a conversation; known: {known}")
        if message.tool_calls and message.role != "assistant":
            raise UserError(f"a {message.role!r} message has tool calls; only 'assistant' may")
        ids.append(tokenizer.special_id(ROLE_TOKENS[message.role]))
        mask.append(False)
        body = _body(tokenizer, message)
        ids += body
        mask += [message.role == "assistant"] * len(body)
    if add_generation_prompt:
        ids.append(tokenizer.special_id(ASSISTANT))
        mask.append(False)
    return Rendered(ids=ids, mask=mask)


def parse_assistant(tokenizer: Tokenizer, ids: Sequence[int]) -> Message:
    """The message that a model wrote: the inverse of `render` for one assistant turn.

    `ids` may begin with `<|assistant|>`; reading stops at the first marker that is no `<|call|>`.
    A call whose arguments are not a JSON object has the arguments
    `{"_error": why, "_raw": everything between the markers}`.
    """
    call, assistant = tokenizer.special_id(CALL), tokenizer.special_id(ASSISTANT)
    pieces: list[list[int]] = [[]]
    for place, id in enumerate(ids):
        if id == call:
            pieces.append([])
        elif not tokenizer.is_special(id):
            pieces[-1].append(id)
        elif place > 0 or id != assistant:
            break
    content, *calls = (tokenizer.decode(piece) for piece in pieces)
    return Message(
        role="assistant",
        content=content,
        tool_calls=tuple(parse_call(text, f"call_{n}") for n, text in enumerate(calls)),
    )


def format_call(call: ToolCall) -> str:
    """`NAME JSON`, the text after `<|call|>`; a call that did not parse gives its own text back."""
    if RAW in call.arguments:
        return str(call.arguments[RAW])
    return f"{call.name} {json.dumps(dict(call.arguments), ensure_ascii=False)}"


def parse_call(text: str, id: str) -> ToolCall:
    """The inverse of `format_call`; errors are values, see `parse_assistant`."""
    name, _, body = text.partition(" ")
    try:
        arguments: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        arguments = {ERROR: f"the arguments are not valid JSON: {error}", RAW: text}
    if not isinstance(arguments, Mapping):
        kind = type(arguments).__name__
        arguments = {ERROR: f"the arguments must be a JSON object, not {kind}", RAW: text}
    return ToolCall(id=id, name=name, arguments=arguments)


def record_texts(record: Record) -> Iterator[str]:
    """The pieces of text that are encoded for a record, for training a tokenizer on them."""
    if isinstance(record, Document):
        yield record.text
        return
    for message in record.messages:
        yield message.content
        yield from (format_call(call) for call in message.tool_calls)


def _body(tokenizer: Tokenizer, message: Message) -> list[int]:
    """Ids after the role token, `<|end|>` included."""
    ids = tokenizer.encode(message.content)
    for call in message.tool_calls:
        ids.append(tokenizer.special_id(CALL))
        ids += tokenizer.encode(format_call(call))
    return [*ids, tokenizer.end_id]
