"""The body of a chat request: the OpenAI fields that we honour, checked and turned into our types.

What chats share with completions stands in sampling.py.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nanohydra.chat import Grammar
from nanohydra.core.types import Message, ToolCall
from nanohydra.server import sampling
from nanohydra.server.config import ServerConfig
from nanohydra.server.errors import ApiError
from nanohydra.server.grammars import ResponseFormat, one_grammar
from nanohydra.server.sampling import MAX_TOP, SamplingFields
from nanohydra.tokenizer import parse_call

# Beside those of every request for text.
UNUSED = (
    *sampling.UNUSED,
    "prompt_cache_key",
    "prompt_cache_retention",
    "store",
    "verbosity",
)
NEUTRAL: dict[str, tuple[Any, ...]] = {
    **sampling.NEUTRAL,
    "add_generation_prompt": (None, True),
    "audio": (None,),
    "chat_template": (None,),
    "chat_template_kwargs": (None, {}),
    "continue_final_message": (None, False),
    "echo": (None, False),
    "function_call": (None, "none", "auto"),
    "functions": (None, []),
    "modalities": (None, ["text"]),
    "moderation": (None,),
    "prediction": (None,),
    "reasoning_effort": (None, "none"),
    "web_search_options": (None,),
}
MAX_TOOLS = 128


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


class Function(BaseModel):
    """A function that the client runs, and the JSON schema of its arguments."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(BaseModel):
    """A tool, as OpenAI has it."""

    type: Literal["function"] = "function"
    function: Function

    def to_tool(self) -> dict[str, Any]:
        """As a prompt lists it."""
        function = self.function.model_dump(exclude_none=True, exclude={"strict"})
        function.setdefault("parameters", {"type": "object", "properties": {}})
        if self.function.strict:
            function["strict"] = True
        return {"type": "function", "function": function}


class NamedFunction(BaseModel):
    """The name in a choice of a tool."""

    name: str


class NamedChoice(BaseModel):
    """A choice of the function to call."""

    type: Literal["function"] = "function"
    function: NamedFunction


ToolName = Annotated[str, Field(max_length=64)]


class ChatRequest(SamplingFields):
    """The body of POST /v1/chat/completions.

    Ours: `conversation_id` saves into the journal, `memory` "off" answers from the weights alone.
    """

    unused: ClassVar[tuple[str, ...]] = UNUSED
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = NEUTRAL

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP)] | None = None
    response_format: ResponseFormat | None = None
    tools: (
        Literal["auto", "none"]
        | ToolName
        | Annotated[list[FunctionTool | ToolName], Field(max_length=MAX_TOOLS)]
        | None
    ) = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    conversation_id: str | None = None
    memory: Literal["auto", "off"] = "auto"

    @model_validator(mode="after")
    def check_last(self) -> ChatRequest:
        """The model answers a person or a tool; it does not go on with its own words."""
        if self.messages[-1].role not in ("user", "tool"):
            message = "messages must end with a user or a tool message"
            raise ApiError(400, message, param="messages", code="invalid_value")
        return self

    @model_validator(mode="after")
    def check_logprobs(self) -> ChatRequest:
        """The likeliest tokens come with the chosen one's probability, or not at all."""
        if self.top_logprobs and not self.logprobs:
            message = "top_logprobs needs logprobs to be true"
            raise ApiError(400, message, param="top_logprobs", code="invalid_value")
        return self

    def grammar(self) -> Grammar | None:
        """What the answer has to look like."""
        return one_grammar(self, self.response_format)

    def num_tokens(self, config: ServerConfig) -> int:
        """The newer name counts first."""
        return self.max_completion_tokens or super().num_tokens(config)

    def to_messages(self) -> tuple[Message, ...]:
        """The conversation in our own types."""
        return tuple(message.to_message() for message in self.messages)
