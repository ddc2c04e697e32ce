"""The chat layout of models made here: messages -> ids + loss mask, the same as Jinja, and back.

    <|bos|> then for each message
    <|system|>text<|end|>  <|user|>text<|end|>  <|tool|>result<|end|>
    <|assistant|>text<|end|>
    <|assistant|>text<|call|>NAME JSON<|call|>NAME JSON<|end|>

Text is encoded piece by piece, so it can neither contain a marker nor merge with one. Runtimes
that use the Jinja template tokenize the rendered string instead: for them a marker typed by a
user is a marker. Without markers in the text both give the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nanohydra.core.types import Document, Message, Record
from nanohydra.tokenizer.calls import CALL_FORMATS, format_call, parse_call
from nanohydra.tokenizer.chat import ChatFormat, ChatTool, Rendered, check_message
from nanohydra.tokenizer.reader import TurnReader
from nanohydra.tokenizer.special import (
    ASSISTANT,
    BOS,
    CALL,
    END,
    SPECIAL_TOKENS,
    SYSTEM,
    TOOL,
    USER,
)

if TYPE_CHECKING:
    from nanohydra.tokenizer.tokenizer import Tokenizer

__all__ = [
    "CHAT_TEMPLATE",
    "OwnChat",
    "Rendered",
    "format_call",
    "parse_assistant",
    "parse_call",
    "record_texts",
    "render",
]
ROLE_TOKENS = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": TOOL}

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


class OwnChat(ChatFormat):
    """The layout above. Tools are known to the model from training, so they are not listed."""

    name = "nanohydra"
    offers_tools = False

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.call_id = tokenizer.special_id(CALL)
        self.end_ids = (tokenizer.special_id(END),)
        # Any other marker means that the model has begun someone else's turn.
        specials = {tokenizer.special_id(name) for name in SPECIAL_TOKENS}
        self.stop_ids = tuple(sorted(specials - {self.call_id}))
        self.markers = SPECIAL_TOKENS

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ChatTool] = (),
        add_generation_prompt: bool = False,
    ) -> Rendered:
        """Loss falls on the assistant's text, its calls and its `<|end|>`; never on the role
        token, nor on what others say. Raises UserError for an unknown role or calls by another.
        """
        tokenizer = self.tokenizer
        ids, mask = [tokenizer.special_id(BOS)], [False]
        for message in messages:
            check_message(message)
            ids.append(tokenizer.special_id(ROLE_TOKENS[message.role]))
            mask.append(False)
            body = self._body(message)
            ids += body
            mask += [message.role == "assistant"] * len(body)
        if add_generation_prompt:
            ids.append(tokenizer.special_id(ASSISTANT))
            mask.append(False)
        return Rendered(ids=ids, mask=mask)

    def render_reply(
        self, messages: Sequence[Message], reply: Message, *, tools: Sequence[ChatTool] = ()
    ) -> Rendered:
        """A prompt and the reply to it; only the reply carries loss."""
        prompt = self.render(messages, add_generation_prompt=True).ids
        ids = self.render((*messages, reply)).ids
        mask = [False] * len(prompt) + [True] * (len(ids) - len(prompt))
        return Rendered(ids=ids, mask=mask)

    def reader(self, tools: Sequence[ChatTool] = ()) -> TurnReader:
        """Calls are known by the id of `<|call|>`, which no text can produce."""
        return TurnReader(self.tokenizer, stop_ids=self.stop_ids, calls=CALL_FORMATS["nanohydra"])

    def parse(self, ids: Sequence[int], *, tools: Sequence[ChatTool] = ()) -> Message:
        """The inverse of `render`; `ids` may begin with `<|assistant|>`.

        A call whose arguments are not a JSON object has the arguments
        `{"_error": why, "_raw": everything between the markers}`.
        """
        begins = list(ids[:1]) == [self.tokenizer.special_id(ASSISTANT)]
        return super().parse(ids[1:] if begins else ids)

    def _body(self, message: Message) -> list[int]:
        """Ids after the role token, `<|end|>` included."""
        ids = self.tokenizer.encode(message.content)
        for call in message.tool_calls:
            ids.append(self.call_id)
            ids += self.tokenizer.encode(format_call(call))
        return [*ids, *self.end_ids]


def render(
    tokenizer: Tokenizer, messages: Sequence[Message], *, add_generation_prompt: bool = False
) -> Rendered:
    """Ids of a conversation in the tokenizer's own layout, see `ChatFormat.render`."""
    return tokenizer.chat.render(messages, add_generation_prompt=add_generation_prompt)


def parse_assistant(tokenizer: Tokenizer, ids: Sequence[int]) -> Message:
    """The message that a model wrote, see `ChatFormat.parse`."""
    return tokenizer.chat.parse(ids)


def record_texts(record: Record) -> Iterator[str]:
    """The pieces of text that are encoded for a record, for training a tokenizer on them."""
    if isinstance(record, Document):
        yield record.text
        return
    for message in record.messages:
        yield message.content
        yield from (format_call(call) for call in message.tool_calls)
