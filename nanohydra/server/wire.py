"""Replies in the shapes of the OpenAI API, with what it has no field for under `nanohydra`.

Messages, chunks, completions and server-sent events as plain JSON objects; no I/O.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from nanohydra import __version__
from nanohydra.chat import CallDelta, ChatEvent, Done, TextDelta, Timings, Token, Usage
from nanohydra.core.types import Message, ToolCall
from nanohydra.server.probabilities import chat_logprobs
from nanohydra.tokenizer import format_call

Json = dict[str, Any]


quote = json.encoder.encode_basestring  # json.dumps of a text, without what stands around it


def frame(value: Mapping[str, Any]) -> bytes:
    """One server-sent event. JSON has no raw line breaks, so one data line always holds it."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


DONE_FRAME = b"data: [DONE]\n\n"
PLACE = "\0"  # where a text comes into a frame; no name and no id has it


class TextFrames:
    """Frames that differ in one text alone: what stands around it is written once.

    empty: the frame's object, with PLACE for the text.
    """

    def __init__(self, empty: Mapping[str, Any]) -> None:
        self.before, self.after = frame(empty).split(quote(PLACE).encode())

    def of(self, text: str) -> bytes:
        """The frame with this text."""
        return b"".join((self.before, quote(text).encode(), self.after))


def call_json(call: ToolCall) -> Json:
    """A tool call as the OpenAI API has it: the arguments are JSON text."""
    text = format_call(call).removeprefix(call.name).lstrip()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def message_json(message: Message) -> Json:
    """A message as the OpenAI API has it; `schema.ChatMessage` reads it back."""
    value: Json = {"role": message.role, "content": message.content}
    if message.tool_calls:
        value["tool_calls"] = [call_json(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        value["tool_call_id"] = message.tool_call_id
    return value


def usage_json(usages: Sequence[Usage]) -> Json:
    """Tokens of all choices of a request; they share one prompt, which counts once."""
    prompt = usages[0].prompt_tokens if usages else 0
    return count_json(prompt, sum(usage.completion_tokens for usage in usages))


def count_json(prompt: int, completion: int) -> Json:
    """So many tokens."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def about(done: Done) -> Json:
    """What OpenAI's shape has no field for: the figures of one answer, without its messages."""
    value: Json = {
        "timings": {name: round(number, 4) for name, number in asdict(done.timings).items()},
        "context": {"tokens": done.usage.context_tokens, "length": done.usage.context_length},
    }
    if done.dropped_turns:
        value["dropped_turns"] = done.dropped_turns
    if done.note:
        value["note"] = done.note
    return value


def empty(num_prompt: int, context_length: int) -> Done:
    """The end of an answer without a token."""
    usage = Usage(
        prompt_tokens=num_prompt,
        completion_tokens=0,
        context_tokens=num_prompt,
        context_length=context_length,
    )
    timings = Timings(ttft_s=0.0, total_s=0.0, tokens_per_s=0.0)
    return Done(finish_reason="length", usage=usage, timings=timings)


def extra(done: Done) -> Json:
    """The `nanohydra` object at the end of one answer: its messages, tool turns included."""
    return {"messages": [message_json(message) for message in done.messages], **about(done)}


def content_of(messages: Iterable[Message]) -> str:
    """What the assistant said in all its turns, as one text."""
    return "".join(message.content for message in messages if message.role == "assistant")


def delta_json(call: CallDelta) -> Json:
    """A piece of a call that the client runs: its id and name first, then its arguments."""
    function: Json = {"arguments": call.arguments}
    if not call.id:
        return {"index": call.index, "function": function}
    function = {"name": call.name, **function}
    return {"index": call.index, "id": call.id, "type": "function", "function": function}


class Wire:
    """Names one reply and makes its pieces.

    usage: whether the client asked for usage in a stream; every chunk then has the field.
    running: whether it holds what its choice has used so far, instead of null.
    logprobs: whether the client asked for the tokens' probabilities.
    origin: what the answer rests on, see `answering`; it joins the `nanohydra` object.
    """

    def __init__(
        self,
        model: str,
        *,
        usage: bool = False,
        running: bool = False,
        logprobs: bool = False,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        self.usage = usage
        self.running = running
        self.num_prompt = 0
        self.num_written: dict[int, int] = {}  # by choice
        self.logprobs = logprobs
        self.origin = dict(origin or {})
        build = f"nanohydra-{__version__}"
        self.head: Json = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": f"{build}-{self.origin['label']}" if self.origin else build,
        }
        self._texts: dict[int, TextFrames] = {}

    def chunk(
        self,
        index: int,
        delta: Mapping[str, Any],
        *,
        tokens: Sequence[Token] = (),
        finish_reason: str | None = None,
        nanohydra: Mapping[str, Any] | None = None,
    ) -> Json:
        """A piece of one choice of a streamed reply."""
        choice = {
            "index": index,
            "delta": dict(delta),
            "logprobs": chat_logprobs(tokens) if self.logprobs and tokens else None,
            "finish_reason": finish_reason,
        }
        value: Json = {**self.head, "object": "chat.completion.chunk", "choices": [choice]}
        if self.running:
            value["usage"] = count_json(self.num_prompt, self.num_written.get(index, 0))
        elif self.usage:
            value["usage"] = None
        if nanohydra is not None:
            value["nanohydra"] = dict(nanohydra)
        return value

    def begin(self, num_choices: int, first: ChatEvent) -> bytes:
        """The frames that begin all choices, once their first event is there."""
        if (used := used_at(first)) is not None:
            self.num_prompt = used.prompt_tokens
        start = {"role": "assistant", "content": ""}
        return b"".join(frame(self.chunk(index, start)) for index in range(num_choices))

    def count(self, index: int, event: ChatEvent) -> None:
        """Note what a choice has used up to an event."""
        if (used := used_at(event)) is not None:
            self.num_prompt = used.prompt_tokens
            self.num_written[index] = used.completion_tokens

    def text(self, index: int, text: str) -> bytes:
        """The frame of `chunk` for more text of a choice, which is most of what is ever sent."""
        if self.running:
            return frame(self.chunk(index, {"content": text}))
        frames = self._texts.get(index)
        if frames is None:
            frames = self._texts[index] = TextFrames(self.chunk(index, {"content": PLACE}))
        return frames.of(text)

    def usage_chunk(self, usages: Sequence[Usage]) -> Json:
        """The last piece of a streamed reply, where the client asked for usage."""
        chunk = {**self.head, "object": "chat.completion.chunk", "choices": []}
        return {**chunk, "usage": usage_json(usages)}

    def completion(self, answers: Sequence[Done]) -> Json:
        """A reply in one piece."""
        choices = [
            {
                "index": index,
                "message": said_json(done),
                "logprobs": chat_logprobs(done.tokens) if self.logprobs else None,
                "finish_reason": done.finish_reason,
            }
            for index, done in enumerate(answers)
        ]
        return {
            **self.head,
            "object": "chat.completion",
            "choices": choices,
            "usage": usage_json([done.usage for done in answers]),
            "nanohydra": {**self.origin, "choices": [extra(done) for done in answers]},
        }


def used_at(event: ChatEvent) -> TextDelta | Usage | None:
    """What an event says of the tokens so far."""
    if isinstance(event, Done):
        return event.usage
    return event if isinstance(event, TextDelta) else None


def said_json(done: Done) -> Json:
    """The message of a choice; nothing said beside calls is null, as in the OpenAI API."""
    content = content_of(done.messages)
    message: Json = {"role": "assistant", "content": content, "refusal": None}
    if done.calls:
        message["content"] = content or None
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in done.calls
        ]
    return message
