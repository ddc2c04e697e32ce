"""Decoding on a GPU from recorded graphs: launching operations takes longer than they do.

A graph is recorded once for so many rows and blocks, and replayed on new numbers in
the same memory. Batches between two sizes are padded: rows by ones that write into block 0, tables
by zeros, which the mask hides. Rows with adapters change the operations and are not for graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanohydra.engine.batch import FlatBatch
from nanohydra.model import Decoder
from nanohydra.model.paged import PagedState

FEWEST_ROWS = 2  # one row alone has no mask that could hide what is behind its last token
FEWEST_BLOCKS = 8
WARM_UPS = 2  # in which libraries choose their algorithms, which may not happen in a recording


@dataclass(kw_only=True, eq=False)
class Recorded:
    """The memory of one graph. ids (B, 1), table (B, M), lengths (B,): written before a replay.

    graph: None on a device that records none; the operations are then called as they are.
    """

    ids_B1: Tensor
    table_BM: Tensor
    lengths_B: Tensor
    logits_BV: Tensor | None = None
    graph: torch.cuda.CUDAGraph | None = None


class DecodeGraphs:
    """Graphs of one model over one state, recorded when a size first comes up.

    most_blocks: of one sequence. Outputs hold until the next call.
    """

    def __init__(self, model: Decoder, state: PagedState, most_blocks: int) -> None:
        self.model = model
        self.state = state
        self.most_blocks = most_blocks
        self._recorded: dict[tuple[int, int], Recorded] = {}
        self._pool: Any = None

    def takes(self, batch: FlatBatch) -> bool:
        """Whether each sequence has one new token, whose logits are wanted, and no adapter."""
        alone = batch.num_tokens == batch.num_sequences == len(batch.wanted)
        return alone and not any(batch.adapters)

    def logits(self, batch: FlatBatch) -> Tensor:
        """Logits (S, V) of a batch that it takes."""
        size, count = self.state.block_size, batch.num_sequences
        rows = round_up(count, FEWEST_ROWS)
        needed = int(batch.held.max()) // size + 1
        width = min(round_up(needed, FEWEST_BLOCKS), max(self.most_blocks, needed))
        recorded = self._recorded.get((rows, width)) or self._record(rows, width)
        fill(recorded.ids_B1, batch.ids[:, None])
        fill(recorded.table_BM, batch.tables[:, :width])
        fill(recorded.lengths_B, batch.held)
        if recorded.graph is None:
            recorded.logits_BV = self._forward(recorded)
        else:
            recorded.graph.replay()
        assert recorded.logits_BV is not None
        return recorded.logits_BV[:count]

    def _record(self, rows: int, width: int) -> Recorded:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int64, device=self.model.device)

        if not self._recorded and width < self.most_blocks:
            # Tables of positions grow with the first long text, and graphs keep to their place.
            self._forward(
                Recorded(
                    ids_B1=zeros(rows, 1),
                    table_BM=zeros(rows, self.most_blocks),
                    lengths_B=zeros(rows),
                )
            )
        recorded = Recorded(
            ids_B1=zeros(rows, 1), table_BM=zeros(rows, width), lengths_B=zeros(rows)
        )
        if self.model.device.type == "cuda":
            self._capture(recorded)
        self._recorded[rows, width] = recorded
        return recorded

    def _capture(self, recorded: Recorded) -> None:
        """Record the operations on zeros: all that they write lies in block 0."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                self._forward(recorded)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            recorded.logits_BV = self._forward(recorded)
        self._pool = graph.pool()
        recorded.graph = graph

    def _forward(self, recorded: Recorded) -> Tensor:
        held = recorded.table_BM.shape[1] * self.state.block_size
        places = min(held, self.model.config.max_seq_len)
        view = self.state.view(
            recorded.table_BM, recorded.lengths_B, longest=places - 1, shortest=0
        )
        return self.model.unembed(self.model.hidden(recorded.ids_B1, state=view)[:, 0])


def round_up(count: int, least: int) -> int:
    """The next power of two, and at least `least`."""
    return max(least, 1 << (count - 1).bit_length())


def fill(target: Tensor, values: np.ndarray) -> None:
    """Write values at the start of each dimension, zeros behind them."""
    padded = np.zeros(tuple(target.shape), dtype=np.int64)
    padded[tuple(slice(0, length) for length in values.shape)] = values
    target.copy_(torch.from_numpy(padded))
