"""Anchors: texts on which an adapter must predict as the base does, and the divergence from it.

The base is the same weights with the adapter off, so there is no second model. As the base does
not change, its final hidden states are kept and not computed again; its predictions are one
product with the head away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nanohydra.core.types import Record
from nanohydra.data.config import SourceConfig
from nanohydra.learn.samples import Sample, pack
from nanohydra.model import Decoder

ROWS_AT_ONCE = 16


def read_records(sources: Mapping[str, SourceConfig], count: int) -> dict[str, list[Record]]:
    """The first `count` records of each source. Raises UserError for a source that has none."""
    from itertools import islice

    from nanohydra.core.errors import UserError
    from nanohydra.data import open_source

    found = {name: list(islice(open_source(s).records(), count)) for name, s in sources.items()}
    for name, records in found.items():
        if not records:
            raise UserError(f"the anchor source {name!r} has no records; correct learn.anchors")
    return found


class Anchors:
    """Samples with the base's final hidden states at the places that their masks name.

    samples: those given, with their places in `hidden_ND`. Make it while the adapter is off.
    """

    @torch.no_grad()
    def __init__(self, model: Decoder, samples: Sequence[Sample]) -> None:
        self.samples: list[Sample] = []
        held: list[Tensor] = []
        place = 0
        ordered = sorted((s for s in samples if s.num_targets), key=lambda s: len(s.ids))
        for start in range(0, len(ordered), ROWS_AT_ONCE):
            group = []
            for sample in ordered[start : start + ROWS_AT_ONCE]:
                group.append(replace(sample, place=place))
                place += sample.num_targets
            rows = pack([[sample] for sample in group])
            x_BTD = model.hidden(rows.batch.ids_BT.to(model.device))
            held.append(x_BTD[(rows.places_BT >= 0).to(model.device)])
            self.samples += group
        self.hidden_ND = torch.cat(held) if held else torch.zeros(0, model.config.hidden_size)

    def divergence(self, model: Decoder, x_BTD: Tensor, places_BT: Tensor) -> Tensor | None:
        """Mean KL(base || model) in nats over the tokens that have a place; None if none has.

        Forward, over the whole vocabulary, in float32. Differentiable in x_BTD.
        """
        mask_BT = places_BT >= 0
        if not bool(mask_BT.any()):
            return None
        base_ND = self.hidden_ND[places_BT[mask_BT].to(self.hidden_ND.device)]
        with torch.no_grad():
            base_NV = torch.log_softmax(model.unembed(base_ND).float(), -1)
        here_NV = torch.log_softmax(model.unembed(x_BTD[mask_BT.to(x_BTD.device)]).float(), -1)
        return (base_NV.exp() * (base_NV - here_NV)).sum(-1).mean()
