"""The sampling parameters of a batch as tensors, made anew only when the rows change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nanohydra.engine.request import SamplingParams
from nanohydra.engine.sampling.draw import Columns
from nanohydra.engine.sampling.penalties import has_penalties


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The parameters of M rows.

    arrays: as `RowSampler.sample` takes them; columns: as `choose` does; one of the two is None.
    draws: whether a row needs a random number; zeros_M stands in for them where none does.
    num_top: how many of the likeliest ids each row reports.
    changed: R rows whose logits are changed before the choice; other_M: the place of each row
    among them, or -1. bias_places: of `biases` in the changed rows laid end to end.
    """

    params: list[SamplingParams]
    arrays: tuple[Tensor, Tensor, Tensor, Tensor] | None
    columns: Columns | None
    draws: bool
    zeros_M: Tensor
    num_top: tuple[int, ...]
    changed: list[int]
    other_M: Tensor | None
    bias_places: Tensor | None
    biases: Tensor | None

    @classmethod
    def of(
        cls, params: list[SamplingParams], width: int, device: torch.device, *, native: bool
    ) -> Plan:
        """Lay out the parameters in the order of the rows; width: ids that can be chosen."""
        changed = [row for row, p in enumerate(params) if changes_logits(p)]
        places = {row: place for place, row in enumerate(changed)}
        bias_places = [places[row] * width + id for row in changed for id in params[row].logit_bias]
        biases = [bias for row in changed for bias in params[row].logit_bias.values()]
        return cls(
            params=params,
            arrays=_arrays(params) if native else None,
            columns=None if native else Columns.of(params, device),
            draws=any(p.temperature > 0 for p in params),
            zeros_M=torch.zeros(len(params), dtype=torch.float64, device=device),
            num_top=tuple(p.top_logprobs or 0 for p in params),
            changed=changed,
            other_M=torch.tensor([places.get(r, -1) for r in range(len(params))])
            if changed
            else None,
            bias_places=torch.tensor(bias_places, device=device) if biases else None,
            biases=torch.tensor(biases, device=device) if biases else None,
        )


def changes_logits(params: SamplingParams) -> bool:
    """Whether a row is chosen by other logits than the model's."""
    return (
        has_penalties(params)
        or bool(params.logit_bias)
        or params.allowed_ids is not None
        or params.grammar is not None
        or params.min_tokens > 0
    )


def _arrays(params: Sequence[SamplingParams]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.tensor([p.temperature for p in params], dtype=torch.float32),
        torch.tensor([p.top_k for p in params], dtype=torch.int64),
        torch.tensor([p.top_p for p in params], dtype=torch.float32),
        torch.tensor([p.min_p for p in params], dtype=torch.float32),
    )
