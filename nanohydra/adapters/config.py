"""The shape of an adapter, as data; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Kind = Literal["lora", "dora", "loha", "lokr"]


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank updates of linear layers, arXiv 2106.09685: y += (x A^T) B^T * alpha / rank.

    targets: last parts of the names of linear layers, or patterns of names ("blocks.[01].*");
    embeddings and head are never adapted. layers: numbers of the blocks to adapt, none = all.
    dropout: of the update's input, while training. kind: another form of the update, by the table
    of layer.py; all but "lora" cost more and cannot be served. Raises UserError for a value out
    of range.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = LINEARS
    layers: tuple[int, ...] = ()
    kind: Kind = "lora"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            known = suggest(str(self.kind), get_args(Kind))
            raise UserError(f"there is no kind of adapter {self.kind!r}; {known}")
        if self.rank < 1:
            raise UserError(f"the rank of an adapter must be at least 1, not {self.rank}")
        if not self.alpha > 0:
            raise UserError(f"the alpha of an adapter must be above 0, not {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout must be at least 0 and below 1, not {self.dropout}")
        if self.dropout and self.kind in ("loha", "lokr"):
            raise UserError(f"an adapter of kind {self.kind} takes no dropout, not {self.dropout}")
        if not self.targets:
            raise UserError(f"an adapter needs targets, for example {', '.join(LINEARS)}")
        # One spelling of a number and of a list, because a version is named by them.
        for name, kind in (("alpha", float), ("dropout", float), ("targets", tuple)):
            object.__setattr__(self, name, kind(getattr(self, name)))
        object.__setattr__(self, "layers", tuple(sorted(set(self.layers))))

    @property
    def scale(self) -> float:
        """What the low-rank product is multiplied by."""
        return self.alpha / self.rank
