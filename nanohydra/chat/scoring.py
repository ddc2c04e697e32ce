"""What a model makes of a text that is given: its hidden states, and how likely each token is.

The engine's thread computes it between two steps, a slice of the text at a time, so that running
replies are not held up for longer than by a prompt.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from nanohydra.core.errors import UserError
from nanohydra.engine import Engine, EngineThread, Event
from nanohydra.engine.adapted import adapted

T = TypeVar("T")


async def embed(
    thread: EngineThread, ids: Sequence[int], max_length: int, adapter: str | None = None
) -> list[float]:
    """The mean of the final hidden states over a text, scaled to length 1."""
    total = torch.zeros(0)

    def add(x_TD: Tensor, start: int) -> Tensor:
        return x_TD.float().sum(0)

    async for part in sliced(thread, ids, max_length, adapter, add):
        total = part if not len(total) else total + part
    mean_D = torch.nn.functional.normalize(total / len(ids), dim=0)
    return [float(value) for value in mean_D.tolist()]


async def score(
    thread: EngineThread,
    ids: Sequence[int],
    max_length: int,
    top: int,
    adapter: str | None = None,
) -> list[Event]:
    """Each token with the natural log of its probability; NaN for the first one."""
    known = thread.engine.config.num_ids or None
    events = [Event(request_id="", token_id=ids[0], logprob=math.nan)] if ids else []

    def rate(x_TD: Tensor, start: int) -> list[Event]:
        following = torch.tensor(ids[start + 1 : start + 1 + len(x_TD)], dtype=torch.long)
        logits_TV = thread.engine.model.unembed(x_TD[: len(following)])
        logprobs_TV = logits_TV[:, :known].float().log_softmax(-1)
        chosen = logprobs_TV.gather(1, following.to(logprobs_TV.device)[:, None])[:, 0].tolist()
        best, best_ids = (each.tolist() for each in logprobs_TV.topk(top, -1))
        return [
            Event(
                request_id="",
                token_id=id,
                logprob=chosen[n],
                top_logprobs=tuple(zip(best_ids[n], best[n], strict=True)),
            )
            for n, id in enumerate(following.tolist())
        ]

    async for part in sliced(thread, ids, max_length, adapter, rate):
        events += part
    return events


async def sliced(
    thread: EngineThread,
    ids: Sequence[int],
    max_length: int,
    adapter: str | None,
    use: Callable[[Tensor, int], T],
) -> AsyncGenerator[T]:
    """What `use` makes of the hidden states x_TD of each slice, which begins at a place.

    Raises UserError for ids that are none, and for too many or no ids.
    """
    vocab = thread.engine.model.config.vocab_size
    if not ids:
        raise UserError("the text is empty; it needs at least one token")
    if len(ids) > max_length:
        raise UserError(f"the text has {len(ids)} tokens, but the context holds {max_length}")
    if min(ids) < 0 or max(ids) >= vocab:
        raise UserError(f"the text has token ids outside the vocabulary of {vocab}")
    size = thread.engine.config.prefill_tokens
    state = thread.engine.model.init_state(1, len(ids))

    def read(start: int, engine: Engine) -> T:
        with torch.inference_mode(), adapted(engine, adapter):
            part = torch.tensor([ids[start : start + size]], device=engine.model.device)
            return use(engine.model.hidden(part, state=state)[0], start)

    hold = thread.hold(adapter)  # from the first slice to the last
    try:
        for start in range(0, len(ids), size):
            yield await asyncio.wrap_future(thread.call(partial(read, start)))
    finally:
        hold.close()
