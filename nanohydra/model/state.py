"""What a model remembers between decoding steps: keys and values, or the last conv inputs.

A state has a fixed number of rows (one per running request), each with its own length. It knows
nothing of requests, sampling or scheduling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class LayerState(Protocol):
    """The part of a decoding state that one layer owns."""

    num_bytes: int

    def reset(self, row: int) -> None:
        """Forget what the row holds."""

    def fork(self, source: int, target: int) -> None:
        """Make row `target` an independent copy of row `source`."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """The sequences that one forward call extends, each by `num_new` tokens.

    lengths_B: tokens already held, before this call; longest, shortest: bounds of them.
    """

    lengths_B: Tensor
    longest: int
    shortest: int
    num_new: int


class State(Protocol):
    """What `Decoder.hidden` reads and extends: rows of a DecodingState, or pages (paged.py)."""

    @property
    def layers(self) -> Sequence[Any]:
        """The part of each layer."""

    def select(self, rows: Tensor | None, ids_BT: Tensor) -> Extension:
        """Describe how a call with these ids extends the state."""

    def advance(self, rows: Any) -> None:
        """Count the tokens that every layer has taken in."""


class KeyValues(Protocol):
    """What attention extends by keys and values."""

    def append(self, rows: Extension, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Keep T new places of each row; all of its places, (B, H, longest + T, K) each."""


class Inputs(Protocol):
    """What a short convolution extends by its inputs."""

    def extend(self, rows: Extension, u_BTD: Tensor) -> Tensor:
        """New inputs with those before them, (B, kernel - 1 + T, D)."""


@dataclass(frozen=True, kw_only=True)
class Rows(Extension):
    """The rows of a DecodingState that one forward call extends.

    index_B: int64 row numbers. `first` is set when they are consecutive, so that layers can take
    views instead of copies.
    """

    index_B: Tensor
    first: int | None

    def take(self, held: Tensor, length: int) -> Tensor:
        """held (N, H, L, K) -> the rows' first `length` places (B, H, length, K)."""
        if self.first is not None:
            return held[self.first : self.first + len(self.index_B), :, :length]
        return held[self.index_B, :, :length]


class KeyValueState:
    """Keys and values of an attention layer, each (rows, kv_heads, max_length, head_dim)."""

    def __init__(self, keys_NHLK: Tensor, values_NHLK: Tensor) -> None:
        self.keys_NHLK = keys_NHLK
        self.values_NHLK = values_NHLK
        self.num_bytes = 2 * keys_NHLK.numel() * keys_NHLK.element_size()

    def append(self, rows: Extension, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Write T new places to each row and return all held ones, (B, H, longest + T, K) each.

        Places beyond a row's own length hold garbage: the caller's mask must hide them.
        """
        assert isinstance(rows, Rows)
        total = rows.longest + rows.num_new
        if rows.first is not None and len(rows.index_B) == 1:
            self.keys_NHLK[rows.first, :, rows.longest : total] = k_BHTK[0]
            self.values_NHLK[rows.first, :, rows.longest : total] = v_BHTK[0]
        else:
            places_BT = rows.lengths_B[:, None] + torch.arange(
                rows.num_new, device=rows.lengths_B.device
            )
            index_B1 = rows.index_B[:, None]
            self.keys_NHLK[index_B1, :, places_BT] = k_BHTK.transpose(1, 2)
            self.values_NHLK[index_B1, :, places_BT] = v_BHTK.transpose(1, 2)
        return rows.take(self.keys_NHLK, total), rows.take(self.values_NHLK, total)

    def reset(self, row: int) -> None:
        """Nothing to clear: the length alone says which places count."""

    def fork(self, source: int, target: int) -> None:
        """Copy all places of a row."""
        self.keys_NHLK[target] = self.keys_NHLK[source]
        self.values_NHLK[target] = self.values_NHLK[source]


class ConvolutionState:
    """The last kernel - 1 inputs of one short convolution: one tensor (rows, kernel - 1, width)."""

    def __init__(self, inputs_NPD: Tensor) -> None:
        self.inputs_NPD = inputs_NPD
        self.num_bytes = inputs_NPD.numel() * inputs_NPD.element_size()

    def extend(self, rows: Extension, u_BTD: Tensor) -> Tensor:
        """Prefix new inputs with the held ones, (B, kernel - 1 + T, D), and hold the last."""
        assert isinstance(rows, Rows)
        held_BPD = self.inputs_NPD[rows.index_B]
        joined = torch.cat([held_BPD, u_BTD], dim=1)
        self.inputs_NPD[rows.index_B] = joined[:, joined.shape[1] - held_BPD.shape[1] :]
        return joined

    def reset(self, row: int) -> None:
        """Zeros stand for the places before the first token."""
        self.inputs_NPD[row].zero_()

    def fork(self, source: int, target: int) -> None:
        """Copy the held inputs."""
        self.inputs_NPD[target] = self.inputs_NPD[source]


class DecodingState:
    """All layers' states for `num_rows` sequences of at most `max_length` tokens."""

    def __init__(self, layers: list[LayerState], num_rows: int, max_length: int) -> None:
        self.layers = layers
        self.num_rows = num_rows
        self.max_length = max_length
        self.lengths = torch.zeros(num_rows, dtype=torch.int64)

    @property
    def num_bytes(self) -> int:
        """Memory held by all layers, in bytes."""
        return sum(layer.num_bytes for layer in self.layers)

    def select(self, rows: Tensor | None, ids_BT: Tensor) -> Rows:
        """Describe how a call with these ids extends the state; asserts that it fits."""
        num_rows, num_new = ids_BT.shape
        index = torch.arange(num_rows) if rows is None else rows.cpu()
        assert len(index) == num_rows, "one row number per row of ids"
        lengths = self.lengths[index]
        longest = int(lengths.max())
        assert longest + num_new <= self.max_length, "the state is full: check before calling"
        first = int(index[0])
        consecutive = rows is None or bool((index == torch.arange(first, first + num_rows)).all())
        return Rows(
            index_B=index.to(ids_BT.device),
            first=first if consecutive else None,
            lengths_B=lengths.to(ids_BT.device),
            longest=longest,
            shortest=int(lengths.min()),
            num_new=num_new,
        )

    def advance(self, rows: Rows) -> None:
        """Count the tokens that every layer has taken in."""
        self.lengths[rows.index_B.cpu()] += rows.num_new

    def reset(self, row: int) -> None:
        """Empty a row for the next sequence."""
        self.lengths[row] = 0
        for layer in self.layers:
            layer.reset(row)

    def fork(self, source: int, target: int) -> None:
        """Make `target` an independent copy of `source`."""
        self.lengths[target] = self.lengths[source]
        for layer in self.layers:
            layer.fork(source, target)
