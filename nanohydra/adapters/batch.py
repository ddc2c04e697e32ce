"""Many adapters on one decoder at once: every row of a batch gets its own adapter's update.

While a batch runs, the linear layers that its adapters touch compute their own output first and
then add to the rows that have an adapter; the other rows keep every bit. Outside of that, and for
a batch without adapters, the layers are what they were. Knows nothing of requests and threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nanohydra.adapters.lora import check_pair, linear_at
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder

# From so many different adapters in a batch on, one product over factors laid side by side beats
# two products per adapter: 11 to 19 us at 4 adapters, 12 to 38 at 8 (one core, float32).
PACKED_FROM = 4
Factors = tuple[Tensor, Tensor]  # (in, rank), (rank, out)
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadyAdapter:
    """An adapter as a batch applies it: on the model's device, in its dtype, the scale in B.

    factors: a_IR, b_RO by the name of the linear layer.
    """

    id: str
    factors: Mapping[str, Factors]

    @property
    def rank(self) -> int:
        """The largest rank of its layers."""
        return max(a_IR.shape[1] for a_IR, _ in self.factors.values())

    @property
    def num_bytes(self) -> int:
        """Bytes of the factors."""
        return sum(a.nbytes + b.nbytes for a, b in self.factors.values())


def make_ready(model: Decoder, weights: AdapterWeights, *, base: str, id: str) -> ReadyAdapter:
    """Check an adapter against a model and cast it; changes nothing, safe from any thread.

    base: `base_hash` of the model. id: the adapter's, which takes a hash to find. Raises
    UserError, with the reason, for an adapter of another base or another shape, for one without
    tensors, and for values that are not finite.
    """
    if weights.base != base:
        raise UserError(
            f"adapter {id} was trained on another base ({weights.base[:16]}) than the model that "
            f"runs here ({base[:16]}): teach it again on this one"
        )
    if weights.config.kind != "lora":
        raise UserError(
            f"adapter {id} is of kind {weights.config.kind}, and only plain LoRA adapters can be "
            "served: rows with different adapters are decoded together, which needs their factors"
        )
    if not weights.pairs:
        raise UserError(f"adapter {id} has no tensors")
    for name, pair in weights.pairs.items():
        check_pair(name, pair, linear_at(model, name))
    place = model.embed.weight  # those of the linear layers may be int8
    downs = copies([pair.a_RI.t() for pair in weights.pairs.values()], place)
    ups = copies([pair.b_OR.t() for pair in weights.pairs.values()], place, weights.config.scale)
    factors = dict(zip(weights.pairs, zip(downs.parts, ups.parts, strict=True), strict=True))
    if not (downs.flat.isfinite().all() and ups.flat.isfinite().all()):
        name = next(n for n, f in factors.items() if not all(t.isfinite().all() for t in f))
        raise UserError(f"adapter {id} has values in {name!r} that are not finite")
    return ReadyAdapter(id=id, factors=factors)


class Copies(NamedTuple):
    """Copies of several tensors, one after the other in one piece of memory."""

    flat: Tensor
    parts: Sequence[Tensor]


def copies(tensors: Sequence[Tensor], like: Tensor, factor: float = 1.0) -> Copies:
    """The tensors times a factor, contiguous, where and as `like` is; rounded once.

    Few operations: each may take the interpreter from an engine that decodes at the same time,
    and several for every tensor held it up by milliseconds.
    """
    sizes = [tensor.numel() for tensor in tensors]

    def parts_of(flat: Tensor) -> list[Tensor]:
        return [p.view(t.shape) for p, t in zip(torch.split(flat, sizes), tensors, strict=True)]

    with torch.no_grad():
        flat = torch.empty(sum(sizes), dtype=torch.float32, device=like.device)
        torch._foreach_copy_(parts_of(flat), list(tensors))
        flat = (flat if factor == 1.0 else flat.mul_(factor)).to(like.dtype)
    return Copies(flat, parts_of(flat))


class RowPlan:
    """What the linear layers compute while a batch runs: a context manager for model calls.

    Any number of calls with the same rows may be made with one plan.
    """

    def __init__(self, forwards: Sequence[tuple[nn.Linear, Forward]] = ()) -> None:
        self.forwards = forwards

    def __enter__(self) -> None:
        # An attribute of the layer itself hides the method of its class; a hook would do the same
        # at many times the price, for every layer and token.
        for linear, forward in self.forwards:
            linear.__dict__["forward"] = forward

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for linear, _ in self.forwards:
            linear.__dict__.pop("forward", None)


class RowAdapters:
    """Makes plans for the batches of one model, for one thread. max_rows: rows of a batch."""

    def __init__(self, model: Decoder, max_rows: int) -> None:
        self.model = model
        self.packs = Packs(max_rows)
        self._linears: dict[str, nn.Linear] = {}

    def plan(self, adapters: Sequence[ReadyAdapter | None], *, lasting: bool = False) -> RowPlan:
        """The plan of a batch whose row i has adapters[i], None for the model itself.

        lasting: many calls will follow, so that laying the factors of many adapters side by side
        pays. It makes the last lasting plan invalid.
        """
        rows_of: dict[ReadyAdapter, list[int]] = {}
        for row, adapter in enumerate(adapters):
            if adapter is not None:
                rows_of.setdefault(adapter, []).append(row)
        if not rows_of:
            return RowPlan()
        num_rows = sum(map(len, rows_of.values()))
        if lasting and len(rows_of) >= PACKED_FROM and num_rows <= 2 * len(rows_of):
            return self._packed(adapters)
        shares: dict[str, list[tuple[slice | Tensor, Factors]]] = {}
        for adapter, rows in rows_of.items():
            place = select(rows, self.model.device)
            for name, factors in adapter.factors.items():
                shares.setdefault(name, []).append((place, factors))
        return self._plan({name: partial(add_each, share) for name, share in shares.items()})

    def _packed(self, adapters: Sequence[ReadyAdapter | None]) -> RowPlan:
        present = [adapter for adapter in adapters if adapter is not None]
        rows = [row for row, adapter in enumerate(adapters) if adapter is not None]
        place = None if len(rows) == len(adapters) else torch.tensor(rows, device=self.model.device)
        packs = self.packs.fill(present)
        return self._plan({name: partial(add_packed, place, pack) for name, pack in packs.items()})

    def _plan(self, updates: Mapping[str, Callable[[Tensor, Tensor], None]]) -> RowPlan:
        for name in set(updates) - set(self._linears):
            self._linears[name] = linear_at(self.model, name)
        linears = ((self._linears[name], add) for name, add in updates.items())
        return RowPlan([(linear, partial(run, linear, add)) for linear, add in linears])


class Packs:
    """The factors of each row's adapter side by side: a_NIR and b_NRO for every layer.

    They stay between batches, so that a row which comes or moves costs a copy of one adapter.
    Smaller ranks and layers that an adapter leaves alone are zeros.
    """

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.rank = 0
        self.held: list[str | None] = []  # which adapter's content each place has
        self.stacks: dict[str, Factors] = {}

    def fill(self, adapters: Sequence[ReadyAdapter]) -> dict[str, Factors]:
        """Put adapters[i] into place i; views of the places in use, by layer."""
        self._make_room(adapters)
        for place, adapter in enumerate(adapters):
            if self.held[place] == adapter.id:
                continue
            self.held[place] = None  # until it is whole
            for name, (a_NIR, b_NRO) in self.stacks.items():
                b_NRO[place].zero_()
                if name in adapter.factors:
                    a_IR, b_RO = adapter.factors[name]
                    rank = a_IR.shape[1]
                    # What is left beyond the rank is finite, and multiplied by the zeros of b.
                    a_NIR[place, :, :rank] = a_IR
                    b_NRO[place, :rank] = b_RO
            self.held[place] = adapter.id
        used = len(adapters)
        return {name: (a[:used], b[:used]) for name, (a, b) in self.stacks.items()}

    def _make_room(self, adapters: Sequence[ReadyAdapter]) -> None:
        """Begin anew where a rank or a layer has no place yet."""
        rank = max(adapter.rank for adapter in adapters)
        missing = {name for adapter in adapters for name in adapter.factors} - set(self.stacks)
        if rank <= self.rank and not missing:
            return
        self.rank = max(rank, self.rank)
        self.held = [None] * self.max_rows
        shapes = {name: (a.shape[1], b.shape[2], a) for name, (a, b) in self.stacks.items()}
        for adapter in adapters:
            for name, (a_IR, b_RO) in adapter.factors.items():
                shapes[name] = (a_IR.shape[0], b_RO.shape[1], a_IR)
        self.stacks = {
            name: (
                like.new_zeros(self.max_rows, wide, self.rank),
                like.new_zeros(self.max_rows, self.rank, out),
            )
            for name, (wide, out, like) in shapes.items()
        }


def select(rows: list[int], device: torch.device) -> slice | Tensor:
    """Row numbers in rising order as a slice where they are neighbours, which needs no copy."""
    if rows[-1] - rows[0] == len(rows) - 1:
        return slice(rows[0], rows[-1] + 1)
    return torch.tensor(rows, device=device)


def run(linear: nn.Linear, add: Callable[[Tensor, Tensor], None], x_BTI: Tensor) -> Tensor:
    """A layer's own output, computed as without adapters, with an update of some rows."""
    y_BTO = type(linear).forward(linear, x_BTI)
    add(x_BTI, y_BTO)
    return y_BTO


def add_each(share: Sequence[tuple[slice | Tensor, Factors]], x_BTI: Tensor, y_BTO: Tensor) -> None:
    """Add the update of each adapter to its rows, one adapter after the other."""
    for rows, (a_IR, b_RO) in share:
        low_NR = x_BTI[rows].flatten(0, 1) @ a_IR
        if isinstance(rows, slice):
            y_BTO[rows].flatten(0, 1).addmm_(low_NR, b_RO)
        else:
            y_BTO.index_add_(0, rows, (low_NR @ b_RO).view(len(rows), *y_BTO.shape[1:]))


def add_packed(rows_N: Tensor | None, pack: Factors, x_BTI: Tensor, y_BTO: Tensor) -> None:
    """Add to each of the rows (None: all) its own update, in one product over all."""
    a_NIR, b_NRO = pack
    if rows_N is None:
        y_BTO.baddbmm_(torch.bmm(x_BTI, a_NIR), b_NRO)
    else:
        y_BTO.index_add_(0, rows_N, torch.bmm(torch.bmm(x_BTI[rows_N], a_NIR), b_NRO))
