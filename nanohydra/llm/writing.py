"""The events of one request on their way to samples: text as it becomes complete, and the end.

A stop string ends a sample here, before the engine knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from nanohydra.chat.stops import StopStrings
from nanohydra.core.types import FinishReason, Message
from nanohydra.engine import Event
from nanohydra.llm.outputs import Output, Sample
from nanohydra.llm.prompts import Asked
from nanohydra.tokenizer import StreamDecoder, Tokenizer


class SampleWriter:
    """One sample while it grows."""

    def __init__(
        self, index: int, asked: Asked, tokenizer: Tokenizer, stops: Sequence[str], chat: bool
    ) -> None:
        self.index = index
        self.tokenizer = tokenizer
        self.turn = tokenizer.chat.reader(asked.tools) if chat else None
        self.decoder = None if chat else StreamDecoder(tokenizer, continues=True)
        self.stops = StopStrings((*stops, *(tokenizer.chat.stop_strings if chat else ())))
        self.pieces: list[str] = []
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.top: list[tuple[tuple[int, float], ...]] = []
        self.finish_reason: FinishReason | None = None
        self.error: str | None = None
        self.shown = 0  # pieces that a stream has given away

    def add(self, event: Event) -> None:
        """Take in one event of the sample; what comes after its end is left out."""
        if self.finish_reason is not None:
            return
        if event.token_id is not None:
            self.ids.append(event.token_id)
            self.logprobs.append(event.logprob)
            if event.top_logprobs:
                self.top.append(event.top_logprobs)
            stopped = event.finish_reason == "stop" and self.turn is None
            # A model's vocabulary may be padded beyond its tokenizer's.
            if event.token_id < self.tokenizer.vocab_size and not stopped:
                reader = self.turn or self.decoder
                assert reader is not None
                self._show(reader.push(event.token_id))
        if event.finish_reason is not None and not self.stops.hit:
            reader = self.turn or self.decoder
            assert reader is not None
            self._show(reader.flush())
            if not self.stops.hit:
                self.pieces.append(self.stops.flush())
            self.finish_reason, self.error = event.finish_reason, event.error
        if self.stops.hit:
            self.finish_reason = "stop"

    def sample(self, adapter: str | None, *, stream: bool = False) -> Sample:
        """What there is so far. stream: `delta` is what is new since this was last called."""
        delta = "".join(self.pieces[self.shown :]) if stream else ""
        self.shown = len(self.pieces)
        text = "".join(self.pieces)
        return Sample(
            index=self.index,
            text=text,
            token_ids=tuple(self.ids),
            logprobs=tuple(self.logprobs),
            top_logprobs=tuple(self.top),
            finish_reason=self.finish_reason,
            error=self.error,
            adapter=adapter,
            message=self._message(text),
            delta=delta,
        )

    def _message(self, text: str) -> Message | None:
        if self.turn is None or self.finish_reason is None:
            return None
        return Message(role="assistant", content=text) if self.stops.hit else self.turn.message()

    def _show(self, text: str) -> None:
        if shown := self.stops.push(text):
            self.pieces.append(shown)


class Writing:
    """All samples of one request while they grow."""

    def __init__(
        self,
        asked: Asked,
        tokenizer: Tokenizer,
        *,
        n: int = 1,
        stops: Sequence[str] = (),
        adapter: str | None = None,
    ) -> None:
        self.asked = asked
        self.adapter = adapter
        self.samples = [SampleWriter(i, asked, tokenizer, stops, asked.chat) for i in range(n)]

    def add(self, event: Event) -> None:
        """Take in one event of the request."""
        self.samples[event.index].add(event)

    @property
    def finished(self) -> bool:
        """Whether every sample has ended."""
        return all(sample.finish_reason is not None for sample in self.samples)

    def output(self, *, stream: bool = False) -> Output:
        """What there is so far; `stream` as in `SampleWriter.sample`."""
        samples = (sample.sample(self.adapter, stream=stream) for sample in self.samples)
        return Output(
            prompt=self.asked.text, prompt_token_ids=self.asked.ids, outputs=tuple(samples)
        )
