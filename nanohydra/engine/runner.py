"""Forward calls: a flat batch over a paged state in, logits out. In PyTorch here, for any device.

`make_runner` alone chooses between this and the native runner (native_runner.py).
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nanohydra.adapters.batch import ReadyAdapter, RowAdapters, RowPlan
from nanohydra.core.errors import UserError
from nanohydra.engine.batch import FlatBatch
from nanohydra.engine.config import DEFAULT_MAX_LENGTH, EngineConfig
from nanohydra.engine.graphs import DecodeGraphs
from nanohydra.engine.threads import Threads
from nanohydra.model import Decoder
from nanohydra.model.paged import PagedState

logger = logging.getLogger(__name__)


class Runner(Protocol):
    """Runs batches on a model. What it returns holds until the next call."""

    name: str

    def run(self, batch: FlatBatch) -> Tensor:
        """Take the batch's tokens into the state; logits (M, V) of those wanted."""

    def hidden(self, batch: FlatBatch) -> Tensor:
        """The same; final hidden states (N, D) of all tokens."""

    def prepare(self, adapter: ReadyAdapter) -> None:
        """Do ahead what the first batch with an adapter needs; from any thread, at any time."""

    def forget(self) -> None:
        """Drop what was kept of the adapters of earlier calls: one of them may be gone."""


def make_runner(config: EngineConfig, model: Decoder, state: PagedState, max_tokens: int) -> Runner:
    """The fastest runner that there is here, or the one that the configuration asks for.

    max_tokens: of one batch. Raises UserError if the native one is asked for and cannot be had.
    """
    if config.runner != "torch":
        native = make_native(model, state, max_tokens)
        if native is not None:
            return native
        if config.runner == "native":
            raise UserError(
                "engine.runner is native, but whole steps in C need a CPU, a C compiler and "
                "layers that they know; the log at debug level has the reason; take auto"
            )
    runner = TorchRunner(model, state, config.max_rows, one_by_one=config.deterministic)
    if model.device.type == "cuda" and not config.deterministic:
        longest = min(config.max_length or DEFAULT_MAX_LENGTH, model.config.max_seq_len)
        most_blocks = -(-longest // state.block_size)
        runner.graphs = DecodeGraphs(model, state, most_blocks)
    return runner


def make_native(model: object, state: PagedState, max_tokens: int) -> Runner | None:
    """The native runner, None where it cannot run."""
    if not isinstance(model, Decoder):  # a test's stand-in
        return None
    try:
        module = importlib.import_module("nanohydra.engine.native_runner")
    except ModuleNotFoundError:
        return None
    runner: Runner | None = module.NativeRunner.build(model, state, max_tokens)
    return runner


class TorchRunner:
    """Cuts a batch into rectangles, sequences with equally many new tokens, and runs each.

    one_by_one: every token in a call of its own, so that no result depends on what else there is.
    graphs: of batches in which every row decodes; None = none.
    """

    name = "torch"
    graphs: DecodeGraphs | None = None

    def __init__(
        self, model: Decoder, state: PagedState, max_rows: int, *, one_by_one: bool = False
    ) -> None:
        self.model = model
        self.state = state
        self.one_by_one = one_by_one
        self.threads = Threads(model)
        self.row_adapters = RowAdapters(model, max_rows)
        self._planned: tuple[ReadyAdapter | None, ...] = ()
        self._plan = RowPlan()

    def run(self, batch: FlatBatch) -> Tensor:
        """As in Runner; logits in the model's dtype."""
        if self.graphs is not None and self.graphs.takes(batch):
            return self.graphs.logits(batch)
        x_ND = self.hidden(batch)
        if len(batch.wanted) < batch.num_tokens:
            # Only these are unembedded: all places of a long prompt would not fit in memory.
            x_ND = x_ND[torch.from_numpy(batch.wanted).to(x_ND.device, torch.int64)]
        with self.threads.of_call(len(x_ND)):
            if not self.one_by_one or len(x_ND) < 2:
                return self.model.unembed(x_ND)
            return torch.cat([self.model.unembed(x_ND[place, None]) for place in range(len(x_ND))])

    def hidden(self, batch: FlatBatch) -> Tensor:
        """As in Runner."""
        lengths = np.diff(batch.starts)
        if self.one_by_one:
            return self._hidden_one_by_one(batch, lengths)
        if (lengths == lengths[0]).all():
            every = np.arange(batch.num_sequences)
            return self._rectangle(batch, every, 0, int(lengths[0])).flatten(0, 1)
        x_ND: Tensor | None = None
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            x_BTD = self._rectangle(batch, rows, 0, int(length))
            if x_ND is None:
                x_ND = x_BTD.new_empty(batch.num_tokens, x_BTD.shape[-1])
            places = batch.starts[rows][:, None] + np.arange(length)
            x_ND[torch.from_numpy(places).to(x_ND.device, torch.int64)] = x_BTD
        assert x_ND is not None
        return x_ND

    def prepare(self, adapter: ReadyAdapter) -> None:
        """Nothing: the factors are used as they are."""

    def forget(self) -> None:
        """As in Runner."""
        self._planned, self._plan = (), RowPlan()

    def _hidden_one_by_one(self, batch: FlatBatch, lengths: np.ndarray) -> Tensor:
        parts = [
            self._rectangle(batch, np.array([row]), first, 1)
            for row, length in enumerate(lengths)
            for first in range(length)
        ]
        return torch.cat(parts).flatten(0, 1)

    def _rectangle(self, batch: FlatBatch, rows: np.ndarray, first: int, length: int) -> Tensor:
        """Hidden states (B, T, D) of `length` tokens of some sequences, from the first-th new."""
        held = batch.held[rows] + first
        longest = int(held.max())
        width = -(-(longest + length) // self.state.block_size)
        device = self.model.device
        places = batch.starts[rows][:, None] + (first + np.arange(length))
        ids_BT = torch.from_numpy(batch.ids[places]).to(device, torch.int64)
        view = self.state.view(
            torch.from_numpy(batch.tables[rows, :width]).to(device, torch.int64),
            torch.from_numpy(held).to(device, torch.int64),
            longest=longest,
            shortest=int(held.min()),
        )
        adapters = tuple(batch.adapters[row] for row in rows)
        with self.threads.of_call(ids_BT.numel()), self._plan_of(adapters, lasting=length == 1):
            return self.model.hidden(ids_BT, state=view)

    def _plan_of(self, adapters: Sequence[ReadyAdapter | None], *, lasting: bool) -> RowPlan:
        """What the rows' adapters change; kept for rows that decode, as they come again."""
        adapters = tuple(adapters)
        if not lasting:
            return self.row_adapters.plan(adapters)
        if adapters != self._planned:
            self._plan = self.row_adapters.plan(adapters, lasting=True)
            self._planned = adapters
        return self._plan
