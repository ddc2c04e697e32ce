"""Mixed load on a server for minutes: whole answers, readers who leave, mistakes, adapter swaps.

A random model of the recipe `tiny` is served by `nanohydra serve` in a process of its own. Workers
ask at random for streams and whole answers, leave in the middle, send requests that must be
refused, and load and unload adapters. Counted are errors: an answer that is not whole, a refusal
that is no refusal, a 5xx. At the end nothing may be left in the engine: no request, no block. The
memory of the server is watched; its growth is that of the last third of the time over the second.
The last line of standard output is one JSON object.

    python benchmarks/soak.py --minutes 10
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from adapters import make_adapter
from serve import serving, write_tiny

from nanohydra.adapters import base_hash, save_adapter
from nanohydra.bench import Target, ask
from nanohydra.bench.load import WORDS, wait_until_ready
from nanohydra.checkpoint import load
from nanohydra.core.log import summary_table
from nanohydra.core.runtime import describe_machine

CHAT = "/v1/chat/completions"
MISTAKES: tuple[tuple[dict[str, Any], int], ...] = (
    ({"messages": []}, 400),
    ({"messages": [{"role": "user", "content": "x"}], "temperature": -1}, 400),
    ({"messages": [{"role": "user", "content": "x"}], "nonsense": 1}, 400),
    ({"messages": [{"role": "user", "content": "x"}], "model": "unknown"}, 404),
    ({"messages": [{"role": "user", "content": "long " * 5000}]}, 400),
)
SAMPLE_SECONDS = 1.0
GAUGES = re.compile(r"^(vllm:num_requests_\w+|[\w:]*kv_blocks)(\{[^}]*\})? (\S+)$", re.MULTILINE)


class Soak:
    """Workers, and what they saw."""

    def __init__(self, target: Target, seconds: float, seed: int, adapters: list[Path]) -> None:
        self.target = target
        self.end = time.perf_counter() + seconds
        self.random = random.Random(seed)
        self.adapters = adapters
        self.seen: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.memory: list[tuple[float, int]] = []

    async def run(self, workers: int, process: psutil.Process) -> None:
        """All of it."""
        jobs = [self.work() for _ in range(workers)]
        if self.adapters:
            jobs.append(self.swap())
        await asyncio.gather(self.watch(process), *jobs)

    async def work(self) -> None:
        """Ask again and again, one way or another."""
        while time.perf_counter() < self.end:
            await self.random.choice(
                [self.stream, self.stream, self.whole, self.leave, self.mistake]
            )()
            await asyncio.sleep(self.random.expovariate(20.0))

    def question(self, **more: Any) -> dict[str, Any]:
        """A request of a random length."""
        words = " ".join(self.random.choices(WORDS, k=self.random.randint(1, 60)))
        return {
            "messages": [{"role": "user", "content": words}],
            "max_tokens": self.random.randint(1, 64),
            "temperature": self.random.choice([0.0, 1.0]),
            **more,
        }

    def note(self, kind: str, error: str) -> None:
        """Count one request; being told to come back later is no error."""
        self.seen[kind] += 1
        if error.startswith("429"):
            self.seen["told to come back"] += 1
        elif error:
            self.errors[f"{kind}: {error}"[:200]] += 1

    async def stream(self) -> None:
        """A stream to its end."""
        more = {"stream_options": {"include_usage": True}}
        reply = await ask(self.target, CHAT, self.question(stream=True, **more))
        short = "" if reply.error or reply.tokens else "no tokens"
        self.note("stream", reply.error or short)

    async def whole(self) -> None:
        """An answer in one piece."""
        self.note("whole answer", (await ask(self.target, CHAT, self.question())).error)

    async def leave(self) -> None:
        """Walk away in the middle."""
        body = self.question(stream=True, max_tokens=400)
        after = self.random.randint(1, 5)
        reply = await ask(self.target, CHAT, body, leave_after=after)
        left = reply.error in ("", "the stream broke off")
        self.note("reader who leaves", "" if left else reply.error)

    async def mistake(self) -> None:
        """Something that must be refused."""
        body, status = self.random.choice(MISTAKES)
        reply = await ask(self.target, CHAT, body)
        self.note("mistake", "" if reply.status == status else f"{reply.status}, not {status}")

    async def swap(self) -> None:
        """Load an adapter, ask by it, and let it go."""
        number = 0
        while time.perf_counter() < self.end:
            folder, number = self.adapters[number % len(self.adapters)], number + 1
            load = {"lora_name": folder.name, "lora_path": str(folder)}
            loaded = await ask(self.target, "/v1/load_lora_adapter", load)
            self.note("adapter loaded", loaded.error)
            asked = [self.question(model=folder.name, stream=True) for _ in range(3)]
            for reply in await asyncio.gather(*(ask(self.target, CHAT, body) for body in asked)):
                self.note("answer by an adapter", reply.error)
            gone = await ask(self.target, "/v1/unload_lora_adapter", {"lora_name": folder.name})
            self.note("adapter unloaded", gone.error)
            await asyncio.sleep(0.2)

    async def watch(self, process: psutil.Process) -> None:
        """The server's memory, now and then."""
        start = time.perf_counter()
        while time.perf_counter() < self.end:
            self.memory.append((time.perf_counter() - start, process.memory_info().rss))
            await asyncio.sleep(SAMPLE_SECONDS)

    def growth(self) -> float:
        """Bytes that the last third of the time had more than the second one."""
        third = len(self.memory) // 3
        sizes = [size for _, size in self.memory]
        if not third:
            return 0.0
        return statistics.median(sizes[-third:]) - statistics.median(sizes[third : 2 * third])


