"""The server beside the engine alone, and continuous batching beside llama.cpp's.

Overhead: the same random model of the recipe `tiny` answers 16 streams over HTTP, by `nanohydra
serve` in a process of its own, and in the engine alone, in turn; the share of the tokens a second
that HTTP and text cost, from the best rounds of both. Ready: from the start of the process until
/ready says yes. Arrivals: prompts of 128 tokens come at random and are answered with 128, by our
engine and by llama.cpp's with 16 slots, both in this process and without HTTP (`peers.py` says how
llama.cpp is driven; llama-cpp-python's own server has no slots), at a rate that keeps them busy.
The last line of standard output is one JSON object.

    python benchmarks/serve.py
    python benchmarks/serve.py --parts overhead,ready
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from decode import SLOTS, engine_of, prepare, prompts
from peers import LlamaCpp, Times, drive, survives_extra

from nanohydra.bench import LoadConfig, Target, quantiles
from nanohydra.bench.load import Load, wait_until_ready
from nanohydra.checkpoint import load, load_model, save
from nanohydra.core.log import summary_table
from nanohydra.core.runtime import RuntimeConfig, describe_machine, setup
from nanohydra.model import Decoder
from nanohydra.recipe import load_recipe
from nanohydra.tokenizer import Tokenizer

PARTS = ("overhead", "ready", "arrivals")
PROMPT, ANSWER = 32, 256
LENGTH = 128  # of the prompts and answers that arrive at random
LIMITS = {"overhead": 0.15, "ready_seconds": 3.0}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=48, help="that arrive at random")
    parser.add_argument("--load", type=float, default=1.2, help="arrivals over what ours can do")
    parser.add_argument("--models", type=Path, help="a folder that keeps the models for the next")
    options = parser.parse_args()
    setup(RuntimeConfig(device="cpu"))
    result: dict[str, Any] = {
        "benchmark": "serve",
        "machine": describe_machine(),
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "notes": [],
    }
    with ExitStack() as stack:
        root = options.models or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parts = options.parts.split(",")
        tiny = write_tiny(root / "tiny")
        if "overhead" in parts:
            result["overhead"] = measure_overhead(tiny, options.rounds)
        if "ready" in parts:
            result["ready"] = measure_ready(tiny, options.rounds)
        if "arrivals" in parts:
            result["arrivals"] = measure_arrivals(prepare(root, "100M"), options, result["notes"])
    print(json.dumps(result))


def write_tiny(folder: Path) -> Path:
    """A random model of the recipe `tiny` that writes letters: other tokens' rows are small."""
    if folder.exists():
        return folder
    torch.manual_seed(0)
    model = Decoder(load_recipe("tiny", []).model).to(torch.bfloat16)
    sources = sorted(Path(__file__).parent.glob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in sources]
    tokenizer = Tokenizer.train(texts, vocab_size=model.config.vocab_size)
    with torch.no_grad():
        for id in range(model.config.vocab_size):
            known = id < tokenizer.vocab_size
            if not known or tokenizer.is_special(id) or not tokenizer.token(id).isascii():
                model.embed.weight[id] *= 0.01
    save(folder, model, tokenizer, manifest={})
    return folder


