"""Several adapters as one, and an adapter inside a copy of the weights; both exact as algebra.

Merging and subtracting again does not give back the same numbers (about a quarter of the weights
change in their last digits), so a merged model keeps the base it was made from and goes back to
that. Never merge into a base that serves.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nanohydra.adapters.base import base_hash, exact_hash
from nanohydra.adapters.config import LoraConfig
from nanohydra.adapters.layer import check_parts
from nanohydra.adapters.lora import check_pair, is_adapted, layer_of, linear_at
from nanohydra.adapters.weights import AdapterWeights, Pair
from nanohydra.core.errors import UserError
from nanohydra.model.quantised import refuse_quantised


def concatenate(adapters: Sequence[AdapterWeights]) -> AdapterWeights:
    """One adapter whose update is the sum of theirs: their factors side by side.

    Its scale is 1 and its factors carry theirs; where they adapt different layers, ranks differ.
    Averaging the factors instead would be almost all error. Raises UserError for none, and for
    adapters of different bases.
    """
    if not adapters:
        raise UserError("there is no adapter to combine")
    for adapter in adapters:
        if adapter.config.kind != "lora":
            raise UserError(f"an adapter of kind {adapter.config.kind} has no factors to combine")
    bases = {adapter.base for adapter in adapters}
    if len(bases) > 1:
        raise UserError(f"adapters of {len(bases)} different bases cannot be combined")
    parts: dict[str, list[Pair]] = {}
    for adapter in adapters:
        for name, pair in adapter.pairs.items():
            scaled = Pair(a_RI=pair.a_RI.float(), b_OR=pair.b_OR.float() * adapter.config.scale)
            parts.setdefault(name, []).append(scaled)
    pairs = {
        name: Pair(
            a_RI=torch.cat([pair.a_RI for pair in found]),
            b_OR=torch.cat([pair.b_OR for pair in found], dim=1),
        )
        for name, found in parts.items()
    }
    rank = max(len(pair.a_RI) for pair in pairs.values())
    everywhere = any(not adapter.config.layers for adapter in adapters)
    config = LoraConfig(
        rank=rank,
        alpha=rank,
        targets=tuple(sorted({t for adapter in adapters for t in adapter.config.targets})),
        layers=() if everywhere else tuple(n for a in adapters for n in a.config.layers),
    )
    return AdapterWeights(config=config, base=adapters[0].base, pairs=pairs)


@dataclass(frozen=True, kw_only=True, eq=False)
class Merged:
    """A copy of a model with an adapter in its weights, and the weights it had before.

    pristine: the replaced weights, which are the base's own tensors and not copies.
    """

    model: nn.Module
    weights: AdapterWeights
    pristine: Mapping[str, Tensor]
    exact: str

    @torch.no_grad()
    def unmerge(self) -> nn.Module:
        """Give the copy the base's weights again, bit for bit.

        Raises UserError if it is not the base afterwards: it, or the base, was trained on.
        """
        for name, tensor in self.pristine.items():
            linear_at(self.model, name).weight.copy_(tensor)
        if exact_hash(self.model) != self.exact:
            raise UserError(
                "without its adapter the merged model is not the base it was made from: one of "
                "them was changed since; load the base again"
            )
        return self.model


@torch.no_grad()
def merge(model: nn.Module, weights: AdapterWeights) -> Merged:
    """A copy of the model that computes as if the adapter were attached, without its cost.

    The sum is formed in float32 and rounded once, into the model's dtype. Raises UserError if
    the adapter is for another base or would make a weight infinite.
    """
    assert not is_adapted(model), "detach the adapter first"
    refuse_quantised(model, "merged with an adapter")
    base = base_hash(model)
    if base != weights.base:
        raise UserError(
            f"the adapter {weights.id} is for another base ({weights.base[:12]}...) than this "
            f"model ({base[:12]}...)"
        )
    merged = copy.deepcopy(model)
    pristine = {}
    for name in (*weights.pairs, *weights.parts):
        linear = linear_at(merged, name)
        if name in weights.pairs:
            pair = weights.pairs[name]
            check_pair(name, pair, linear)
            a, b = (t.to(linear.weight.device, torch.float32) for t in (pair.a_RI, pair.b_OR))
            summed = torch.addmm(linear.weight.float(), b, a, alpha=weights.config.scale)
        else:
            check_parts(name, weights.parts[name], linear, weights.config.kind)
            layer = layer_of(linear, weights.parts[name], weights.config)
            summed = linear.weight.float() + layer.delta()
        if not bool(summed.isfinite().all()):
            raise UserError(f"the adapter {weights.id} makes weights of {name!r} infinite")
        linear.weight.copy_(summed)
        pristine[name] = linear_at(model, name).weight.detach()
    return Merged(model=merged, weights=weights, pristine=pristine, exact=exact_hash(model))