async def leftovers(target: Target) -> dict[str, float]:
    """What the engine still holds, as its metrics say, once all have left."""
    found: dict[str, float] = {}
    for _ in range(50):
        reply = await ask(target, "/metrics")
        lines = GAUGES.findall(reply.body.decode())
        found = {f"{name}{labels}": float(value) for name, labels, value in lines}
        busy = [v for k, v in found.items() if "running" in k or "waiting" in k or "active" in k]
        if not any(busy):
            break
        await asyncio.sleep(0.1)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--adapters", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = write_tiny(Path(home) / "tiny")
        made = write_adapters(folder, Path(home), options.adapters)
        with serving(folder, learn=bool(made)) as target:
            result = asyncio.run(measure(target, options, made))
    rows = [*result["requests"].items(), ("errors", sum(result["errors"].values()))]
    rows += [("memory grew by", f"{result['memory_growth_bytes'] / 2**20:.1f} MiB")]
    rows += [(name, value) for name, value in result["left"].items()]
    summary_table(f"{options.minutes:g} minutes of mixed load", [(str(a), b) for a, b in rows])
    for error, count in result["errors"].items():
        print(f"{count} times: {error}")
    print(json.dumps(result))


def write_adapters(folder: Path, home: Path, count: int) -> list[Path]:
    """So many adapters of the model, in folders."""
    loaded = load(folder)
    base = base_hash(loaded.model)
    made = []
    for seed in range(count):
        made.append(home / f"adapter-{seed}")
        weights = make_adapter(loaded.model, base, 8, seed)
        save_adapter(made[-1], weights, loaded.config, manifest={})
    return made


async def measure(
    target: Target, options: argparse.Namespace, adapters: list[Path]
) -> dict[str, Any]:
    """The load and what is left after it."""
    await wait_until_ready(target, 120.0)
    connections = psutil.net_connections("tcp")
    pid = next(c.pid for c in connections if c.status == "LISTEN" and c.laddr.port == target.port)
    soak = Soak(target, options.minutes * 60, options.seed, adapters)
    await soak.run(options.workers, psutil.Process(pid))
    left = await leftovers(target)
    active = [value for name, value in left.items() if "running" in name or "active" in name]
    return {
        "benchmark": "soak",
        "machine": describe_machine(),
        "minutes": options.minutes,
        "requests": dict(soak.seen),
        "errors": dict(soak.errors),
        "left": left,
        "memory_bytes": [size for _, size in soak.memory[:: max(1, len(soak.memory) // 20)]],
        "memory_growth_bytes": soak.growth(),
        "met": not soak.errors and not any(active),
    }


if __name__ == "__main__":
    main()
