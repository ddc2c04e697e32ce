"""A text that the model goes on with: no roles, no tools, one round; for the completions API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence

from nanohydra.chat.branches import Branch
from nanohydra.chat.clock import Clock
from nanohydra.chat.events import ChatParams, Done, TextDelta, Token, Usage
from nanohydra.chat.reply import Round
from nanohydra.chat.stops import StopStrings
from nanohydra.chat.trail import Trail
from nanohydra.core.errors import UserError
from nanohydra.core.types import FinishReason, Message
from nanohydra.engine import Event, EventStream
from nanohydra.tokenizer import StreamDecoder, Tokenizer


class Continuation:
    """One continuation of a prompt while it is written.

    Raises UserError for a prompt that leaves no room in the context.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompt_ids: Sequence[int], params: ChatParams, max_length: int
    ) -> None:
        room = max_length - len(prompt_ids)
        if room < 1:
            raise UserError(
                f"the prompt takes {len(prompt_ids)} tokens, but the context holds {max_length}; "
                "shorten it"
            )
        stop_ids = tokenizer.chat.stop_ids
        limit = min(params.max_tokens or room, room)
        sampling = params.sampling(max_tokens=limit, stop_ids=stop_ids, round_number=0)
        self.round = Round(prompt_ids=tuple(prompt_ids), params=sampling)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.num_tokens = 0
        self.text = ""
        self.finish_reason: FinishReason | None = None
        self.error: str | None = None
        self.tokens: list[Token] = []
        self._params = params
        self._stops = StopStrings(params.stop)
        self._decoder = StreamDecoder(tokenizer, continues=True)
        self._trail = None if params.top_logprobs is None else Trail(tokenizer)

    async def run(
        self, events: EventStream | Branch, clock: Clock, adapter: str | None
    ) -> AsyncGenerator[TextDelta | Done]:
        """Pieces of text as they come, and the end."""
        try:
            while self.finish_reason is None:
                batch = await events.take()
                clock.tick(batch)
                delta = self.read(batch)
                if delta.text or delta.tokens:
                    yield delta
        finally:
            events.close()
        clock.end_round()
        num_prompt = len(self.round.prompt_ids)
        yield Done(
            finish_reason=self.finish_reason,
            usage=Usage(
                prompt_tokens=num_prompt,
                completion_tokens=self.num_tokens,
                context_tokens=num_prompt + self.num_tokens,
                context_length=self.max_length,
            ),
            timings=clock.timings(),
            messages=(Message(role="assistant", content=self.text),),
            note=self.error or "",
            adapter=adapter,
            tokens=tuple(self.tokens),
            gaps=tuple(clock.gaps),
        )

    def read(self, events: Iterable[Event]) -> TextDelta:
        """Take in events; returns what can be shown now."""
        shown = ""
        for event in events:
            if event.token_id is not None:
                self.num_tokens += 1
                shown += self._read_token(event, event.token_id)
            if not self._stops.hit and event.finish_reason is not None:
                text = self._decoder.flush()
                if self._trail is not None:
                    self._trail.flush(text)
                shown += self._stops.push(text) + self._stops.flush()
                self.finish_reason, self.error = event.finish_reason, event.error
            if self._stops.hit:
                self.finish_reason = "stop"
            if self.finish_reason is not None:
                break
        self.text += shown
        tokens: tuple[Token, ...] = ()
        if self._trail is not None:
            tokens = self._trail.take(len(shown), last=self.finish_reason is not None)
            self.tokens += tokens
        return TextDelta(text=shown, tokens=tokens)

    def _read_token(self, event: Event, id: int) -> str:
        ends = event.finish_reason == "stop"  # the token that ended it is no part of the text
        if ends or id >= self.tokenizer.vocab_size:
            return ""
        text = self._decoder.push(id)
        if self._trail is not None:
            self._trail.push(event, text)
        if self.num_tokens <= self._params.min_tokens:
            return text
        return self._stops.push(text)
