"""Several adapters as one of a given rank: averages, TIES, DARE, and what each gets wrong.

What adapters add to a weight can be added up exactly: factors side by side (combine.py), or the
sum of the updates cut to a rank by SVD, which is exact while the rank suffices. Averaging the
factors themselves is not an average of the updates at all: (B1 + B2)(A1 + A2) has the cross terms
B1 A2 and B2 A1, and for two unrelated adapters they are almost all of it. It is here to be
measured. TIES (arXiv 2306.01708) and DARE (arXiv 2311.03099) thin updates out before they are
added, so that they disturb each other less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from nanohydra.adapters.config import LoraConfig
from nanohydra.adapters.lora import layer_of, linear_at
from nanohydra.adapters.weights import AdapterWeights, Pair
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest

Method = Literal["linear", "magnitude_prune", "ties", "dare_linear", "dare_ties"]
Election = Literal["before", "after"]
Combine = Callable[[Sequence[Tensor], Sequence[float]], Tensor]


@dataclass(frozen=True, kw_only=True)
class MergeConfig:
    """How tensors of one shape become one. Raises UserError for a value out of range.

    method: a name in `Method`. density: the share of values that all but "linear" keep, at least
    one value in any tensor. election: whether signs are elected before the weights are applied
    (PEFT) or after (mergekit). seed: of what DARE drops.
    """

    method: Method = "linear"
    density: float = 0.5
    election: Election = "before"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("method", get_args(Method)), ("election", get_args(Election))):
            if getattr(self, name) not in known:
                hint = suggest(str(getattr(self, name)), known)
                raise UserError(f"there is no {name} {getattr(self, name)!r} of merging; {hint}")
        if not 0 < self.density <= 1:
            raise UserError(
                f"density is {self.density}; it lies above 0, where nothing would be left to "
                "merge, and is at most 1"
            )

    def combine(self) -> Combine:
        """The function, with random numbers of its own that go on from tensor to tensor."""
        generator = torch.Generator().manual_seed(self.seed)

        def thinned(tensors: Sequence[Tensor]) -> list[Tensor]:
            if self.method.startswith("dare"):
                return [drop(tensor, self.density, generator) for tensor in tensors]
            return [trim(tensor, self.density) for tensor in tensors]

        def combined(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
            if self.method == "linear":
                return weighted_sum(tensors, weights)
            if self.method.endswith("ties"):
                return elected_mean(thinned(tensors), weights, self.election)
            return weighted_sum(thinned(tensors), weights)

        return combined


def weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Task arithmetic, arXiv 2212.04089: the sum of the tensors times their weights."""
    stacked = torch.stack(list(tensors))
    return torch.tensordot(stacked.new_tensor(list(weights)), stacked, dims=1)


def trim(tensor: Tensor, density: float) -> Tensor:
    """The tensor with only its largest values by size kept: a share `density`, at least one.

    A share that comes to no value at all would turn the tensor into zeros without a word.
    """
    kept = max(1, int(density * tensor.numel()))
    if kept >= tensor.numel():
        return tensor
    flat = tensor.reshape(-1)
    places = flat.abs().topk(kept).indices
    return torch.zeros_like(flat).index_copy_(0, places, flat[places]).view_as(tensor)


def drop(tensor: Tensor, density: float, generator: torch.Generator | None = None) -> Tensor:
    """DARE's: each value is kept with the chance `density` and then divided by it.

    The expectation stays what it was. At density 0 that would be 0 / 0.
    """
    assert 0 < density <= 1
    if density == 1:
        return tensor
    chances = torch.full(tensor.shape, density, dtype=tensor.dtype)
    mask = torch.bernoulli(chances, generator=generator).to(tensor.device)
    return tensor * mask / density


def elected_mean(
    tensors: Sequence[Tensor], weights: Sequence[float], election: Election = "before"
) -> Tensor:
    """TIES after trimming: each place elects a sign, and the values of that sign are averaged.

    Zeros neither vote by a sign nor count in the mean; a tie elects plus. The paper has no
    weights, and where they come in differs:
    before (PEFT): the sign of the plain sum is elected, and the values times their weights are
        divided by how many they are. A model of weight 10 can be outvoted by one of weight 1, and
        weights of a half halve the result.
    after (mergekit): the sign of the weighted sum is elected, and the weighted values are divided
        by the sum of their weights, so that the size of all weights together changes nothing.
    With equal weights of 1 the two are the same.
    """
    stacked = torch.stack(list(tensors))
    weights_N = stacked.new_tensor(list(weights)).view(-1, *[1] * (stacked.ndim - 1))
    weighted = stacked * weights_N
    voting = stacked if election == "before" else weighted
    majority = torch.where(voting.sum(0) >= 0, 1.0, -1.0).to(stacked.dtype)
    agreed = voting.sign() == majority
    total = (weighted * agreed).sum(0)
    if election == "before":
        return total / agreed.sum(0).clamp_min(1)
    parts = (weights_N * agreed).sum(0)
    return total / torch.where(parts == 0, 1.0, parts)


def merge_updates(
    adapters: Sequence[AdapterWeights],
    weights: Sequence[float] = (),
    config: MergeConfig | None = None,
    *,
    rank: int | None = None,
) -> AdapterWeights:
    """Combine what adapters add to each weight, and write the result as factors again.

    weights: one an adapter, () = all 1 / n, the average of the updates. rank: of the result, cut
    by SVD; None = as high as is needed to be exact. PEFT calls this svd, ties_svd and so on.
    Raises UserError for none, for different bases, and for other kinds than LoRA.
    """
    shares = _checked(adapters, weights)
    combine = (config or MergeConfig()).combine()
    pairs = {}
    for name in _layers(adapters):
        there = [(a, share) for a, share in zip(adapters, shares, strict=True) if name in a.pairs]
        deltas = [delta_of(adapter, name) for adapter, _ in there]
        pairs[name] = factorise(combine(deltas, [share for _, share in there]), rank)
    return _adapter(adapters, pairs, rank)


