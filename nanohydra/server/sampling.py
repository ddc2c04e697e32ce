"""How an answer is written: the fields that chats and completions share, checked.

OpenAI's fields, and vLLM's beyond them. A field that cannot be honoured is refused unless it holds
a value that changes nothing; an unknown field is refused with a suggestion. Silently dropped
options cost people days.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nanohydra.chat import ChatParams, Grammar
from nanohydra.core.registry import suggest
from nanohydra.server.config import ServerConfig
from nanohydra.server.errors import ApiError
from nanohydra.server.grammars import Structure, one_grammar

# Fields that change nothing about the answer here: accepted and not used.
UNUSED = ("metadata", "request_id", "safety_identifier", "service_tier", "user")
# Fields that would change the answer, with the values that ask for nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "bad_words": (None, []),
    "include_stop_str_in_output": (None, False),
    "length_penalty": (None, 1),
    "prompt_logprobs": (None,),
    "skip_special_tokens": (None, True),
    "spaces_between_special_tokens": (None, True),
    "truncate_prompt_tokens": (None, -1),
    "use_beam_search": (None, False),
}
MAX_STOPS = 16
MAX_STOP_LENGTH = 256
MAX_BIASES = 1024
MAX_TOP = 20
SALT = r"^[\x20-\x7e]*$"

Stop = Annotated[str, Field(min_length=1, max_length=MAX_STOP_LENGTH)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    model_config = ConfigDict(extra="forbid")
    include_usage: bool = False
    continuous_usage_stats: bool = False  # usage so far, of its choice, with every chunk
    include_obfuscation: bool = False  # accepted, nothing is padded


class SamplingFields(BaseModel):
    """What requests for text have in common."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})
    unused: ClassVar[tuple[str, ...]] = UNUSED
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = NEUTRAL

    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    min_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None
    min_p: Share | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None = None
    logit_bias: Annotated[dict[TokenId, Bias], Field(max_length=MAX_BIASES)] | None = None
    allowed_token_ids: Annotated[list[TokenId], Field(min_length=1)] | None = None
    stop: Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=MAX_STOPS)] | None = None
    ignore_eos: bool | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    cache_salt: Annotated[str, Field(max_length=256, pattern=SALT)] | None = None
    structured_outputs: Structure | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def wrap_stop(cls, value: Any) -> Any:
        """One stop string stands for a list of one."""
        return [value] if isinstance(value, str) else value

    @field_validator("stop_token_ids", "logit_bias", mode="before")
    @classmethod
    def drop_empty(cls, value: Any) -> Any:
        """What is empty asks for nothing."""
        return value or None

    @model_validator(mode="after")
    def check_extra(self) -> SamplingFields:
        """Refuse what we would otherwise drop in silence."""
        for name, value in (self.model_extra or {}).items():
            if name in self.unused:
                continue
            if name not in self.neutral:
                known = [*type(self).model_fields, *self.neutral, *self.unused]
                message = f"unknown field {name!r}; {suggest(name, known)}"
                raise ApiError(400, message, param=name, code="unknown_parameter")
            if value not in self.neutral[name]:
                message = f"field {name!r} is not supported by this server; leave it out"
                raise ApiError(400, message, param=name, code="unsupported_parameter")
        return self

    def grammar(self) -> Grammar | None:
        """What the text has to look like; subclasses know further ways to say it."""
        return one_grammar(self)

    def num_tokens(self, config: ServerConfig) -> int:
        """The most tokens that the answer may have; 0 = what the context leaves."""
        return self.max_tokens or config.max_tokens

    def params(
        self, config: ServerConfig, vocab_size: int, *, owner: str, top_logprobs: int | None
    ) -> ChatParams:
        """How the choices are sampled.

        What one owner's prompts left in the prefix cache answers no other any sooner.
        """
        self._check_ids(vocab_size)

        def given(name: str) -> Any:
            value = getattr(self, name)
            return getattr(config, name) if value is None else value

        return ChatParams(
            temperature=given("temperature"),
            top_p=given("top_p"),
            top_k=max(0, given("top_k")),  # vLLM's -1 is off as well
            min_p=given("min_p"),
            seed=None if self.seed is None else self.seed % 2**63,
            max_tokens=self.num_tokens(config),
            min_tokens=self.min_tokens or 0,
            stop=tuple(self.stop or ()),
            stop_ids=tuple(self.stop_token_ids or ()),
            ignore_eos=bool(self.ignore_eos),
            repetition_penalty=self.repetition_penalty or 1.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            logit_bias=self.logit_bias or {},
            allowed_ids=tuple(self.allowed_token_ids) if self.allowed_token_ids else None,
            grammar=self.grammar(),
            top_logprobs=top_logprobs,
            priority=self.priority or 0,
            salt=f"{owner}:{self.cache_salt or ''}",  # no owner's name has a colon
        )

    def _check_ids(self, vocab_size: int) -> None:
        for name in ("logit_bias", "allowed_token_ids", "stop_token_ids"):
            for id in getattr(self, name) or ():
                if id >= vocab_size:
                    message = f"{name}: {id} is outside the vocabulary of {vocab_size}"
                    raise ApiError(400, message, param=name, code="invalid_value")
