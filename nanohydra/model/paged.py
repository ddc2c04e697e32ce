"""A decoding state in pages: every layer keeps its part of a token in a block of a common pool.

A sequence is a table of block numbers, so that sequences of any length share one pool, and blocks
of equal content (vLLM, arXiv 2309.06180). The token at position p lies in block
table[p // block_size] at p % block_size. Block 0 belongs to no sequence: what padding writes goes
there. Knows nothing of who owns which block; see engine/blocks.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nanohydra.model.state import Extension


class LayerPages(Protocol):
    """The part of the pages that one layer owns: tensors whose first dimension is the block."""

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them."""


@dataclass(frozen=True, kw_only=True)
class PagedRows(Extension):
    """The sequences that one forward call extends, each by `num_new` tokens.

    table_BM: int64 block numbers. blocks_BT, offsets_BT: where the new tokens go.
    """

    table_BM: Tensor
    blocks_BT: Tensor
    offsets_BT: Tensor


class KeyValuePages:
    """Keys and values of an attention layer, each (blocks, kv_heads, block_size, head_dim)."""

    def __init__(self, keys_NHSK: Tensor, values_NHSK: Tensor) -> None:
        self.keys = keys_NHSK
        self.values = values_NHSK

    def tensors(self) -> tuple[Tensor, ...]:
        """Keys, then values."""
        return self.keys, self.values

    def append(self, rows: Extension, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Write T new places to each row and return all held ones, (B, H, longest + T, K) each.

        Places beyond a row's own length hold other sequences': the caller's mask must hide them.
        """
        assert isinstance(rows, PagedRows)
        self.keys[rows.blocks_BT, :, rows.offsets_BT] = k_BHTK.transpose(1, 2)
        self.values[rows.blocks_BT, :, rows.offsets_BT] = v_BHTK.transpose(1, 2)
        return gather(self.keys, rows), gather(self.values, rows)


class ConvolutionPages:
    """The inputs of a short convolution, (blocks, block_size, width).

    All of them are kept and not the last few alone, so that a sequence can be cut and shared at
    any token. kernel: how many places the convolution mixes.
    """

    def __init__(self, inputs_NSD: Tensor, kernel: int) -> None:
        self.inputs = inputs_NSD
        self.kernel = kernel

    def tensors(self) -> tuple[Tensor, ...]:
        """The inputs."""
        return (self.inputs,)

    def extend(self, rows: Extension, u_BTD: Tensor) -> Tensor:
        """Prefix new inputs with those before them, (B, kernel - 1 + T, D), and keep the new."""
        assert isinstance(rows, PagedRows)
        size = self.inputs.shape[1]
        steps_P = torch.arange(1 - self.kernel, 0, device=u_BTD.device)
        places_BP = rows.lengths_B[:, None] + steps_P
        first_BP = places_BP.clamp(min=0)
        blocks_BP = rows.table_BM.gather(1, first_BP // size)
        before_BPD = self.inputs[blocks_BP, first_BP % size]
        # Zeros stand for the places before the first token.
        before_BPD = before_BPD.masked_fill(places_BP[..., None] < 0, 0.0)
        self.inputs[rows.blocks_BT, rows.offsets_BT] = u_BTD
        return torch.cat([before_BPD, u_BTD], dim=1)


def gather(pages_NHSK: Tensor, rows: PagedRows) -> Tensor:
    """The rows' places side by side, (B, H, longest + T, K)."""
    found_HBMSK = pages_NHSK.transpose(0, 1)[:, rows.table_BM]
    return found_HBMSK.flatten(2, 3).transpose(0, 1)[:, :, : rows.longest + rows.num_new]


class PagedState:
    """All layers' pages: `num_blocks` blocks of `block_size` tokens, block 0 among them."""

    def __init__(self, layers: list[LayerPages], num_blocks: int, block_size: int) -> None:
        self.layers = layers
        self.num_blocks = num_blocks
        self.block_size = block_size

    @property
    def num_bytes(self) -> int:
        """Memory of all blocks."""
        return sum(t.numel() * t.element_size() for layer in self.layers for t in layer.tensors())

    @property
    def bytes_per_block(self) -> int:
        """Memory of one block over all layers."""
        return self.num_bytes // self.num_blocks

    def copy_block(self, source: int, target: int) -> None:
        """Make block `target` equal to block `source`."""
        for layer in self.layers:
            for tensor in layer.tensors():
                tensor[target] = tensor[source]

    def clear(self, blocks: Sequence[int]) -> None:
        """Zero some blocks: a NaN in a place that a mask hides would still spread from there."""
        for layer in self.layers:
            for tensor in layer.tensors():
                tensor[list(blocks)] = 0

    def view(
        self, table_BM: Tensor, lengths_B: Tensor, *, longest: int, shortest: int
    ) -> PagedView:
        """Some sequences as a state for `Decoder.hidden`.

        table_BM: int64, reaching over the new tokens; lengths_B: int64 tokens held already, the
        largest and the smallest of them given as numbers, so that no call waits for a device.
        """
        return PagedView(self, table_BM, lengths_B, longest, shortest)


class PagedView:
    """The sequences of one forward call, as the decoder extends them."""

    def __init__(
        self, state: PagedState, table_BM: Tensor, lengths_B: Tensor, longest: int, shortest: int
    ) -> None:
        self.state = state
        self.layers = state.layers
        self.table_BM = table_BM
        self.lengths_B = lengths_B
        self.longest = longest
        self.shortest = shortest

    def select(self, rows: Tensor | None, ids_BT: Tensor) -> PagedRows:
        """Where a call with these ids writes; all sequences take part."""
        assert rows is None, "a view has the sequences of the call alone"
        num_new, size = ids_BT.shape[1], self.state.block_size
        assert self.longest + num_new <= self.table_BM.shape[1] * size, "a table is too short"
        places_BT = self.lengths_B[:, None] + torch.arange(num_new, device=self.lengths_B.device)
        return PagedRows(
            lengths_B=self.lengths_B,
            longest=self.longest,
            shortest=self.shortest,
            num_new=num_new,
            table_BM=self.table_BM,
            blocks_BT=self.table_BM.gather(1, places_BT // size),
            offsets_BT=places_BT % size,
        )

    def advance(self, rows: Extension) -> None:
        """Nothing to count: the engine knows what each sequence holds."""
