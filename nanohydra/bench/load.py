"""Rounds of requests: so many streams at once, or arrivals at random, with prompts of a length.

Knows the OpenAI API's chat and completions, and vLLM's metrics where the server has them.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from nanohydra.bench.client import Reply, Target, ask, json_of
from nanohydra.bench.stats import quantiles
from nanohydra.core.errors import UserError

Api = Literal["chat", "completions"]
PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
USAGE = re.compile(rb"^vllm:(?:gpu_|kv_)cache_usage_perc(?:\{[^}]*\})? (\S+)", re.MULTILINE)
POLL_SECONDS = 0.25
WORDS = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work night point "
    "home water room mother area money story fact month lot right study book eye job word"
).split()


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """What is sent. Raises UserError for a value that cannot work.

    prompt_tokens, output_tokens: lengths, as nearly as words allow; every answer has its full
    length where the server knows `ignore_eos`. prefix_tokens: of the prompt, the same for all.
    rate: requests a second that arrive at random (a Poisson process); 0 = as many at once as a
    round says, the next when one ends. seed: of prompts and arrivals. watch: ask four times a
    second how full the server's blocks are, which takes some milliseconds of it each time.
    """

    api: Api = "chat"
    model: str | None = None
    prompt_tokens: int = 128
    output_tokens: int = 64
    prefix_tokens: int = 0
    rate: float = 0.0
    temperature: float = 0.0
    seed: int = 0
    watch: bool = True
    timeout: float = 600.0

    def __post_init__(self) -> None:
        if self.api not in PATHS:
            raise UserError(f"unknown api {self.api!r}; there are {', '.join(PATHS)}")
        for name in ("prompt_tokens", "output_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.prefix_tokens <= self.prompt_tokens:
            raise UserError(
                f"prefix_tokens is {self.prefix_tokens}; it is a part of the "
                f"{self.prompt_tokens} prompt_tokens"
            )
        if self.rate < 0:
            raise UserError(f"rate must be 0 or more requests a second, not {self.rate}")


@dataclass(kw_only=True)
class Round:
    """All replies to one load, in the order in which they were sent."""

    concurrency: int
    seconds: float = 0.0
    replies: list[Reply] = field(default_factory=list)
    kv_usage: float | None = None
    busy: float = 0.0  # CPU seconds that the load itself took

    def summary(self) -> dict[str, Any]:
        """The figures as plain data; latencies in milliseconds."""
        good = [reply for reply in self.replies if not reply.error]
        tokens = sum(reply.tokens for reply in good)
        times = {"ttft_ms": [r.first for r in good], "itl_ms": [g for r in good for g in r.gaps]}
        errors: dict[str, int] = {}
        for reply in self.replies:
            if reply.error:
                errors[reply.error] = errors.get(reply.error, 0) + 1
        return {
            "concurrency": self.concurrency,
            "requests": len(self.replies),
            "errors": errors,
            **{
                name: {k: v and round(v * 1e3, 3) for k, v in quantiles(values).items()}
                for name, values in times.items()
            },
            "tokens": tokens,
            "prompt_tokens": sum(reply.prompt_tokens for reply in good),
            "seconds": round(self.seconds, 4),
            "tokens_per_second": round(tokens / self.seconds, 2) if self.seconds else 0.0,
            "requests_per_second": round(len(good) / self.seconds, 3) if self.seconds else 0.0,
            "kv_usage": self.kv_usage,
            "load_cpu_share": round(self.busy / self.seconds, 4) if self.seconds else 0.0,
        }


class Load:
    """Sends rounds to a server. `prepare` first: it learns how many tokens a word has here."""

    def __init__(self, target: Target, config: LoadConfig) -> None:
        self.target = target
        self.config = config
        self.random = random.Random(config.seed)
        self.tokens_per_word = 1.0
        self.overhead = 0.0  # tokens of an empty prompt
        self.full_length = True
        self.prefix = ""

    async def prepare(self) -> None:
        """Warm the server up, and find out what it counts. Raises UserError if it cannot answer."""
        first = await self._send(self._words(8), 1)
        if first.status in (400, 422) and "ignore_eos" in first.error:
            self.full_length = False
            first = await self._send(self._words(8), 1)
        longer = await self._send(self._words(40), 1)
        for reply in (first, longer):
            if reply.error:
                raise UserError(f"the server does not answer: {reply.error}")
        if longer.prompt_tokens > first.prompt_tokens:
            self.tokens_per_word = (longer.prompt_tokens - first.prompt_tokens) / 32
            self.overhead = first.prompt_tokens - 8 * self.tokens_per_word
        self.prefix = self._words(round(self.config.prefix_tokens / self.tokens_per_word))

    async def run(self, concurrency: int, num_requests: int) -> Round:
        """One round. With a rate, requests arrive by it, however many are under way."""
        round_ = Round(concurrency=concurrency)
        prompts = [self._prompt() for _ in range(num_requests)]
        polling = asyncio.ensure_future(self._poll(round_))
        busy, start = time.process_time(), time.perf_counter()
        if self.config.rate:
            round_.replies = await self._arrive(prompts)
        else:
            round_.replies = await self._keep_busy(prompts, concurrency)
        round_.seconds = time.perf_counter() - start
        round_.busy = time.process_time() - busy
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        return round_

    async def _keep_busy(self, prompts: list[str], concurrency: int) -> list[Reply]:
        replies: list[Reply | None] = [None] * len(prompts)
        rest: Iterator[tuple[int, str]] = iter(enumerate(prompts))

        async def worker() -> None:
            for place, prompt in rest:
                replies[place] = await self._send(prompt, self.config.output_tokens)

        await asyncio.gather(*(worker() for _ in range(concurrency)))
        return [reply for reply in replies if reply is not None]

    async def _arrive(self, prompts: list[str]) -> list[Reply]:
        tasks = []
        due = time.perf_counter()
        for prompt in prompts:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.ensure_future(self._send(prompt, self.config.output_tokens)))
            due += self.random.expovariate(self.config.rate)
        return list(await asyncio.gather(*tasks))

    async def _send(self, prompt: str, num_tokens: int) -> Reply:
        config = self.config
        body: dict[str, Any] = {
            "max_tokens": num_tokens,
            "temperature": config.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if config.model:
            body["model"] = config.model
        if self.full_length:
            body["ignore_eos"] = True
        if config.api == "chat":
            body["messages"] = [{"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        return await ask(self.target, PATHS[config.api], body, timeout=config.timeout)

    async def _poll(self, round_: Round) -> None:
        """Keep the highest share of the blocks in use, where the server tells it."""
        while self.config.watch:
            reply = await ask(self.target, "/metrics", timeout=10.0)
            found = USAGE.search(reply.body)
            if reply.error or not found:
                return
            round_.kv_usage = max(round_.kv_usage or 0.0, float(found[1]))
            await asyncio.sleep(POLL_SECONDS)

    def _prompt(self) -> str:
        own = self.config.prompt_tokens - self.config.prefix_tokens - self.overhead
        words = max(1, round(own / self.tokens_per_word))
        return f"{self.prefix} {self._words(words)}".strip()

    def _words(self, count: int) -> str:
        return " ".join(self.random.choices(WORDS, k=count))


async def wait_until_ready(target: Target, seconds: float) -> float:
    """Seconds until the server takes requests. Raises UserError if that is too long."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        reply = await ask(target, "/ready", timeout=5.0)
        if reply.status == 404:  # another program's server
            reply = await ask(target, "/health", timeout=5.0)
        if reply.status == 200:
            return time.perf_counter() - start
        await asyncio.sleep(0.02)
    raise UserError(f"no server at {target.host}:{target.port} within {seconds:g} s")


async def models_of(target: Target) -> list[str]:
    """The names under which the server answers; empty if it does not say."""
    found = json_of(await ask(target, "/v1/models", timeout=10.0)) or {}
    return [str(card.get("id")) for card in found.get("data", [])]
