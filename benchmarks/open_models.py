"""Open models here and in transformers: time and memory of loading, decoding, perplexity.

Random Llama-like models of about 100M and 500M parameters are written to a temporary folder in
bfloat16. Each is loaded in a fresh process, here and there in turn; decoding at batch 1 runs in
one process, in turn, the fastest of the rounds. Memory is the highest resident set less what the
process had before it loaded. The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.checkpoint import family_of, load_model
from nanohydra.checkpoint.weights import WEIGHTS, write_tensors
from nanohydra.core.files import write_json
from nanohydra.engine import Engine, EngineConfig, Request, SamplingParams
from nanohydra.model import Decoder, ModelConfig

COMMON: dict[str, Any] = {
    "vocab_size": 32000,
    "qk_norm": False,
    "tie_embeddings": False,
    "head_dim": 64,
    "max_seq_len": 8192,
}
SIZES = {
    "100M": {"hidden_size": 640, "num_layers": 14, "num_heads": 10, "num_kv_heads": 2},
    "500M": {"hidden_size": 1280, "num_layers": 20, "num_heads": 20, "num_kv_heads": 4},
}
INNER = {"100M": 1792, "500M": 4480}
PROMPT = 16
HERE, THERE = "nanohydra", "transformers"


def write_model(folder: Path, size: str) -> int:
    """A random model of a size; its bytes."""
    return write_folder(folder, ModelConfig(**COMMON, **SIZES[size], intermediate_size=INNER[size]))


def write_folder(folder: Path, config: ModelConfig) -> int:
    """A random model in bfloat16; its bytes."""
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in Decoder(config).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        scale = 0.05 if "norm" in name else shape[-1] ** -0.5
        state[name] = (noise * scale + ("norm" in name)).bfloat16()
    family = family_of(config)
    folder.mkdir(parents=True)
    head = {"architectures": [family.architecture], "model_type": family.model_type}
    write_json(folder / "config.json", {**head, **family.to_hf(config), "torch_dtype": "bfloat16"})
    write_tensors(folder / WEIGHTS, family.export_tensors(config, state))
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())


def load(folder: Path, where: str, dtype: torch.dtype) -> Any:
    """The model, ready to run."""
    if where == HERE:
        return load_model(folder, dtype=dtype)
    import transformers

    transformers.logging.disable_progress_bar()
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


@torch.inference_mode()
def logits_of(model: Any, ids_BT: Tensor) -> Tensor:
    """The logits of either program's model."""
    result = model(ids_BT)
    return result if isinstance(result, Tensor) else result.logits


def measure_loading(folder: Path, where: str, dtype: torch.dtype) -> dict[str, float]:
    """In this process: seconds until the model is there and has run once, and memory."""
    if where == THERE:
        importlib.import_module("transformers.models.llama.modeling_llama")
    ids_BT = torch.arange(8)[None]
    tiny = ModelConfig(
        vocab_size=16, hidden_size=16, num_layers=1, num_heads=1, num_kv_heads=1, qk_norm=False
    )
    with tempfile.TemporaryDirectory() as folder_of_tiny:  # what any first load brings along
        write_folder(Path(folder_of_tiny) / "tiny", tiny)
        logits_of(load(Path(folder_of_tiny) / "tiny", where, dtype), ids_BT)
    before = highest_memory()
    start = time.perf_counter()
    model = load(folder, where, dtype)
    loaded = time.perf_counter() - start
    logits_of(model, ids_BT)
    seconds = time.perf_counter() - start
    return {"load": loaded, "ready": seconds, "memory": highest_memory() - before}


def highest_memory() -> int:
    """Bytes of the highest resident set; getrusage would count the parent's, too."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def in_a_process(folder: Path, where: str, dtype: str) -> dict[str, float]:
    """The same in a fresh one."""
    words = [sys.executable, __file__, "--child", str(folder), "--where", where, "--dtype", dtype]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(output.splitlines()[-1]))


def compare_loading(folder: Path, num_bytes: int, rounds: int) -> dict[str, Any]:
    """Best times and least memory of both, in the file's dtype and cast to float32."""
    result: dict[str, Any] = {}
    for dtype, factor in (("bfloat16", 1), ("float32", 2)):
        best: dict[str, dict[str, float]] = {}
        for _ in range(rounds):
            for where in (HERE, THERE):
                measured = in_a_process(folder, where, dtype)
                old = best.get(where, measured)
                best[where] = {key: min(old[key], measured[key]) for key in measured}
        for where, numbers in best.items():
            ratio = numbers["memory"] / (num_bytes * factor)
            print(
                f"load {dtype:8} {where:12}: {numbers['load']:.2f} s, after a first pass "
                f"{numbers['ready']:.2f} s, peak {ratio:.2f} times the weights"
            )
            result[f"{dtype}_{where}"] = {
                "load_seconds": round(numbers["load"], 3),
                "ready_seconds": round(numbers["ready"], 3),
                "peak_over_weights": round(ratio, 3),
            }
    return result


