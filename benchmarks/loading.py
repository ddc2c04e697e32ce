"""How fast packed rows are made: the loader against torch's DataLoader with packing in Python.

Both read the same memory-mapped records in shuffled order and give ids, labels, positions and
segments of the same shape. One process, one thread, CPU time, in turn, the minimum of the rounds.
The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nanohydra.core.types import IGNORE, Batch
from nanohydra.data import Loader, LoaderConfig, Shards, ShardWriter


class Records(Dataset[list[int]]):
    """The records as a map-style dataset, as torch's documentation shows it."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> list[int]:
        ids: list[int] = self.shards[index][0].tolist()
        return ids


def naive(shards: Shards, config: LoaderConfig) -> Iterator[Batch]:
    """Fill row after row with records as they come, cutting the last one of a row, in lists."""
    generator = torch.Generator().manual_seed(config.seed)
    loader = DataLoader(Records(shards), shuffle=True, batch_size=None, generator=generator)
    rows: list[tuple[list[int], list[int], list[int], list[int]]] = []
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    segments: list[int] = []
    for record in loader:
        rest = record
        while rest:
            room = config.row_length - len(ids)
            piece, rest = rest[:room], rest[room:]
            segment = segments[-1] + 1 if segments else 0
            ids += piece
            labels += [*piece[1:], IGNORE]
            positions += range(len(piece))
            segments += [segment] * len(piece)
            if len(ids) == config.row_length:
                rows.append((ids, labels, positions, segments))
                ids, labels, positions, segments = [], [], [], []
            if len(rows) == config.rows_per_batch:
                columns = [torch.tensor(column) for column in zip(*rows, strict=True)]
                yield Batch(
                    ids_BT=columns[0],
                    labels_BT=columns[1],
                    positions_BT=columns[2],
                    segments_BT=columns[3],
                )
                rows = []


def ours(shards: Shards, config: LoaderConfig) -> Iterator[Batch]:
    """The loader, crop packing."""
    return Loader({"records": shards}, config)


def write(folder: Path, *, num_records: int, mean_length: int) -> Shards:
    """Records of random ids, their lengths spread evenly around the mean."""
    random = np.random.default_rng(0)
    lengths = random.integers(mean_length // 2, mean_length + mean_length // 2 + 1, num_records)
    with ShardWriter(folder, vocab_size=8192, fingerprint="benchmark") as writer:
        for length in lengths:
            ids = random.integers(0, 8192, length).tolist()
            writer.add(ids, [False, *[True] * (int(length) - 1)])
    return Shards(folder)


def seconds(make: Callable[[], Iterator[Batch]], num_batches: int) -> float:
    """CPU time of a number of batches, the first one apart."""
    batches = make()
    next(batches)
    start = time.process_time()
    count = sum(batch.num_targets > 0 for batch in islice(batches, num_batches))
    elapsed = time.process_time() - start
    assert count == num_batches, "not enough records for so many batches"
    return elapsed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--mean-length", type=int, default=100)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = LoaderConfig(rows_per_batch=32, row_length=512, total_batches=options.batches + 1)
    tokens = options.batches * config.rows_per_batch * config.row_length
    with tempfile.TemporaryDirectory() as folder:
        shards = write(
            Path(folder) / "shards", num_records=options.records, mean_length=options.mean_length
        )
        best = {"nanohydra": float("inf"), "torch": float("inf")}
        for _ in range(options.rounds):
            for name, make in (("nanohydra", ours), ("torch", naive)):
                took = seconds(lambda make=make: make(shards, config), options.batches)
                best[name] = min(best[name], took)
    speed = {name: tokens / took for name, took in best.items()}
    for name, rate in speed.items():
        print(f"{name}: {rate:,.0f} tokens/s of CPU time")
    result = {
        "benchmark": "loading",
        "mean_document_tokens": options.mean_length,
        "tokens_per_second": round(speed["nanohydra"]),
        "torch_tokens_per_second": round(speed["torch"]),
        "ratio": round(speed["nanohydra"] / speed["torch"], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
