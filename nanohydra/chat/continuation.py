"""A text that the model goes on with: no roles, no tools, one round; for the completions API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from nanohydra.chat.branches import Branch
from nanohydra.chat.clock import Clock
from nanohydra.chat.events import ChatParams, Done, TextDelta, Usage
from nanohydra.chat.reading import AnswerReader
from nanohydra.chat.reply import Round
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.engine import Event, EventStream
from nanohydra.tokenizer import StreamDecoder, Tokenizer


class Continuation(AnswerReader):
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
        super().__init__(tokenizer, params, params.stop)
        self.max_length = max_length
        self.num_prompt = len(prompt_ids)
        self._decoder = StreamDecoder(tokenizer, continues=True)

    async def run(
        self, events: EventStream | Branch, clock: Clock, adapter: str | None
    ) -> AsyncGenerator[TextDelta | Done]:
        """Pieces of text as they come, and the end."""
        try:
            while self.finish_reason is None:
                batch = await events.take()
                clock.tick(batch)
                delta = self.take(batch)
                if delta.text or delta.tokens:
                    yield delta
        finally:
            events.close()
        clock.end_round()
        yield Done(
            finish_reason=self.finish_reason,
            usage=Usage(
                prompt_tokens=self.num_prompt,
                completion_tokens=self.num_tokens,
                context_tokens=self.num_prompt + self.num_tokens,
                context_length=self.max_length,
            ),
            timings=clock.timings(),
            messages=(Message(role="assistant", content=self.text),),
            note=self.error or "",
            adapter=adapter,
            tokens=tuple(self.tokens),
            gaps=tuple(clock.gaps),
            logprob=self.logprob,
        )

    def _text_of(self, event: Event, id: int) -> str | None:
        if event.finish_reason == "stop":  # the token that ended it is no part of the text
            return None
        text = self._decoder.push(id)
        if self._trail is not None:
            self._trail.push(event, text)
        return text

    def _text_of_all(self, events: Sequence[Event]) -> str:
        ids = [event.token_id for event in events if event.finish_reason != "stop"]
        return self._decoder.push_all([id for id in ids if id is not None])

    def _flush(self) -> str:
        return self._decoder.flush()
