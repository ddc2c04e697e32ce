"""What comes back for a prompt: one sample or several, with texts, tokens and why they ended.

Imports no torch. The names are those of vLLM's offline API where it has the thing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nanohydra.core.types import FinishReason, Message


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One continuation of a prompt.

    text: without the stop token or stop string that ended it. token_ids: all that were generated,
    a stop token included. logprobs: natural logs of their probabilities before temperature and
    filters. top_logprobs: for each token the likeliest ids with theirs, where they were asked for.
    finish_reason: "stop", "length", "abort" or "error"; None while a stream goes on.
    error: what went wrong, with finish_reason "error". adapter: id of the one that wrote it.
    message: the assistant's turn, tool calls parsed; of a finished chat only.
    delta: what a stream's text grew by since the piece before.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    finish_reason: FinishReason | None = None
    error: str | None = None
    adapter: str | None = None
    message: Message | None = None
    delta: str = ""


@dataclass(frozen=True, kw_only=True)
class Output:
    """A prompt and its samples. What is asked of the output itself is the first sample's.

    prompt: as it was given, if it was a text. prompt_token_ids: what the model read.
    """

    prompt: str | None
    prompt_token_ids: tuple[int, ...]
    outputs: tuple[Sample, ...] = field(default=())

    @property
    def finished(self) -> bool:
        """Whether every sample has ended."""
        return all(sample.finish_reason is not None for sample in self.outputs)

    @property
    def text(self) -> str:
        """What was written."""
        return self.outputs[0].text

    @property
    def delta(self) -> str:
        """What a stream's text grew by since the piece before."""
        return self.outputs[0].delta

    @property
    def token_ids(self) -> tuple[int, ...]:
        """What was generated."""
        return self.outputs[0].token_ids

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it ended."""
        return self.outputs[0].finish_reason

    @property
    def message(self) -> Message | None:
        """The assistant's turn, of a finished chat."""
        return self.outputs[0].message

    @property
    def adapter(self) -> str | None:
        """Who wrote it: the id of an adapter, or None for the model itself."""
        return self.outputs[0].adapter
