"""The body of a chat request: the OpenAI fields that we honour, checked and turned into our types.

A field of the OpenAI API that we cannot honour is refused unless it holds the value that changes
nothing; an unknown field is refused with a suggestion. Silently dropped options cost people days.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nanohydra.core.registry import suggest
from nanohydra.core.types import Message, ToolCall
from nanohydra.server.errors import ApiError
from nanohydra.tokenizer import parse_call

# Fields of the OpenAI API that change nothing about the answer here: accepted and not used.
UNUSED = (
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
    "verbosity",
)
# Fields that would change the answer, with the values that ask for nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (None,),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none", "auto"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "modalities": (None, ["text"]),
    "moderation": (None,),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "reasoning_effort": (None, "none"),
    "response_format": (None, {"type": "text"}),
    "top_logprobs": (None, 0),
    "web_search_options": (None,),
}
MAX_STOPS = 16
MAX_STOP_LENGTH = 256


class FunctionCall(BaseModel):
    """The function of a tool call; `arguments` is JSON text, as in the OpenAI API."""

    name: str
    arguments: str = "{}"


class CallPart(BaseModel):
    """A tool call inside an assistant message."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall

    def to_call(self) -> ToolCall:
        """Our own type. Arguments that are no JSON object are kept for the model to see."""
        return parse_call(f"{self.function.name} {self.function.arguments}", self.id)


class ChatMessage(BaseModel):
    """One message in the OpenAI chat format."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: list[CallPart] | None = None
    tool_call_id: str | None = None

    @field_validator("content", mode="before")
    @classmethod
    def join_parts(cls, value: Any) -> Any:
        """A list of text parts becomes one text; parts of another type have no meaning here."""
        if not isinstance(value, list):
            return value
        for part in value:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind != "text" or not isinstance(part.get("text"), str):
                raise ValueError(f"a part of type {kind!r} is not understood; send text")
        return "".join(part["text"] for part in value)

    @model_validator(mode="after")
    def check_content(self) -> ChatMessage:
        """Only an assistant that called a tool may be silent."""
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("content is missing")
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a {self.role} message cannot carry tool_calls")
        return self

    def to_message(self) -> Message:
        """Our own type; `developer` is the newer name of `system`."""
        return Message(
            role="system" if self.role == "developer" else self.role,
            content=self.content or "",
            tool_calls=tuple(call.to_call() for call in self.tool_calls or ()),
            tool_call_id=self.tool_call_id,
        )


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False
    include_obfuscation: bool = False  # accepted, nothing is padded


Stop = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]


class ChatRequest(BaseModel):
    """The body of POST /v1/chat/completions.

    Ours: `conversation_id` saves into the journal, `memory` "off" answers from the weights alone.
    """

    model_config = ConfigDict(extra="allow")

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: str | list[Any] | None = None
    tool_choice: Any = None
    conversation_id: str | None = None
    memory: Literal["auto", "off"] = "auto"

    @field_validator("stop", mode="before")
    @classmethod
    def wrap_stop(cls, value: Any) -> Any:
        """One stop string stands for a list of one."""
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def check_extra(self) -> ChatRequest:
        """Refuse what we would otherwise drop in silence."""
        for name, value in (self.model_extra or {}).items():
            if name in UNUSED:
                continue
            if name not in NEUTRAL:
                known = [*type(self).model_fields, *NEUTRAL, *UNUSED]
                message = f"unknown field {name!r}; {suggest(name, known)}"
                raise ApiError(400, message, param=name, code="unknown_parameter")
            if value not in NEUTRAL[name]:
                message = f"field {name!r} is not supported by this server; leave it out"
                raise ApiError(400, message, param=name, code="unsupported_parameter")
        return self

    @model_validator(mode="after")
    def check_last(self) -> ChatRequest:
        """The model answers a person or a tool; it does not go on with its own words."""
        if self.messages[-1].role not in ("user", "tool"):
            message = "messages must end with a user or a tool message"
            raise ApiError(400, message, param="messages", code="invalid_value")
        return self

    def to_messages(self) -> tuple[Message, ...]:
        """The conversation in our own types."""
        return tuple(message.to_message() for message in self.messages)
