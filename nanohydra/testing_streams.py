"""Small fakes for tests, also of extensions that live elsewhere: a toy stream in a tiny model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from nanohydra.adapters import LoraConfig
from nanohydra.continual.config import ContinualConfig
from nanohydra.continual.strategy import Lab
from nanohydra.continual.stream import Stream, Task
from nanohydra.core.runtime import Runtime
from nanohydra.data import Loader, LoaderConfig, Shards, ShardWriter
from nanohydra.model import Decoder, ModelConfig
from nanohydra.training import TrainConfig

VOCAB, ROWS, LENGTH = 32, 4, 16


def toy_stream(folder: Path, *, num_tasks: int = 3, records: int = 24) -> Stream:
    """Tasks that contradict each other: each counts on by a step of its own."""
    rows = LoaderConfig(rows_per_batch=ROWS, row_length=LENGTH, packing="crop")
    tasks = []
    for number in range(num_tasks):
        shards = {}
        for split, first in (("train", 0), ("valid", 1)):
            place = folder / f"{number}-{split}"
            if not place.exists():
                generator = torch.Generator().manual_seed(2 * number + first)
                with ShardWriter(place, vocab_size=VOCAB, pad_id=0, fingerprint="toy") as writer:
                    for _ in range(records):
                        start = int(torch.randint(VOCAB - 2, (), generator=generator))
                        ids = [2 + (start + (number + 1) * k) % (VOCAB - 2) for k in range(LENGTH)]
                        writer.add([1, *ids], [False, *(True for _ in ids)])
            shards[split] = Shards(place)
        tasks.append(
            Task(
                name=f"count{number + 1}",
                train={"toy": shards["train"]},
                evaluation=tuple(islice(Loader({"toy": shards["valid"]}, rows), 4)),
            )
        )
    return Stream(tasks=tuple(tasks))


def toy_lab(
    stream: Stream,
    *,
    steps: int = 8,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Lab:
    """A tiny model and a configuration of a few steps a task, on one thread's worth of work."""
    torch.manual_seed(7)
    shape = ModelConfig(
        vocab_size=VOCAB, hidden_size=16, num_layers=2, num_heads=2, num_kv_heads=1, max_seq_len=64
    )
    model = Decoder(shape)
    full = TrainConfig(
        steps=steps, rows_per_step=ROWS, row_length=LENGTH, optimizer="adamw", lr=1e-2,
        warmup_steps=2, eps=1e-8, log_every=4,
    )  # fmt: skip
    config = ContinualConfig(
        train=full,
        adapter_train=replace(full, lr=2e-2),
        adapter=LoraConfig(rank=4, alpha=8),
        eval_batches=4,
        options=options or {},
    )
    return Lab(
        model=model,
        base={name: p.detach().clone() for name, p in model.named_parameters()},
        stream=stream,
        config=config,
        runtime=Runtime(device="cpu", dtype=dtype, threads=1),
        seed=seed,
        prefix=(1,),
    )
