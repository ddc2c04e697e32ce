"""Decoding beside transformers and llama.cpp, in one process, the candidates in turn.

Random Llama-like models of about 100M and 500M parameters (`open_models.py`), our own exporter's
GGUF files of the same weights, and a random model of the recipe `tiny`. Every candidate decodes
greedily and never stops early; it gets the fastest of its rounds. What counts as one stream's
speed is the time after its first token. The ceiling is the speed at which this machine reads a
buffer as large as the weights, in the same process. Absent peers are left out, with a note.

    python benchmarks/decode.py                          everything, minutes
    python benchmarks/decode.py --parts tiny,one --sizes 100M --models /tmp/models

The last line of standard output is one JSON object. `OMP_WAIT_POLICY` is left as it is found, and
is named in it: `passive`, which `nanohydra serve` runs with to leave room for a learner, slows
both peers down by 2 to 3 times here, so a fair comparison leaves it unset.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from adapters import make_adapter
from open_models import SIZES, write_model
from peers import LlamaCpp, Ours, Prompt, Times, Transformers, drive, survives_extra

from nanohydra.checkpoint import load_model
from nanohydra.checkpoint.gguf import write_gguf
from nanohydra.core.log import summary_table
from nanohydra.core.runtime import RuntimeConfig, describe_machine, setup
from nanohydra.engine import Engine, EngineConfig
from nanohydra.kernels.bandwidth import read_bandwidth
from nanohydra.model import Decoder
from nanohydra.model.quantised import num_bytes as num_bytes_of
from nanohydra.recipe import load_recipe
from nanohydra.tokenizer import Tokenizer

PARTS = ("one", "batch", "tiny", "prefix", "adapters")
SLOTS, SHORT, LONG = 16, 16, 1000
GGUF = {"F16": "f16", "Q8_0": "q8_0", "Q4_0": "q4_0"}
KINDS = {"bf16": "stored", "int8": "int8", "int4": "int4"}
PEERS = {"bf16": "F16", "int8": "Q8_0", "int4": "Q4_0"}  # of as many bits, or nearly
_seeds = itertools.count()


def main() -> None:
    """Measure and print."""
    options = parse()
    setup(RuntimeConfig(device="cpu", threads=options.threads))
    result: dict[str, Any] = {
        "benchmark": "decode",
        "machine": describe_machine(),
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "rounds": options.rounds,
        "notes": [],
    }
    with contextlib.ExitStack() as stack:
        root = options.models or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parts = options.parts.split(",")
        if "tiny" in parts:
            result["tiny"] = measure_tiny(options)
        for size in options.sizes.split(","):
            if set(parts) & {"one", "batch", "prefix", "adapters"}:
                folder = prepare(root, size)
            if "one" in parts:
                result[f"one_{size}"] = measure_one(folder, options, result["notes"])
        folder = root / options.sizes.split(",")[0]
        if "batch" in parts:
            result["batch"] = measure_batch(folder, options, result["notes"])
        if "prefix" in parts:
            result["prefix"] = measure_prefix(load_model(folder), options.rounds)
        if "adapters" in parts:
            result["adapters"] = measure_adapters(load_model(folder), options)
    print(json.dumps(result))


def parse() -> argparse.Namespace:
    """What to measure and for how long."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48, help="that one stream decodes")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--models", type=Path, help="a folder that keeps the models for the next")
    options = parser.parse_args()
    unknown = set(options.parts.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {sorted(unknown)[0]!r}; there are {', '.join(PARTS)}")
    return options


def prepare(root: Path, size: str) -> Path:
    """The folder of a random model, with GGUF files beside it where they can be written."""
    folder = root / size
    if not folder.exists():
        print(f"writing {size}", flush=True)
        write_model(folder, size)
    if importlib.util.find_spec("gguf") and importlib.util.find_spec("llama_cpp"):
        tokenizer = Tokenizer.train(["what it says does not matter " * 4], vocab_size=280)
        for name, type in GGUF.items():
            path = root / f"{size}-{name}.gguf"
            if not path.exists():
                write_gguf(path, load_model(folder), tokenizer, name="random", type=type)
    return folder


def prompts(count: int, length: int, vocab: int = 32000) -> list[Prompt]:
    """Texts of random ids that nobody has asked before."""
    generator = torch.Generator().manual_seed(next(_seeds))
    return torch.randint(10, vocab, (count, length), generator=generator).tolist()


def engine_of(model: Decoder, rows: int, length: int) -> Ours:
    """Our engine for so many rows of so many tokens."""
    return Ours(Engine(model, EngineConfig(max_rows=rows, max_length=length)))


Runner = Callable[[Sequence[Prompt], int], Times]


def runner(batcher: Any) -> Runner:
    """What runs prompts on a batcher."""
    return lambda given, count: drive(batcher, given, count)


@contextlib.contextmanager
def candidates(
    folder: Path, rows: int, length: int, notes: list[str]
) -> Iterator[Mapping[str, Runner]]:
    """Everything that decodes this model, by name, loaded."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Runner] = {}
        for name, kind in KINDS.items():
            found[f"ours {name}"] = runner(
                engine_of(load_model(folder, weights=kind), rows, length)
            )
        if importlib.util.find_spec("transformers"):
            found["transformers bf16"] = Transformers(folder).run
        else:
            note(notes, "transformers is not installed")
        for name in GGUF:
            path = folder.parent / f"{folder.name}-{name}.gguf"
            if not path.exists():
                note(notes, "llama-cpp-python or gguf is not installed")
                continue
            extra = survives_extra(path)
            if not extra:
                note(notes, f"llama.cpp's own buffers for this processor: it crashes with {name}")
            threads = torch.get_num_threads()
            theirs = LlamaCpp(path, slots=rows, max_length=length, threads=threads, extra=extra)
            stack.callback(theirs.close)
            found[f"llama.cpp {name}"] = runner(theirs)
        yield found


def note(notes: list[str], text: str) -> None:
    """Say once what was left out."""
    if text not in notes:
        notes.append(text)
        print(f"left out: {text}", flush=True)


def measure_one(folder: Path, options: argparse.Namespace, notes: list[str]) -> dict[str, Any]:
    """One stream by every candidate, and how near each is to reading its weights at full speed."""
    whole = load_model(folder)
    num_bytes = {kind: weight_bytes(whole, kind) for kind in KINDS}
    num_bytes |= {PEERS[kind]: num_bytes[kind] for kind in KINDS}  # theirs has larger scales
    del whole
    best: dict[str, float] = {}
    ceiling = dict.fromkeys(set(num_bytes.values()), 0.0)
    with candidates(folder, 1, SHORT + options.tokens + 1, notes) as found:
        for run in found.values():
            run(prompts(1, SHORT), 4)
        for _ in range(options.rounds):
            for size in ceiling:  # caches hold more of the smaller one
                ceiling[size] = max(ceiling[size], read_bandwidth(size, rounds=3))
            (prompt,) = prompts(1, SHORT)
            for name, run in found.items():
                best[name] = max(best.get(name, 0.0), run([prompt], options.tokens).decoding)
    speeds = {kind: round(ceiling[num_bytes[kind]] / 1e9, 2) for kind in KINDS}
    result: dict[str, Any] = {"read_gigabytes_per_second": speeds}
    rows = []
    for name, speed in best.items():
        size = num_bytes[name.split()[-1]]
        share = speed * size / ceiling[size]
        result[name] = {"tokens_per_second": round(speed, 2), "share_of_ceiling": round(share, 3)}
        rows.append((name, f"{speed:.1f} tokens/s", f"{share:.0%} of reading the weights"))
    for kind in KINDS:
        for other in ("transformers bf16", f"llama.cpp {PEERS[kind]}"):
            if other in best:
                ratio = best[f"ours {kind}"] / best[other]
                result[f"{kind} / {other}"] = round(ratio, 3)
                rows.append((f"ours {kind} / {other}", f"{ratio:.2f} times", ""))
    summary_table(f"{folder.name}, 1 stream", rows)
    return result


def weight_bytes(model: Decoder, kind: str) -> int:
    """Bytes that each token reads: all weights but the embedding's other rows."""
    embed = 0 if model.config.tie_embeddings else model.embed.weight.nbytes
    if kind != "bf16":
        return num_bytes_of(model.config, model.dtype, kind) - embed
    return sum(parameter.nbytes for parameter in model.parameters()) - embed


def measure_batch(
    folder: Path, options: argparse.Namespace, notes: list[str], length: int = 128
) -> dict[str, Any]:
    """16 prompts at once, each read and answered: tokens per second of all of it."""
    best: dict[str, float] = {}
    decoding: dict[str, float] = {}
    with candidates(folder, SLOTS, 2 * length, notes) as found:
        for run in found.values():
            run(prompts(SLOTS, length), 4)
        for _ in range(options.rounds):
            asked = prompts(SLOTS, length)
            for name, run in found.items():
                times = run(asked, length)
                best[name] = max(best.get(name, 0.0), times.tokens_per_second)
                decoding[name] = max(decoding.get(name, 0.0), times.decoding)
    ours = max(best[f"ours {kind}"] for kind in KINDS)
    result: dict[str, Any] = {
        name: {
            "tokens_per_second": round(speed, 1),
            "decoding_tokens_per_second": round(decoding[name], 1),
            "bf16_over_it": round(best["ours bf16"] / speed, 3),
            "best_over_it": round(ours / speed, 3),
        }
        for name, speed in best.items()
    }
    rows = [
        (name, f"{speed:.0f} tokens/s", f"bf16 is {best['ours bf16'] / speed:.2f} times it")
        for name, speed in best.items()
    ]
    summary_table(f"{folder.name}, {SLOTS} streams, {length} in and {length} out", rows)
    return result


def tiny_model() -> Decoder:
    """A random model of the recipe `tiny`, in bfloat16."""
    config = load_recipe("tiny", []).model
    torch.manual_seed(0)
    return Decoder(config).to(torch.bfloat16).eval()


def measure_tiny(options: argparse.Namespace) -> dict[str, Any]:
    """The smallest model, where everything but memory counts."""
    model = tiny_model()
    vocab, count = model.config.vocab_size, 256
    engines = {rows: engine_of(model, rows, 512) for rows in (1, SLOTS)}
    best = dict.fromkeys(engines, 0.0)
    for _ in range(2 * options.rounds):
        for rows, engine in engines.items():
            asked = prompts(rows, SHORT, vocab)
            best[rows] = max(best[rows], drive(engine, asked, count).decoding)
    table = {f"{rows} stream(s)": f"{speed:,.0f} tokens/s" for rows, speed in best.items()}
    summary_table("tiny", table)
    return {f"tokens_per_second_{rows}": round(speed, 1) for rows, speed in best.items()}


def measure_prefix(model: Decoder, rounds: int) -> dict[str, Any]:
    """Time to the first token of a second prompt that begins as the first did."""
    ours = engine_of(model, 2, LONG + 2 * SHORT)
    firsts, seconds = [], []
    drive(ours, prompts(1, SHORT), 2)
    for _ in range(rounds):
        (shared,) = prompts(1, LONG)
        for times in (firsts, seconds):
            (own,) = prompts(1, SHORT)
            times.append(drive(ours, [[*shared, *own]], 2).first[0])
    first, second = statistics.median(firsts), statistics.median(seconds)
    share = second / first
    rows = {"first": f"{first * 1e3:.1f} ms", "second": f"{second * 1e3:.1f} ms, {share:.1%}"}
    summary_table(f"first token, {LONG} shared tokens", rows)
    return {"first_seconds": first, "second_seconds": second, "share": round(share, 4)}


def measure_adapters(model: Decoder, options: argparse.Namespace) -> dict[str, Any]:
    """16 rows with 8 adapters among them, beside the same rows without."""
    kinds = {"base": 0, "8 adapters": 8}
    engines = {name: engine_of(model, SLOTS, 256) for name in kinds}
    for name, count in kinds.items():
        engine = engines[name].engine
        made = [make_adapter(model, engine.base, 8, seed) for seed in range(count)]
        engines[name].adapters = [engine.load(weights) for weights in made] or [None]
    best = dict.fromkeys(kinds, 0.0)
    for _ in range(2 * options.rounds):
        asked = prompts(SLOTS, 8, model.config.vocab_size)
        for name, engine in engines.items():
            best[name] = max(best[name], drive(engine, asked, 48).decoding)
    slower = best["base"] / best["8 adapters"] - 1
    rows = [(name, f"{speed:.0f} tokens/s") for name, speed in best.items()]
    summary_table("8 adapters of rank 8 in 16 rows", [*rows, ("slower by", f"{slower:.1%}")])
    return {**{n: round(s, 1) for n, s in best.items()}, "slower_by": round(slower, 4)}


if __name__ == "__main__":
    main()
