"""Weights of 8 and 4 bits beside stored ones: decoding one row, reading, memory, perplexity.

Speed: random Llama-like models of about 100M and 500M parameters, both in this process, in turns,
the fastest of the rounds. Memory: a fresh process each, the highest resident set less what it had
before. Perplexity: models and texts that are named, under the protocol of `nanohydra eval`, for
stored weights, int8 and int4, in float32 and bfloat16. The last line of standard output is one JSON
object.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from open_models import best_seconds, decode_here, highest_memory, write_folder, write_model

from nanohydra.checkpoint import load, load_model
from nanohydra.engine import Engine, EngineConfig
from nanohydra.eval import score_documents
from nanohydra.model import Decoder, ModelConfig

KINDS = ("stored", "int8", "int4")
PROMPT = tuple(range(100, 116))


@torch.inference_mode()
def compare_speed(folder: Path, num_tokens: int, rounds: int) -> dict[str, Any]:
    """Tokens per second while decoding one row, and while reading 128 and 512 tokens."""
    models = {kind: load_model(folder, weights=kind) for kind in KINDS}
    config = EngineConfig(max_rows=1, max_length=512, prefix_caching=False)
    engines = {kind: Engine(model, config) for kind, model in models.items()}
    best = dict.fromkeys(KINDS, math.inf)
    reading = {(kind, length): math.inf for length in (128, 512) for kind in KINDS}
    for _ in range(rounds):
        for kind, engine in engines.items():
            decode = partial(decode_here, engine, PROMPT)
            best[kind] = best_seconds(decode, num_tokens, best[kind])
        for kind, length in reading:
            reading[kind, length] = min(reading[kind, length], read(models[kind], length))
    result: dict[str, Any] = {}
    for kind in KINDS:
        result[kind] = {"tokens_per_second": round((num_tokens - 1) / best[kind], 2)}
        for length in (128, 512):
            speed = length / reading[kind, length]
            result[kind][f"reading_{length}_tokens_per_second"] = round(speed, 1)
    for kind in KINDS[1:]:
        result[f"{kind} / stored"] = round(best["stored"] / best[kind], 3)
    print(f"{folder.name}: {result}")
    return result


def read(model: Decoder, length: int) -> float:
    """Seconds of one pass over so many tokens, without the head."""
    ids_BT = torch.arange(length)[None]
    start = time.perf_counter()
    model.hidden(ids_BT)
    return time.perf_counter() - start


def memory_of(folder: Path, kind: str) -> int:
    """Bytes that loading takes at its highest, in a fresh process."""
    words = [sys.executable, __file__, "--child", str(folder), "--weights", kind]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return int(output.splitlines()[-1])


def measure_memory(folder: Path, kind: str) -> int:
    """The same in this process, with one token, for which every weight is read."""
    tiny = ModelConfig(
        vocab_size=16, hidden_size=16, num_layers=1, num_heads=1, num_kv_heads=1, qk_norm=False
    )
    with tempfile.TemporaryDirectory() as root:  # what any first load brings along
        write_folder(Path(root) / "tiny", tiny)
        load_and_run(Path(root) / "tiny", kind)
    before = highest_memory()
    load_and_run(folder, kind)
    return highest_memory() - before


@torch.inference_mode()
def load_and_run(folder: Path, kind: str) -> None:
    """Load a model and give it one token."""
    load_model(folder, weights=kind)(torch.arange(1)[None])


def compare_perplexity(folder: Path, texts: list[str], row_length: int) -> dict[str, Any]:
    """Perplexity of the texts with each kind of weights."""
    result: dict[str, Any] = {}
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    for (dtype_name, dtype), kind in itertools.product(dtypes.items(), KINDS):
        loaded = load(folder, dtype=dtype, weights=kind)
        length = min(row_length, loaded.config.max_seq_len)
        measured = score_documents(
            loaded.model, loaded.tokenizer, texts, row_length=length, stride=length // 2
        )
        exact = result.setdefault(dtype_name, round(measured.perplexity, 5))
        if kind != "stored":
            result[f"{dtype_name}_{kind}"] = round(measured.perplexity, 5)
            change = 100 * (measured.perplexity / exact - 1)
            result[f"{dtype_name}_{kind}_change_percent"] = round(change, 4)
    print(f"{folder}: {result}")
    return result


def read_texts(path: Path, count: int, characters: int) -> list[str]:
    """The first documents of a .txt or .jsonl file, packed or not; a text file is one document."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        if ".jsonl" in path.name:
            return [json.loads(line)["text"] for line, _ in zip(file, range(count), strict=False)]
        return [file.read(characters)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--sizes", default="100M,500M", help="empty: none")
    parser.add_argument("--models", default="", help="folders for perplexity, commas between")
    parser.add_argument("--texts", default="", help="files for perplexity, commas between")
    parser.add_argument("--documents", type=int, default=300, help="of each JSONL file")
    parser.add_argument("--characters", type=int, default=2**40, help="of each text file")
    parser.add_argument("--row-length", type=int, default=512)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.child:
        print(measure_memory(options.child, options.weights))
        return
    result: dict[str, Any] = {"benchmark": "weights", "threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as root:
        for size in filter(None, options.sizes.split(",")):
            folder = Path(root) / size
            num_bytes = write_model(folder, size)
            result[size] = compare_speed(folder, options.tokens, options.rounds)
            for kind in KINDS:
                peak = memory_of(folder, kind) / num_bytes
                result[size][kind]["peak_over_bfloat16_weights"] = round(peak, 3)
            print(f"{size}: {result[size]}")
    for model in filter(None, options.models.split(",")):
        for text in filter(None, options.texts.split(",")):
            texts = read_texts(Path(text), options.documents, options.characters)
            key = f"perplexity of {model} on {Path(text).name}"
            result[key] = compare_perplexity(Path(model), texts, options.row_length)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
