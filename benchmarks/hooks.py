"""What hooks cost the training loop: none, one that takes part in every moment, and strategies.

Runs of some steps follow each other in turn in one process, so that whatever else the machine does
hits all alike; each run's number is its median step, and a ratio is taken between neighbours. The
hook of every moment does nothing, so its cost is that of the contract. The strategies are in their
second task, where they have something to do. The last line of standard output is one JSON object.

    python benchmarks/hooks.py --threads 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nanohydra.continual.config import ContinualConfig
from nanohydra.continual.strategies import make
from nanohydra.continual.strategy import Lab
from nanohydra.continual.stream import Stream, Task
from nanohydra.core.log import summary_table
from nanohydra.core.runtime import RuntimeConfig, describe_machine, setup
from nanohydra.core.types import Batch
from nanohydra.data import Shards, ShardWriter
from nanohydra.model import Decoder, ModelConfig
from nanohydra.training import Hook, Moment, TrainConfig, train

LIMIT_PERCENT = 2.0
STRATEGIES = ("replay", "ewc", "lwf", "agem")


class Everywhere(Hook):
    """Takes part in every moment and does nothing."""

    def mix(self, batch: Batch, moment: Moment) -> Batch:
        """The batch as it is."""
        return batch

    def penalty(self, batch: Batch, moment: Moment) -> None:
        """Nothing."""

    def after_backward(self, moment: Moment) -> None:
        """Nothing."""

    def after_step(self, moment: Moment) -> None:
        """Nothing."""


def main() -> None:
    """Measure and print."""
    options = parse()
    runtime = setup(RuntimeConfig(device=options.device, threads=options.threads))
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        lab = make_lab(Path(folder), options, runtime)
        names = ["none", "every moment", *options.strategies]
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(options.turns):
            for name in names:
                times[name].append(step_ms(lab, name, turn))
    result = summary(times, options)
    summary_table("hooks", {k: v for k, v in result["table"].items()})
    print(json.dumps({**result, "machine": describe_machine()}))


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--steps", type=int, default=8, help="of a run, of which the first is left")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--strategies", nargs="*", default=list(STRATEGIES))
    return parser.parse_args()


def make_lab(folder: Path, options: argparse.Namespace, runtime: Any) -> Lab:
    """A model of the tiny recipe's shape, and two tasks of random tokens."""
    vocab = 2048
    tasks = []
    for number in range(2):
        generator = torch.Generator().manual_seed(number)
        with ShardWriter(folder / str(number), vocab_size=vocab, pad_id=0, fingerprint="") as out:
            for _ in range(64):
                ids = torch.randint(vocab, (513,), generator=generator).tolist()
                out.add(ids, [True] * len(ids))
        shards = {"random": Shards(folder / str(number))}
        tasks.append(Task(name=f"task{number}", train=shards, evaluation=()))
    heads = max(1, options.hidden // 64)
    shape = ModelConfig(
        vocab_size=vocab,
        hidden_size=options.hidden,
        num_layers=options.layers,
        num_heads=heads,
        num_kv_heads=max(1, heads // 2),
        max_seq_len=256,
    )
    model = Decoder(shape).to(runtime.device)
    config = TrainConfig(steps=options.steps, rows_per_step=8, row_length=256, optimizer="adamw")
    return Lab(
        model=model,
        base={name: p.detach().clone() for name, p in model.named_parameters()},
        stream=Stream(tasks=tuple(tasks)),
        config=ContinualConfig(train=config, adapter_train=config),
        runtime=runtime,
    )


def step_ms(lab: Lab, name: str, turn: int) -> float:
    """The median step of a run in milliseconds, without the first."""
    config = replace(lab.config.train, clip_norm=1.0)
    hooks: list[Hook] = [Everywhere()] if name == "every moment" else []
    if name not in ("none", "every moment"):
        strategy = make(name, lab)
        strategy.tasks = (0,)
        strategy.prepare()
        first = lab.loader((0,), batches=1, seed=turn)
        train(lab.model, first, replace(config, steps=1), runtime=lab.runtime, hooks=[strategy])
        strategy.conclude()
        strategy.tasks = (1,)
        strategy.prepare()
        hooks = [strategy]
    moments = []
    train(
        lab.model,
        lab.loader((1,), batches=config.num_steps, seed=turn),
        config,
        runtime=lab.runtime,
        hooks=hooks,
        on_step=lambda step, loss: moments.append(time.perf_counter()),
    )
    gaps = [1000 * (b - a) for a, b in zip(moments, moments[1:], strict=False)]
    return statistics.median(gaps)


def summary(times: dict[str, list[float]], options: argparse.Namespace) -> dict[str, Any]:
    """Medians, and the median ratio of each turn's run to the same turn's run without hooks."""
    plain = times["none"]
    percent = {
        name: 100 * (statistics.median(t / p for t, p in zip(found, plain, strict=True)) - 1)
        for name, found in times.items()
    }
    table: dict[str, object] = {"step without hooks": f"{statistics.median(plain):.2f} ms"}
    table |= {name: f"{value:+.2f} %" for name, value in percent.items() if name != "none"}
    return {
        "benchmark": "hooks",
        "shape": vars(options),
        "step_ms": {name: statistics.median(found) for name, found in times.items()},
        "overhead_percent": percent,
        "limit_percent": LIMIT_PERCENT,
        "met": percent["every moment"] <= LIMIT_PERCENT,
        "table": table,
    }


if __name__ == "__main__":
    main()
