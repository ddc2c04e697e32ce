"""Adapters in the engine: speed of mixed batches, and how long swaps hold running streams up.

Speed: engines with equal prompts decode in one process, one step of each in turn, so that whatever
else the machine does hits all alike; the ratio is against the same engine without adapters.
Swaps: streams run while versions are loaded, pointed at and unloaded. A swap's stall is the
longest wait for a token that overlaps it, above the median wait of the same streams without swaps.
What the same measure says of moments at which nothing was swapped is reported beside it: on a busy
machine that is not zero. Switching: the time to make another adapter the one that answers, from
memory and from a folder on disk, and an answer's first token by the same and by another adapter.
The last line of standard output is one JSON object.

    python benchmarks/adapters.py --threads 1
    python benchmarks/adapters.py --model runs/tiny/model --rows 16
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nanohydra.adapters import AdapterWeights, LoraConfig, attach, load_adapter, save_adapter
from nanohydra.checkpoint import load
from nanohydra.core.log import summary_table
from nanohydra.core.runtime import RuntimeConfig, describe_machine, setup
from nanohydra.core.scheduling import react_quickly, take_short_turns
from nanohydra.engine import Engine, EngineConfig, EngineThread, Request, SamplingParams
from nanohydra.model import Decoder, ModelConfig

WARM_UP = 5  # steps that do not count
PROMPT = 64
VERSIONS = 4  # that are swapped in turn
LIMITS_MS = {"stall_p99": 5.0, "switch_resident": 5.0, "switch_from_disk": 50.0}
_numbers = itertools.count()


def main() -> None:
    """Measure and print."""
    options = parse()
    setup(RuntimeConfig(device=options.device, threads=options.threads))
    react_quickly()  # as `serve` does
    take_short_turns()
    model = make_model(options).to(options.device).eval()
    base = Engine(model, EngineConfig(max_rows=1)).base
    print(f"making {options.rows} adapters of rank {options.rank}", flush=True)
    adapters = [make_adapter(model, base, options.rank, seed) for seed in range(options.rows)]
    result: dict[str, Any] = {
        "benchmark": "adapters",
        "shape": {
            **{name: value for name, value in vars(options).items() if name != "model"},
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "adapter_bytes": adapters[0].num_bytes,
        },
        "decode": measure_decoding(model, adapters, options.rows, options.steps),
        **asyncio.run(measure_swaps(model, adapters, options.streams, options.swaps)),
        **asyncio.run(measure_switching(model, adapters, options.swaps)),
        "machine": describe_machine(),
    }
    found = {name: result[name]["p99"] * 1e3 for name in LIMITS_MS}
    result["met"] = {name: found[name] <= limit for name, limit in LIMITS_MS.items()}
    rows = [
        (f"decode, {name}", f"{each['rows_per_second']:,.0f} tokens/s", f"{each['ratio']:.2f}x")
        for name, each in result["decode"].items()
    ]
    rows += [
        (name.replace("_", " "), f"{found[name]:.2f} ms at p99", f"limit {limit:g} ms")
        for name, limit in LIMITS_MS.items()
    ]
    summary_table("adapters in the engine", rows)
    print(json.dumps(result))


def parse() -> argparse.Namespace:
    """Shape and length of the measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    defaults = {
        **{"layers": 4, "width": 256, "head": 64, "vocab": 2048, "length": 1024},
        **{"rank": 16, "rows": 8, "steps": 200, "streams": 4, "swaps": 200, "threads": 0},
    }
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--model", type=Path, help="a model's folder, instead of random weights")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    options.steps = min(options.steps, options.length - PROMPT - WARM_UP - 1)
    return options


def make_model(options: argparse.Namespace) -> Decoder:
    """The model of a folder, or one with random weights."""
    if options.model is not None:
        return load(options.model).model
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=options.vocab,
        hidden_size=options.width,
        num_layers=options.layers,
        num_heads=options.width // options.head,
        num_kv_heads=max(1, options.width // options.head // 2),
        head_dim=options.head,
        max_seq_len=options.length,
    )
    return Decoder(config)