def merge_factors(
    adapters: Sequence[AdapterWeights],
    weights: Sequence[float] = (),
    config: MergeConfig | None = None,
) -> AdapterWeights:
    """Combine the factors A and B apart, which is not the sum of the updates: see the module.

    As PEFT's linear, ties, dare_linear, dare_ties and magnitude_prune do it: the root of weight
    times scale goes into each factor, and a negative sign into A. Raises UserError as
    `merge_updates` does, and where ranks differ.
    """
    shares = _checked(adapters, weights)
    combine = (config or MergeConfig()).combine()
    pairs = {}
    for name in _layers(adapters):
        there = [(a, share) for a, share in zip(adapters, shares, strict=True) if name in a.pairs]
        ranks = {len(adapter.pairs[name].a_RI) for adapter, _ in there}
        if len(ranks) > 1:
            raise UserError(f"factors of ranks {sorted(ranks)} of {name!r} cannot be averaged")
        products = [share * adapter.config.scale for adapter, share in there]
        roots = [abs(product) ** 0.5 for product in products]
        signed = [r if product >= 0 else -r for r, product in zip(roots, products, strict=True)]
        pairs[name] = Pair(
            a_RI=combine([adapter.pairs[name].a_RI.float() for adapter, _ in there], signed),
            b_OR=combine([adapter.pairs[name].b_OR.float() for adapter, _ in there], roots),
        )
    return _adapter(adapters, pairs, None)


def to_lora(
    model: nn.Module, weights: AdapterWeights, *, rank: int | None = None
) -> AdapterWeights:
    """A LoHa or LoKr adapter as plain LoRA, which can be served: its update by SVD.

    rank: None = as high as is exact, up to rank squared for LoHa. Raises UserError for DoRA, whose
    update has the rank of the weight itself.
    """
    if weights.config.kind == "dora":
        raise UserError(
            "an adapter of kind dora cannot become a LoRA: it rescales the whole weight, so its "
            "update has full rank; merge it into a copy of the model instead"
        )
    if weights.config.kind == "lora":
        return weights
    pairs = {}
    for name, parts in weights.parts.items():
        layer = layer_of(linear_at(model, name), parts, weights.config)
        with torch.no_grad():
            pairs[name] = factorise(layer.delta().cpu(), rank)
    return _adapter([weights], pairs, rank)


def factorise(delta_OI: Tensor, rank: int | None = None) -> Pair:
    """The nearest update of a rank (Eckart-Young), as factors of like size.

    rank: None = the matrix's own, so that nothing is cut off but rounding.
    """
    u_OK, s_K, v_KI = torch.linalg.svd(delta_OI.float(), full_matrices=False)
    if rank is None:
        noise = s_K[0] * max(delta_OI.shape) * torch.finfo(s_K.dtype).eps
        rank = max(1, int((s_K > noise).sum()))
    root_R = s_K[:rank].sqrt()
    a_RI, b_OR = root_R[:, None] * v_KI[:rank], u_OK[:, :rank] * root_R
    return Pair(a_RI=a_RI.contiguous(), b_OR=b_OR.contiguous())


def delta_of(weights: AdapterWeights, name: str) -> Tensor:
    """What a LoRA adapter adds to a layer's weight, float32 (out, in)."""
    pair = weights.pairs[name]
    return pair.b_OR.float() @ pair.a_RI.float() * weights.config.scale


def _layers(adapters: Sequence[AdapterWeights]) -> list[str]:
    return list(dict.fromkeys(name for adapter in adapters for name in adapter.pairs))


def _checked(adapters: Sequence[AdapterWeights], weights: Sequence[float]) -> Sequence[float]:
    """The weights, all alike if there are none. Raises UserError for what cannot be merged."""
    if not adapters:
        raise UserError("there is no adapter to merge")
    if weights and len(weights) != len(adapters):
        raise UserError(f"{len(adapters)} adapters need as many weights, not {len(weights)}")
    for adapter in adapters:
        if adapter.config.kind != "lora":
            raise UserError(
                f"adapters of kind {adapter.config.kind} are not merged; turn LoHa and LoKr into "
                "LoRA first (nanohydra.adapters.merging.to_lora)"
            )
    bases = {adapter.base for adapter in adapters}
    if len(bases) > 1:
        raise UserError(f"adapters of {len(bases)} different bases cannot be merged")
    return weights or [1 / len(adapters)] * len(adapters)


def _adapter(
    adapters: Sequence[AdapterWeights], pairs: Mapping[str, Pair], rank: int | None
) -> AdapterWeights:
    """An adapter whose factors carry the scale themselves."""
    highest = rank or max(len(pair.a_RI) for pair in pairs.values())
    everywhere = any(not adapter.config.layers for adapter in adapters)
    config = LoraConfig(
        rank=highest,
        alpha=highest,
        targets=tuple(sorted({t for adapter in adapters for t in adapter.config.targets})),
        layers=() if everywhere else tuple(n for a in adapters for n in a.config.layers),
    )
    return replace(adapters[0], config=config, pairs=pairs, parts={})
