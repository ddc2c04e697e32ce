"""Takes whole decoder steps in C on a CPU: one call for all tokens of all sequences and layers.

A token's result depends on the tokens of its own sequence alone, bit for bit: not on what else is
in the batch, nor on how the sequence is cut into steps.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.engine.native_program import Builder, NativeProgram, Unsupported, packed_bytes
from nanohydra.kernels import step
from nanohydra.kernels.step import STRIP, Factors, Program, Step
from nanohydra.model import Decoder
from nanohydra.model.paged import PagedState

if TYPE_CHECKING:
    from nanohydra.adapters.batch import ReadyAdapter
    from nanohydra.engine.batch import FlatBatch, Ints

ALIGNED = 64  # bytes
MOST_THREADS = 16
TRY_EVERY = 32  # steps
# A step that one thread takes in less gains nothing from another that has to be woken. Estimated
# from the speeds of one core: bytes of weights read a second, and operations.
SHORT_SECONDS = 1e-3
READ_SPEED = 2e10
SPEEDS = {torch.float32: 1e11, torch.bfloat16: 1e12}
logger = logging.getLogger(__name__)


class NativeRunner:
    """Runs one model on one paged state, in one thread at a time. max_tokens: of a batch."""

    name = "native"

    def __init__(
        self,
        model: Decoder,
        state: PagedState,
        max_tokens: int,
        program: NativeProgram,
        library: ctypes.CDLL,
    ) -> None:
        self.model = model
        self.state = state
        self.max_tokens = max_tokens
        self.program = program
        self.library = library
        self.adapters = AdapterTable(program.linears, model.dtype)
        self.ticks: Tensor | None = None  # seconds of each kind of operation, for measuring
        self._ops = step.array_of(program.ops)
        self._native = Program(ops=self._ops, num_ops=len(program.ops))
        self._native.model = step.DTYPES[model.dtype]
        self._native.width = model.config.hidden_size
        self._native.block_size = state.block_size
        self._step = Step(num_linears=sum(map(len, program.linears)))
        weights = [p for p in model.parameters() if p.ndim > 1 or p.dtype == torch.uint8]
        self._read_seconds = sum(p.nbytes for p in weights) / READ_SPEED
        self._token_seconds = 2 * sum(p.numel() for p in weights) / SPEEDS[model.dtype]
        self._teams = Teams()
        self._buffers: list[Tensor] = []
        self._make_buffers(state)
        self._tables: tuple[Tensor, ...] = ()
        self._low = torch.empty(0)
        self._reach = 0
        if model._rope is None:
            self._reach = model.config.max_seq_len
        else:
            self._cover(1)

    @classmethod
    def build(cls, model: Decoder, state: PagedState, max_tokens: int) -> NativeRunner | None:
        """A runner, or None where it cannot be had; the reason is logged at debug level."""
        library = step.library()
        if library is None:
            logger.debug("no native steps: there is no C compiler that could be used")
            return None
        try:
            program = Builder(model, state).build()
        except Unsupported as reason:
            logger.debug("no native steps for this model: %s", reason)
            return None
        return cls(model, state, max_tokens, program, library)

    def run(self, batch: FlatBatch) -> Tensor:
        """Logits of the wanted tokens, float32 (M, V)."""
        out = torch.empty(len(batch.wanted), self.model.config.vocab_size)
        self._run(batch, batch.wanted, out)
        return out

    def hidden(self, batch: FlatBatch) -> Tensor:
        """Final hidden states of all tokens, float32 (N, D)."""
        out = torch.empty(batch.num_tokens, self.model.config.hidden_size)
        self._run(batch, None, out)
        return out

    @torch.inference_mode()
    def prepare(self, adapter: ReadyAdapter) -> None:
        """Lay an adapter's factors out, which takes longer than a step; from any thread."""
        self.adapters.lay(adapter)

    def forget(self) -> None:
        """Drop what was kept of the adapters of earlier calls."""
        self.adapters.choose(())
        self._step.num_adapters = 0

    def _run(self, batch: FlatBatch, wanted: Ints | None, out: Tensor) -> None:
        num_tokens = batch.num_tokens
        assert 0 < num_tokens <= self.max_tokens, "more tokens than the runner was made for"
        reach = int(batch.held.max()) + num_tokens
        if reach > self._reach:
            self._cover(int((batch.held + np.diff(batch.starts)).max()))
        call, tables = self._step, batch.tables
        assert tables.strides[1] == tables.itemsize
        call.ids, call.starts = address(batch.ids), address(batch.starts)
        call.held, call.tables = address(batch.held), address(tables)
        call.wanted = None if wanted is None else address(wanted)
        call.num_tokens, call.num_sequences = num_tokens, batch.num_sequences
        call.num_wanted = num_tokens if wanted is None else len(wanted)
        call.table_stride = tables.strides[0] // tables.itemsize
        call.out, call.out_stride = out.data_ptr(), out.shape[1]
        call.ticks = None if self.ticks is None else self.ticks.data_ptr()
        self._choose_adapters(batch.adapters)
        threads, start = self.threads_for(num_tokens), time.perf_counter()
        self.library.step_run(self._native, call, threads)
        self._teams.record(num_tokens, threads, time.perf_counter() - start)

    def threads_for(self, num_tokens: int) -> int:
        """On how many threads a step of so many tokens runs: one is faster for a short one."""
        seconds = self._read_seconds + num_tokens * self._token_seconds
        most = 1 if seconds < SHORT_SECONDS else min(torch.get_num_threads(), MOST_THREADS)
        return most if most == 1 else self._teams.choose(num_tokens, most)

    def _choose_adapters(self, adapters: tuple[ReadyAdapter | None, ...]) -> None:
        table, call = self.adapters, self._step
        if adapters is table.chosen:
            return
        table.choose(adapters)
        call.num_adapters = table.num_adapters
        call.factors, call.adapter_of = table.factors, table.adapter_of
        if table.rank > self._native.low_stride:
            part = self.max_tokens * table.rank
            self._low = torch.empty((1 + MOST_THREADS) * part)
            self._native.low, self._native.low_stride = self._low.data_ptr(), table.rank
            self._native.low_part = self._native.low + part * self._low.element_size()

    def _cover(self, length: int) -> None:
        """Have rotary tables for so many places."""
        if self.model._rope is None:
            assert length <= self._reach, "more places than the model has: check before calling"
            return
        ropes = (self.model._rope, self.model._local_rope or self.model._rope)
        pairs = [rope.cover(length, torch.device("cpu")) for rope in ropes]
        self._tables = tuple(table for pair in pairs for table in pair)
        for place, (cosine, sine) in enumerate(pairs):
            self._step.cosine[place], self._step.sine[place] = cosine.data_ptr(), sine.data_ptr()
        self._reach = min(len(table) for table in self._tables)

    def _make_buffers(self, state: PagedState) -> None:
        native, most = self._native, self.max_tokens
        width = self.model.config.hidden_size
        native.h_stride = round_up(max(self.program.inputs, width))
        native.product_stride = round_up(self.program.outputs)
        packed = packed_bytes(self.program, self.library, self.model.dtype, most)
        native.x = self._buffer(4 * most * width)
        native.h = self._buffer(4 * most * native.h_stride)
        native.product = self._buffer(4 * most * native.product_stride)
        native.packed = self._buffer(packed)
        native.sequence_of, native.position_of = self._buffer(4 * most), self._buffer(4 * most)
        native.row_of, native.rows_from = self._buffer(4 * most), self._buffer(4 * most + 4)
        native.max_tokens = most

    def _buffer(self, num_bytes: int) -> int:
        """The address of so much aligned memory."""
        buffer = torch.zeros(num_bytes + ALIGNED, dtype=torch.uint8)
        self._buffers.append(buffer)
        return -(-buffer.data_ptr() // ALIGNED) * ALIGNED


class Teams:
    """Whether all threads or one are faster now, by the number of tokens.

    Where other processes use the cores, threads wait for one another at every operation, and one
    alone is faster. A step's results are the same bits on any number, so it may change at any
    time: the other choice is tried now and then, less often if it was much slower.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, bool], float] = {}
        self._steps: dict[int, int] = {}
        self._last: dict[int, bool] = {}

    def choose(self, num_tokens: int, most: int) -> int:
        """How many threads the next step of so many tokens gets."""
        size = num_tokens.bit_length()
        alone, together = (self._seconds.get((size, one)) for one in (True, False))
        count = self._steps[size] = self._steps.get(size, 0) + 1
        if together is None:
            return most
        if alone is None:
            return 1 if count > TRY_EVERY else most
        close = max(alone, together) < 1.3 * min(alone, together)
        try_other = count % (TRY_EVERY if close else 4 * TRY_EVERY) == 0
        return 1 if (alone < together) != try_other else most

    def record(self, num_tokens: int, threads: int, seconds: float) -> None:
        """Take in how long a step took, per token; an estimate of long ago is forgotten."""
        size, alone, per_token = num_tokens.bit_length(), threads == 1, seconds / num_tokens
        weight = 0.25 if self._last.get(size) == alone else 1.0
        known = self._seconds.get((size, alone), per_token)
        self._seconds[size, alone] = known + weight * (per_token - known)
        self._last[size] = alone


class AdapterTable:
    """The factors of the adapters of a batch, as the steps read them.

    Each adapter that was seen is kept in the layout of step_adapters.h as long as it lives.
    linears: their names, by operation. rank: the largest one of an operation, in whole vectors.
    """

    def __init__(self, linears: list[tuple[str, ...]], dtype: torch.dtype) -> None:
        self.linears = linears
        self.dtype = dtype
        self.chosen: tuple[ReadyAdapter | None, ...] = ()
        self.num_adapters = 0
        self.rank = 0
        self.factors: int | None = None
        self.adapter_of: int | None = None
        self._known: WeakKeyDictionary[ReadyAdapter, Laid] = WeakKeyDictionary()
        self._arrays: tuple[object, ...] = ()

    def choose(self, adapters: tuple[ReadyAdapter | None, ...]) -> None:
        """Make these the adapters of the next steps, one for each sequence."""
        self.chosen = adapters
        number_of: dict[ReadyAdapter | None, int] = {None: -1}
        for adapter in adapters:
            number_of.setdefault(adapter, len(number_of) - 1)
        present = [adapter for adapter in number_of if adapter is not None]
        self.num_adapters = len(present)
        self._arrays = ()
        if not present:
            return
        laid = [self.lay(adapter) for adapter in present]
        self.rank = max(each.rank for each in laid)
        joined = b"".join(bytes(each.factors) for each in laid)
        buffer = ctypes.create_string_buffer(joined, len(joined))
        numbers = np.array([number_of[adapter] for adapter in adapters], np.int32)
        self._arrays = (buffer, numbers, laid)
        self.factors, self.adapter_of = ctypes.addressof(buffer), address(numbers)

    def lay(self, adapter: ReadyAdapter) -> Laid:
        """An adapter in this layout, which it is brought into once. From any thread."""
        known = self._known.get(adapter)
        if known is None:
            known = self._known[adapter] = Laid(self.linears, adapter.factors, self.dtype)
        return known


class Laid:
    """One adapter's factors, linear layer by linear layer; those that it leaves alone have none.

    They lie one after the other in the order in which a step reads them.
    """

    def __init__(
        self,
        linears: list[tuple[str, ...]],
        factors: Mapping[str, tuple[Tensor, Tensor]],
        dtype: torch.dtype,
    ) -> None:
        self.factors = (Factors * sum(map(len, linears)))()
        self.rank = 0
        pieces: list[Tensor] = []
        for names in linears:
            present = [factors[name] for name in names if name in factors]
            if present:
                pieces.append(torch.cat([a_IR for a_IR, _ in present], dim=1).t())
            pieces += [strips_of(b_RO, dtype) for _, b_RO in present]
        self._memory = Pieces(pieces, dtype)
        places, number = iter(self._memory.addresses), 0
        for names in linears:
            ranks = [factors[name][1].shape[0] if name in factors else 0 for name in names]
            every = next(places) if any(ranks) else None
            for place, rank in enumerate(ranks):
                self.factors[number] = Factors(
                    a=every,
                    b=next(places) if rank else None,
                    rank=rank,
                    all=sum(ranks),
                    at=sum(ranks[:place]),
                )
                number += 1
            self.rank = max(self.rank, round_up(sum(ranks)))


class Pieces:
    """Copies of tensors one after the other, each aligned. The last is read beyond its end."""

    def __init__(self, tensors: list[Tensor], dtype: torch.dtype) -> None:
        step = ALIGNED // dtype.itemsize
        ends = list(itertools.accumulate(-(-t.numel() // step) * step for t in tensors))
        self.memory = torch.zeros((ends[-1] if ends else 0) + 2 * step, dtype=dtype)
        skip = -self.memory.data_ptr() % ALIGNED // dtype.itemsize
        begins = [skip + end for end in (0, *ends[:-1])] if ends else []
        for begin, tensor in zip(begins, tensors, strict=True):
            self.memory[begin : begin + tensor.numel()].view(tensor.shape).copy_(tensor)
        first = self.memory.data_ptr()
        self.addresses = [first + begin * dtype.itemsize for begin in begins]


def strips_of(b_RO: Tensor, dtype: torch.dtype) -> Tensor:
    """Columns in strips, each of which is read from end to end: (out / STRIP, rank, STRIP).

    In bfloat16 two ranks of a column lie side by side: (out / STRIP, rank / 2, STRIP, 2).
    """
    side = 2 if dtype == torch.bfloat16 else 1
    padded = F.pad(b_RO, (0, -b_RO.shape[1] % STRIP, 0, -len(b_RO) % side))
    return padded.view(len(padded) // side, side, -1, STRIP).permute(2, 0, 3, 1)


def address(array: Ints) -> int:
    """Where an array of numpy's begins."""
    assert array.dtype == np.int32 and (array.strides[-1] == 4 or not array.size)
    return int(array.__array_interface__["data"][0])


def round_up(count: int) -> int:
    """To whole vectors of 16."""
    return -(-count // 16) * 16
