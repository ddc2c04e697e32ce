"""Adapters as one, and adapters in weights: exact, and the base never touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nanohydra.adapters import (
    AdapterWeights,
    LoraConfig,
    Pair,
    attach,
    attach_weights,
    concatenate,
    merge,
)
from nanohydra.adapters.base import base_hash, exact_hash
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder

Make = Callable[..., Decoder]
MakeWeights = Callable[..., AdapterWeights]


def delta(weights: AdapterWeights, name: str) -> torch.Tensor:
    """What an adapter adds to a weight, in float64."""
    pair = weights.pairs[name]
    return pair.b_OR.double() @ pair.a_RI.double() * weights.config.scale


def test_concatenated_is_the_sum(make_model: Make, make_weights: MakeWeights, kind: str) -> None:
    model = make_model(kind)
    parts = [
        make_weights(model, 0),
        make_weights(model, 1, rank=3, alpha=5.0, targets=("q_proj", "down_proj")),
        make_weights(model, 2, rank=1, layers=(2,)),
    ]
    both = concatenate(parts)
    assert both.config.scale == 1.0 and both.base == parts[0].base
    for name in both.pairs:
        expected = sum(delta(part, name) for part in parts if name in part.pairs)
        torch.testing.assert_close(delta(both, name), expected, atol=1e-7, rtol=1e-6)
    assert both.pairs.keys() == set().union(*(part.pairs for part in parts))


def test_one_alone_is_itself(model: Decoder, weights: AdapterWeights) -> None:
    alone = concatenate([weights])
    for name in weights.pairs:
        torch.testing.assert_close(delta(alone, name), delta(weights, name), atol=0, rtol=1e-7)


def test_a_mean_of_factors_would_be_wrong(model: Decoder, make_weights: MakeWeights) -> None:
    """Why there is no weighted mean of factors here."""
    a, b = make_weights(model, 0), make_weights(model, 1)
    name = "blocks.0.mixer.q_proj"
    mean = (a.pairs[name].b_OR + b.pairs[name].b_OR) @ (a.pairs[name].a_RI + b.pairs[name].a_RI)
    true = (delta(a, name) + delta(b, name)) / 2
    assert (mean / 4 * a.config.scale - true).norm() > 0.5 * true.norm()
    both = concatenate([a, b])
    torch.testing.assert_close(delta(both, name) / 2, true)


def test_what_cannot_be_concatenated(weights: AdapterWeights) -> None:
    other = AdapterWeights(config=weights.config, base="0" * 64, pairs=weights.pairs)
    with pytest.raises(UserError, match="2 different bases"):
        concatenate([weights, other])
    with pytest.raises(UserError, match="no adapter"):
        concatenate([])


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-4), (torch.bfloat16, 0.5)])
def test_merged_is_as_attached_and_the_base_is_untouched(
    make_model: Make,
    make_weights: MakeWeights,
    kind: str,
    dtype: torch.dtype,
    atol: float,
    ids_BT: torch.Tensor,
) -> None:
    model = make_model(kind).to(dtype)
    weights = make_weights(model)
    exact, logits = exact_hash(model), model(ids_BT)
    merged = merge(model, weights)
    assert exact_hash(model) == exact and exact_hash(merged.model) != exact
    attached = attach_weights(model, weights)
    torch.testing.assert_close(merged.model(ids_BT), model(ids_BT), atol=atol, rtol=0)
    attached.detach()
    assert (merged.model(ids_BT) - logits).abs().max() > 0.1
    assert base_hash(merged.model) != weights.base  # so that no adapter of the base fits it
    back = merged.unmerge()
    assert back is merged.model and exact_hash(back) == exact
    assert torch.equal(back(ids_BT), logits) and torch.equal(model(ids_BT), logits)


def test_subtracting_would_not_give_the_base_back(model: Decoder, weights: AdapterWeights) -> None:
    """Why the pristine weights are kept."""
    name = "blocks.0.mixer.q_proj"
    weight = model.get_submodule(name).weight.detach()
    update = delta(weights, name).float()
    assert not torch.equal((weight + update) - update, weight)


def test_a_tied_head_is_not_moved(make_model: Make, make_weights: MakeWeights) -> None:
    model = make_model(tie_embeddings=True)
    merged = merge(model, make_weights(model, targets=("*",)))
    assert isinstance(merged.model, Decoder)
    assert merged.model.head.weight is merged.model.embed.weight
    assert torch.equal(merged.model.embed.weight, model.embed.weight)


def test_what_cannot_be_merged(make_model: Make, model: Decoder, weights: AdapterWeights) -> None:
    with pytest.raises(UserError, match="for another base"):
        merge(make_model(seed=1), weights)
    name = "blocks.0.mixer.q_proj"
    pair = weights.pairs[name]
    huge = Pair(a_RI=pair.a_RI * 1e30, b_OR=pair.b_OR * 1e30)
    with pytest.raises(UserError, match="infinite"):
        merge(model, AdapterWeights(config=weights.config, base=weights.base, pairs={name: huge}))
    attach(model, LoraConfig())
    with pytest.raises(AssertionError, match="detach"):
        merge(model, weights)


def test_a_base_that_was_trained_on_is_noticed(model: Decoder, weights: AdapterWeights) -> None:
    merged = merge(model, weights)
    with torch.no_grad():
        model.get_submodule("blocks.0.mixer.q_proj").weight[0, 0] += 1e-3
    with pytest.raises(UserError, match="is not the base"):
        merged.unmerge()
    assert isinstance(merged.model, Decoder)
