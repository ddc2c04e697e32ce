"""Tokens per second of pretraining: nanohydra's loop against transformers in a plain PyTorch loop.

The same Qwen3-style model with the same weights trains on the same batches in one process, one
step of each candidate in turn, so that whatever else the machine does hits all alike. The peer is
Qwen3ForCausalLM with PyTorch's default AdamW as people write it, in float32 and under bfloat16
autocast. It gains from the process's settings (no garbage collection, freed memory kept), which
only nanohydra's loop makes. The last line of standard output is one JSON object.

    python benchmarks/pretrain.py --threads 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch

from nanohydra.checkpoint import family_of
from nanohydra.core.log import summary_table
from nanohydra.core.runtime import Runtime, RuntimeConfig, describe_machine, setup
from nanohydra.core.types import IGNORE, Batch
from nanohydra.model import Decoder, ModelConfig
from nanohydra.training import TrainConfig, train

WARM_UP = 3  # steps that do not count
TOLERANCE = 2e-3  # of logits, to show that both are the same model


def main() -> None:
    """Measure and print."""
    options = parse()
    runtime = setup(RuntimeConfig(device=options.device, threads=options.threads))
    config = ModelConfig(
        vocab_size=options.vocab,
        hidden_size=options.width,
        num_layers=options.layers,
        num_heads=options.width // options.head,
        num_kv_heads=options.width // options.head,
        head_dim=options.head,
        max_seq_len=options.length,
    )
    batch = make_batch(options.rows, options.length, options.vocab)
    result: dict[str, Any] = {
        "benchmark": "pretrain",
        "shape": {**vars(options), "parameters": count_parameters(Decoder(config))},
        "logit_difference": compare_logits(config, batch, runtime),
    }
    for optimizer in ("adamw", "muon"):
        times = measure(config, batch, runtime, optimizer, options.steps)
        result[optimizer] = summarize(times, batch.ids_BT.numel())
    result["machine"] = describe_machine()
    for optimizer in ("adamw", "muon"):
        rows = [
            (name, f"{s['tokens_per_second']:,.0f} tokens/s", f"{s['ratio']:.2f}x by the minimum",
             f"{s['ratio_of_medians']:.2f}x by the median")
            for name, s in result[optimizer].items()
        ]  # fmt: skip
        summary_table(f"nanohydra with {optimizer} against each", rows)
    print(json.dumps(result))


def parse() -> argparse.Namespace:
    """Shape and length of the measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    defaults = {
        **{"layers": 4, "width": 256, "head": 64, "vocab": 2048, "rows": 16, "length": 256},
        **{"steps": 20, "threads": 0},
    }
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def make_batch(rows: int, length: int, vocab: int) -> Batch:
    """Rows of one sequence each, every place a target but the last."""
    ids = torch.randint(0, vocab, (rows, length))
    labels = torch.full_like(ids, IGNORE)
    labels[:, :-1] = ids[:, 1:]
    return Batch(
        ids_BT=ids,
        labels_BT=labels,
        positions_BT=torch.arange(length).expand(rows, length),
        segments_BT=torch.zeros_like(ids),
    )


def make_pair(config: ModelConfig, device: str) -> tuple[Decoder, Any]:
    """Our model and transformers' with the same weights, in float32."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    ours = Decoder(config)
    family = family_of(config)
    theirs = Qwen3ForCausalLM(Qwen3Config(**family.to_hf(config)))
    tensors = family.export_tensors(config, ours.state_dict())
    theirs.load_state_dict(tensors, strict=False)
    theirs.tie_weights()
    return ours.to(device), theirs.to(device)


def compare_logits(config: ModelConfig, batch: Batch, runtime: Runtime) -> float:
    """The largest difference of logits in float32, which shows that the work is the same."""
    ours, theirs = make_pair(config, runtime.device)
    ids = batch.ids_BT[:2].to(runtime.device)
    with torch.no_grad():
        difference = float((ours(ids) - theirs(input_ids=ids).logits).abs().max())
    assert difference < TOLERANCE, f"not the same model: logits differ by {difference}"
    return difference


def peer_step(model: Any, batch: Batch, device: str, *, autocast: bool) -> Callable[[], None]:
    """One step of a plain PyTorch training loop."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)

    def step() -> None:
        ids = batch.ids_BT.to(device)
        context = torch.autocast(device.partition(":")[0], torch.bfloat16)
        with context if autocast else nullcontext():
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return step


class Repeat:
    """The same batch for ever."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self.batch

    def state_dict(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def load_state_dict(self, state: object) -> None:
        """Nothing to restore."""


def measure(
    config: ModelConfig, batch: Batch, runtime: Runtime, optimizer: Any, steps: int
) -> dict[str, list[float]]:
    """Seconds of each counted step of each candidate."""
    ours, fp32 = make_pair(config, runtime.device)
    _, mixed = make_pair(config, runtime.device)
    peers = {
        "transformers float32": peer_step(fp32, batch, runtime.device, autocast=False),
        "transformers bf16 autocast": peer_step(mixed, batch, runtime.device, autocast=True),
    }
    times: dict[str, list[float]] = {"nanohydra": [], **{name: [] for name in peers}}
    started = time.perf_counter()

    def after_our_step(step: int, loss: float) -> None:
        nonlocal started
        ends = {"nanohydra": time.perf_counter() - started}
        for name, run in peers.items():
            started = time.perf_counter()
            run()
            ends[name] = time.perf_counter() - started
        if step > WARM_UP:
            for name, seconds in ends.items():
                times[name].append(seconds)
        started = time.perf_counter()

    rows, length = batch.ids_BT.shape
    training = TrainConfig(
        steps=steps + WARM_UP,
        rows_per_step=rows,
        row_length=length,
        optimizer=optimizer,
        lr=3e-4,
        log_every=steps + WARM_UP,
    )
    train(ours, Repeat(batch), training, runtime=runtime, on_step=after_our_step)
    return times


def summarize(times: dict[str, list[float]], tokens: int) -> dict[str, dict[str, float]]:
    """Speeds, and how many times faster nanohydra is than each and than the faster peer."""
    best = {name: min(seconds) for name, seconds in times.items()}
    middle = {name: statistics.median(seconds) for name, seconds in times.items()}
    summary = {
        name: {
            "seconds_min": best[name],
            "seconds_median": middle[name],
            "tokens_per_second": tokens / middle[name],
            "ratio": best[name] / best["nanohydra"],
            "ratio_of_medians": middle[name] / middle["nanohydra"],
        }
        for name in times
    }
    faster = min((name for name in times if name != "nanohydra"), key=lambda name: middle[name])
    return {**summary, "the faster peer": summary[faster]}


def count_parameters(model: torch.nn.Module) -> int:
    """Tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    main()