@contextmanager
def serving(folder: Path, rows: int = SLOTS, *, learn: bool = False) -> Iterator[Target]:
    """`nanohydra serve` in a process of its own; it is ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        words = [
            *(sys.executable, "-m", "nanohydra", "serve", "--model", str(folder)),
            *("--port", str(port), "--max-rows", str(rows), "--journal", f"{home}/journal.db"),
            *(("--learning", f"{home}/learning") if learn else ("--no-learn",)),
        ]
        with open(f"{home}/log", "wb") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            yield Target(host="127.0.0.1", port=port)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def measure_overhead(folder: Path, rounds: int) -> dict[str, Any]:
    """Tokens per second of 16 streams, over HTTP and without, in turn."""
    loaded = load(folder)
    engine = engine_of(loaded.model, SLOTS, PROMPT + ANSWER)
    alone, over_http, cpu = [], [], []
    with serving(folder) as target:
        wait(target)
        config = LoadConfig(prompt_tokens=PROMPT, output_tokens=ANSWER, watch=False)
        load_ = Load(target, config)
        asyncio.run(load_.prepare())
        for _ in range(rounds + 1):  # the first warms up
            asked = prompts(SLOTS, PROMPT, loaded.tokenizer.vocab_size)
            alone.append(drive(engine, asked, ANSWER).tokens_per_second)
            found = asyncio.run(load_.run(SLOTS, SLOTS)).summary()
            assert not found["errors"] and found["tokens"] == SLOTS * ANSWER, found
            over_http.append(found["tokens_per_second"])
            cpu.append(found["load_cpu_share"])
    best, served = max(alone[1:]), max(over_http[1:])
    cost = 1 - served / best
    summary_table(
        f"{SLOTS} streams, {PROMPT} in and {ANSWER} out",
        [
            ("engine alone", f"{best:,.0f} tokens/s"),
            ("over HTTP, as text", f"{served:,.0f} tokens/s"),
            ("overhead", f"{cost:.1%}, limit {LIMITS['overhead']:.0%}"),
            ("the client's share of a core", f"{statistics.median(cpu):.1%}"),
        ],
    )
    return {
        "engine_tokens_per_second": round(best, 1),
        "http_tokens_per_second": round(served, 1),
        "overhead": round(cost, 4),
        "client_cpu_share": statistics.median(cpu),
        "met": cost <= LIMITS["overhead"],
    }


def wait(target: Target) -> float:
    """Until the server is ready; the seconds."""
    return asyncio.run(wait_until_ready(target, 120.0))


def measure_ready(folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds from the start of the process until it takes requests."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        with serving(folder) as target:
            wait(target)
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    limit = LIMITS["ready_seconds"]
    rows = {"median": f"{median:.2f} s, limit {limit:g} s", "best": f"{min(seconds):.2f} s"}
    summary_table("server ready", rows)
    return {"seconds": [round(s, 3) for s in seconds], "median": median, "met": median <= limit}


def measure_arrivals(folder: Path, options: argparse.Namespace, notes: list[str]) -> dict[str, Any]:
    """The same requests at the same times, by ours and by llama.cpp with 16 slots."""
    ours = engine_of(load_model(folder), SLOTS, 2 * LENGTH)
    with ExitStack() as stack:
        candidates: dict[str, Any] = {"ours": ours}
        path = folder.parent / f"{folder.name}-F16.gguf"
        if path.exists() and importlib.util.find_spec("llama_cpp"):
            threads, extra = torch.get_num_threads(), survives_extra(path)
            theirs = LlamaCpp(
                path, slots=SLOTS, max_length=2 * LENGTH, threads=threads, extra=extra
            )
            stack.callback(theirs.close)
            candidates["llama.cpp F16"] = theirs
        else:
            notes.append("llama-cpp-python is not installed, so there is no peer for arrivals")
        warm = drive(ours, prompts(SLOTS, LENGTH), LENGTH)
        rate = options.load * warm.tokens_per_second / LENGTH  # requests a second
        best: dict[str, dict[str, Any]] = {}
        for number in range(options.rounds):
            draws = random.Random(number)
            times = [0.0]
            while len(times) < options.requests:
                times.append(times[-1] + draws.expovariate(rate))
            asked = prompts(options.requests, LENGTH)
            for name, candidate in candidates.items():
                found = figures(drive(candidate, asked, LENGTH, times))
                old = best.get(name, found)
                best[name] = max(old, found, key=lambda each: each["tokens_per_second"])
    rows = []
    for name, each in best.items():
        first, between = each["ttft_ms"]["p50"], each["itl_ms"]["p50"]
        waits = f"first token {first:.0f} ms, between {between:.1f} ms"
        rows.append((name, f"{each['tokens_per_second']:.0f} tokens/s", waits))
    if len(best) > 1:
        ratio = best["ours"]["tokens_per_second"] / best["llama.cpp F16"]["tokens_per_second"]
        rows.append(("ours / llama.cpp", f"{ratio:.2f} times", ""))
        best["ratio"] = {"tokens_per_second": round(ratio, 3)}
    summary_table(f"100M, {rate:.2f} requests a second at random, {SLOTS} at once", rows)
    return {"rate": round(rate, 3), "requests": options.requests, **best}


def figures(times: Times) -> dict[str, Any]:
    """What a run of arrivals says."""
    named = {"ttft_ms": times.first, "itl_ms": times.gaps}
    tails = {
        name: {k: v and round(v * 1e3, 2) for k, v in quantiles(values).items()}
        for name, values in named.items()
    }
    return {"tokens_per_second": round(times.tokens_per_second, 1), **tails}


if __name__ == "__main__":
    main()
