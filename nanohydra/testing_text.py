"""The fake chat model's way with plain text: every character is a token, and nothing is random."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from nanohydra.chat import ChatParams, Done, Offer, TextDelta, Timings, Token, Usage
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message


class FakeText:
    """Continues a text with its last word in brackets; likelihoods are those of a coin."""

    context_length: int
    vocab_size = 0x110000

    def encode(self, text: str) -> list[int]:
        """A code point is an id."""
        return [ord(character) for character in text]

    def decode(self, ids: Sequence[int]) -> str:
        """The inverse of `encode`. Raises UserError for what is no code point."""
        try:
            return "".join(map(chr, ids)).encode("utf-8", "replace").decode()
        except (ValueError, OverflowError):
            raise UserError(f"token ids go from 0 to {self.vocab_size - 1}") from None

    def token(self, id: int) -> bytes:
        """The bytes of one id."""
        return self.decode([id]).encode()

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """A line for each message."""
        lines = [f"{message.role}: {message.content}\n" for message in messages]
        return self.encode("".join(lines) + "assistant:" * add_generation_prompt)

    async def embed(self, ids: Sequence[int], *, adapter: str | None = None) -> list[float]:
        """Three numbers of length 1; with an adapter others."""
        self._check(ids)
        vector = [float(len(ids)), float(ids[0]), 1.0 if adapter is None else 2.0]
        length = math.hypot(*vector)
        return [value / length for value in vector]

    async def score(
        self, ids: Sequence[int], top: int = 0, *, adapter: str | None = None
    ) -> list[Token]:
        """Each token has one chance in two."""
        self._check(ids)
        first, *rest = (Token(id=id, data=self.token(id), logprob=math.log(0.5)) for id in ids)
        return [Token(id=first.id, data=first.data, logprob=math.nan), *rest]

    async def compile(self, params: ChatParams, offer: Offer | None = None) -> None:
        """Nothing to prepare; the fake calls only the tools of the server."""
        if offer is not None:
            raise UserError("the fake calls only the tools of the server")

    def complete(
        self,
        prompt_ids: Sequence[int],
        params: ChatParams,
        *,
        n: int = 1,
        adapter: str | None = None,
    ) -> list[AsyncGenerator[TextDelta | Done]]:
        """The last word, character by character."""
        self._check(prompt_ids)
        words = self.decode(prompt_ids).split()
        text = f" ({words[-1]})" if words else " ()"
        text = text[: params.max_tokens or None]
        return [self._write(text, len(prompt_ids), params, adapter) for _ in range(n)]

    async def _write(
        self, text: str, num_prompt: int, params: ChatParams, adapter: str | None
    ) -> AsyncGenerator[TextDelta | Done]:
        start, tokens = time.perf_counter(), []
        for character in text:
            data = character.encode("utf-8", "replace")
            tokens.append(Token(id=ord(character), data=data, logprob=math.log(0.5)))
            given = () if params.top_logprobs is None else (tokens[-1],)
            yield TextDelta(text=character, tokens=given)
        total = num_prompt + len(text)
        yield Done(
            finish_reason="length" if len(text) == params.max_tokens else "stop",
            usage=Usage(
                prompt_tokens=num_prompt,
                completion_tokens=len(text),
                context_tokens=total,
                context_length=self.context_length,
            ),
            timings=Timings(ttft_s=0.0, total_s=time.perf_counter() - start, tokens_per_s=0.0),
            messages=(Message(role="assistant", content=text),),
            adapter=adapter,
            tokens=tuple(tokens) if params.top_logprobs is not None else (),
        )

    def _check(self, ids: Sequence[int]) -> None:
        if not 0 < len(ids) < self.context_length:
            raise UserError(f"a text has 1 to {self.context_length - 1} tokens, not {len(ids)}")
        self.decode(ids)