def make_adapter(model: Decoder, base: str, rank: int, seed: int) -> AdapterWeights:
    """An adapter on all linear layers, with an update that is not zero."""
    attached = attach(model, LoraConfig(rank=rank), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    weights = attached.weights(base)
    attached.detach()
    for pair in weights.pairs.values():
        pair.b_OR.normal_(std=0.01, generator=generator)
    return weights


def request(model: Decoder, tokens: int, adapter: str | None, length: int = PROMPT) -> Request:
    """A prompt that no one has asked before."""
    number = next(_numbers)
    generator = torch.Generator().manual_seed(number)
    ids = torch.randint(0, model.config.vocab_size, (length,), generator=generator)
    params = SamplingParams(temperature=0, max_tokens=tokens)
    return Request(id=str(number), prompt_ids=tuple(ids.tolist()), params=params, adapter=adapter)


def measure_decoding(
    model: Decoder, adapters: Sequence[AdapterWeights], rows: int, steps: int
) -> dict[str, dict[str, float]]:
    """Seconds of a step in which every row gets a token, by what the rows have."""
    length = PROMPT + steps + WARM_UP + 1
    config = EngineConfig(max_rows=rows, max_length=length, prefix_caching=False)
    kinds: dict[str, list[int | None]] = {
        "no adapter loaded": [],
        "loaded, none used": [None],
        "one for all": [0],
        "half the rows, one": [0, None],
        "half the rows, two": [0, None, 1, None],
        "all rows, two": [0, 1],
        "all rows different": list(range(rows)),
    }
    engines = {}
    for name, pattern in kinds.items():
        engine = engines[name] = Engine(model, config)
        ids = [engine.load(weights) for weights in adapters] if pattern else []
        for row in range(rows):
            place = pattern[row % len(pattern)] if pattern else None
            adapter = None if place is None else ids[place % len(ids)]
            engine.add(request(model, steps + WARM_UP + 1, adapter))
        while len(engine.scheduler.rows) < rows:
            if not engine.has_work():
                raise SystemExit(f"--steps {steps} are over before all {rows} rows run; take more")
            engine.step()
    times: dict[str, list[float]] = {name: [] for name in engines}
    remaining = min(
        sequence.max_ids - len(sequence.ids)
        for engine in engines.values()
        for sequence in engine.scheduler.rows.sequences
    )
    for step in range(remaining):
        for name, engine in engines.items():
            started = time.perf_counter()
            engine.step()
            if step >= WARM_UP:
                times[name].append(time.perf_counter() - started)
    first = times["no adapter loaded"]
    return {
        name: {
            "seconds_min": min(seconds),
            "seconds_median": statistics.median(seconds),
            "rows_per_second": rows / statistics.median(seconds),
            "ratio": min(first) / min(seconds),
            "ratio_of_medians": statistics.median(first) / statistics.median(seconds),
        }
        for name, seconds in times.items()
    }


class Streams:
    """Readers that ask again and again, by the current version; when each token was made."""

    def __init__(self, thread: EngineThread, tokens: int) -> None:
        self.thread = thread
        self.tokens = tokens
        self.current: str | None = None
        self.stopped = False
        self.failed = 0
        self.gaps: list[tuple[float, float]] = []  # from one token of a stream to its next

    async def read(self) -> None:
        """One reader."""
        while not self.stopped:
            asked = request(self.thread.engine.model, self.tokens, self.current, 8)
            last: float | None = None
            async for event in self.thread.submit(asked):
                if event.token_id is not None:
                    if last is not None:
                        self.gaps.append((last, event.time))
                    last = event.time
                if event.finish_reason not in (None, "length"):
                    self.failed += 1


async def measure_swaps(
    model: Decoder, adapters: Sequence[AdapterWeights], num_streams: int, num_swaps: int
) -> dict[str, Any]:
    """Waits for tokens without and with swaps, and each swap's stall."""
    versions = adapters[:VERSIONS]
    with EngineThread(Engine(model, EngineConfig(max_rows=num_streams))) as thread:
        streams = Streams(thread, tokens=64)
        streams.current = await asyncio.to_thread(thread.load, versions[0])
        readers = [asyncio.create_task(streams.read()) for _ in range(num_streams)]
        await asyncio.sleep(0.2)
        nothing = await swap(streams, [versions[0]], num_swaps)
        quiet, streams.gaps = streams.gaps, []
        swaps = await swap(streams, versions, num_swaps)
        streams.stopped = True
        await asyncio.gather(*readers)
    usual = statistics.median(end - start for start, end in quiet)
    return {
        "stall_p99": quantiles(stalls(swaps, streams.gaps, usual)),
        "stall_of_nothing": quantiles(stalls(nothing, quiet, usual)),
        "wait_without_swaps": quantiles([end - start for start, end in quiet]),
        "wait_with_swaps": quantiles([end - start for start, end in streams.gaps]),
        "swap": quantiles([over - begin for begin, over in swaps]),
        "swaps": len(swaps),
        "failed": streams.failed,
    }


async def swap(
    streams: Streams, versions: Sequence[AdapterWeights], count: int
) -> list[tuple[float, float]]:
    """Point the streams at the next version again and again; when each swap began and was over."""
    swaps = []
    for number in range(1, count + 1):
        before = streams.current
        started = time.perf_counter()
        streams.current = await asyncio.to_thread(
            streams.thread.load, versions[number % len(versions)]
        )
        swaps.append((started, time.perf_counter()))
        if before is not None and before != streams.current:
            streams.thread.unload(before)
        await asyncio.sleep(0.02)
    return swaps


def stalls(
    swaps: Sequence[tuple[float, float]], gaps: Sequence[tuple[float, float]], usual: float
) -> list[float]:
    """By how much the longest wait for a token during each swap was longer than usual."""
    longest = (
        max((end - start for start, end in gaps if start < over and end > begin), default=0.0)
        for begin, over in swaps
    )
    return [max(0.0, wait - usual) for wait in longest]


async def measure_switching(
    model: Decoder, adapters: Sequence[AdapterWeights], count: int
) -> dict[str, Any]:
    """Seconds to make another adapter the one that answers, and to its first token."""

    async def first_token(thread: EngineThread, adapter: str | None) -> float:
        started = time.perf_counter()
        async for _ in thread.submit(request(model, 1, adapter)):
            pass
        return time.perf_counter() - started

    resident, disk, same, other = [], [], [], []
    versions = adapters[:VERSIONS]
    with (
        tempfile.TemporaryDirectory() as folder,
        EngineThread(Engine(model, EngineConfig(max_rows=2))) as thread,
    ):
        for number, weights in enumerate(versions):
            save_adapter(Path(folder) / str(number), weights, model.config, manifest={})
            thread.load(weights)
        for number in range(count):
            place = number % len(versions)
            started = time.perf_counter()
            id = thread.load(versions[place])
            resident.append(time.perf_counter() - started)
            other.append(await first_token(thread, id))
            same.append(await first_token(thread, id))
            thread.unload(id, None)
            started = time.perf_counter()
            thread.load(load_adapter(Path(folder) / str(place), base=thread.engine.base))
            disk.append(time.perf_counter() - started)
    return {
        "switch_resident": quantiles(resident),
        "switch_from_disk": quantiles(disk),
        "first_token_same_adapter": quantiles(same),
        "first_token_another_adapter": quantiles(other),
    }


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and largest."""
    ordered = sorted(seconds)
    return {
        "p50": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        "max": ordered[-1],
    }


if __name__ == "__main__":
    main()