def decode_here(engine: Engine, prompt: tuple[int, ...], num_tokens: int) -> list[int]:
    """Greedy tokens from the engine."""
    params = SamplingParams(temperature=0.0, max_tokens=num_tokens)
    engine.add(Request(id="r", prompt_ids=prompt, params=params))
    ids: list[int] = []
    while engine.has_work():
        ids += [event.token_id for event in engine.step() if event.token_id is not None]
    assert len(ids) == num_tokens
    return ids


def decode_there(model: Any, prompt: tuple[int, ...], num_tokens: int) -> list[int]:
    """Greedy tokens from `generate`."""
    ids_BT = torch.tensor([prompt])
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        written = model.generate(
            ids_BT,
            attention_mask=torch.ones_like(ids_BT),
            do_sample=False,
            min_new_tokens=num_tokens,
            max_new_tokens=num_tokens,
            pad_token_id=0,
        )
    assert written.shape[1] == len(prompt) + num_tokens
    return list(written[0, len(prompt) :].tolist())


def best_seconds(call: Callable[[int], object], num_tokens: int, best: float) -> float:
    """Wall time of the tokens after the first, if it is the least so far."""
    start = time.perf_counter()
    call(1)
    first = time.perf_counter()
    call(num_tokens)
    return min(best, (time.perf_counter() - first) - (first - start))


def compare_decoding(folder: Path, num_tokens: int, rounds: int) -> dict[str, Any]:
    """Tokens per second of both in bfloat16, in turn."""
    config = EngineConfig(max_rows=1, max_length=512, prefix_caching=False)
    engine = Engine(load(folder, HERE, torch.bfloat16), config)
    theirs = load(folder, THERE, torch.bfloat16)
    prompt = tuple(range(100, 100 + PROMPT))
    calls: dict[str, Callable[[int], list[int]]] = {
        HERE: lambda count: decode_here(engine, prompt, count),
        THERE: lambda count: decode_there(theirs, prompt, count),
    }
    best = dict.fromkeys(calls, math.inf)
    written = {where: call(8) for where, call in calls.items()}
    for _ in range(rounds):
        for where, call in calls.items():
            best[where] = best_seconds(call, num_tokens, best[where])
    speed = {where: (num_tokens - 1) / seconds for where, seconds in best.items()}
    ratio = speed[HERE] / speed[THERE]
    equal = written[HERE] == written[THERE]
    print(
        f"decode {folder.name}: {speed[HERE]:.1f} tokens/s here, {speed[THERE]:.1f} in "
        f"transformers, {ratio:.2f} times; first 8 tokens {'equal' if equal else 'differ'}"
    )
    return {
        "tokens_per_second": round(speed[HERE], 2),
        "transformers_tokens_per_second": round(speed[THERE], 2),
        "ratio": round(ratio, 2),
    }


def compare_perplexity(folder: Path, length: int) -> dict[str, Any]:
    """Perplexity of the same random ids in float32, which both must agree on."""
    ids_BT = torch.randint(32000, (2, length), generator=torch.Generator().manual_seed(1))
    result = {}
    for where in (HERE, THERE):
        logits = logits_of(load(folder, where, torch.float32), ids_BT)[:, :-1]
        loss = F.cross_entropy(logits.flatten(0, 1).float(), ids_BT[:, 1:].flatten())
        result[where] = math.exp(float(loss))
    digits = {where: f"{value:.4g}" for where, value in result.items()}
    print(f"perplexity {folder.name}: {result[HERE]:.4f} here, {result[THERE]:.4f} there")
    return {**result, "equal_to_4_digits": digits[HERE] == digits[THERE]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--length", type=int, default=256, help="of the perplexity's texts")
    parser.add_argument("--sizes", default="100M,500M")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--where", help=argparse.SUPPRESS)
    parser.add_argument("--dtype", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.child:
        measured = measure_loading(options.child, options.where, getattr(torch, options.dtype))
        print(json.dumps(measured))
        return
    sizes = options.sizes.split(",")
    result: dict[str, Any] = {"benchmark": "open_models", "threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as root:
        for size in sizes:
            num_bytes = write_model(Path(root) / size, size)
            print(f"{size}: {num_bytes / 2**30:.2f} GiB of weights")
            if size == sizes[-1]:
                result["loading"] = compare_loading(Path(root) / size, num_bytes, options.rounds)
            result[f"decode_{size}"] = compare_decoding(
                Path(root) / size, options.tokens, options.rounds
            )
        result["perplexity"] = compare_perplexity(Path(root) / sizes[0], options.length)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
