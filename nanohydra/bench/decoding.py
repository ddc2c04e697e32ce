"""Rounds of an engine alone: so many prompts at once, each answered in full length."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

from nanohydra.bench.stats import quantiles
from nanohydra.engine import Engine, Request, SamplingParams

WARM_UP = 4  # tokens


def decode_rounds(
    engine: Engine, levels: Sequence[int], prompt_tokens: int, output_tokens: int, seed: int
) -> list[dict[str, Any]]:
    """A summary for each number of rows, in the shape of `Round.summary`. The engine must be idle.

    itl_ms is between two tokens of a row, ttft_ms from the begin of the round.
    """
    numbers = random.Random(seed)
    found = []
    for level in levels:
        _run(engine, numbers, level, prompt_tokens, WARM_UP)
        start = time.perf_counter()
        times = _run(engine, numbers, level, prompt_tokens, output_tokens)
        seconds = max(row[-1] for row in times) - start
        gaps = [b - a for row in times for a, b in zip(row, row[1:], strict=False)]
        tokens = sum(map(len, times))
        firsts = [row[0] - start for row in times]
        named = {"ttft_ms": firsts, "itl_ms": gaps}
        found.append(
            {
                "concurrency": level,
                "requests": level,
                "errors": {},
                **{
                    name: {k: v and round(v * 1e3, 3) for k, v in quantiles(values).items()}
                    for name, values in named.items()
                },
                "tokens": tokens,
                "seconds": round(seconds, 4),
                "tokens_per_second": round(tokens / seconds, 2),
            }
        )
    return found


def _run(
    engine: Engine, numbers: random.Random, count: int, prompt_tokens: int, output_tokens: int
) -> list[list[float]]:
    """When each token of each row was there."""
    known = engine.config.num_ids or engine.model.config.vocab_size
    params = SamplingParams(temperature=0.0, max_tokens=output_tokens, ignore_eos=True)
    for number in range(count):
        ids = tuple(numbers.randrange(known) for _ in range(prompt_tokens))
        engine.add(Request(id=f"bench-{number}", prompt_ids=ids, params=params))
    times: dict[str, list[float]] = {f"bench-{number}": [] for number in range(count)}
    while engine.has_work():
        events = engine.step()
        now = time.perf_counter()
        for event in events:
            if event.token_id is not None:
                times[event.request_id].append(now)
    return list(times.values())
