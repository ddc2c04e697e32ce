"""Merging: identities that must hold, PEFT's results on the same tensors, and the known traps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nanohydra.adapters import AdapterWeights, LoraConfig, Pair, attach_weights, concatenate
from nanohydra.adapters.merging import (
    MergeConfig,
    delta_of,
    drop,
    elected_mean,
    factorise,
    merge_factors,
    merge_updates,
    to_lora,
    trim,
    weighted_sum,
)
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder
from tests.adapters.test_kinds import changed

MakeWeights = Callable[..., AdapterWeights]
NAME = "blocks.0.mixer.q_proj"
METHODS: list[Any] = ["linear", "magnitude_prune", "ties", "dare_linear", "dare_ties"]
SHAPE = (7, 11)


def tensors(count: int = 3, shape: tuple[int, ...] = SHAPE) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.7, 2.0, -0.4), (0.2, 0.3, 0.5)])
@pytest.mark.parametrize("density", [0.3, 0.8])
@pytest.mark.parametrize("method", METHODS)
def test_tensors_are_combined_as_peft_does(
    method: Any, density: float, weights: tuple[float, ...]
) -> None:
    theirs = pytest.importorskip("peft.utils.merge_utils")
    name = {"linear": "task_arithmetic"}.get(method, method)
    options = {} if method == "linear" else {"density": density}
    torch.manual_seed(5)
    expected = getattr(theirs, name)(tensors(), torch.tensor(weights), **options)
    found = MergeConfig(method=method, density=density, seed=5).combine()(tensors(), weights)
    torch.testing.assert_close(found, expected)


def lora(a: Tensor, b: Tensor, alpha: float = 6.0, base: str = "x") -> AdapterWeights:
    return AdapterWeights(
        config=LoraConfig(rank=len(a), alpha=alpha), base=base, pairs={"fc": Pair(a_RI=a, b_OR=b)}
    )


def two(rank: int = 3) -> list[AdapterWeights]:
    generator = torch.Generator().manual_seed(8)
    return [
        lora(
            torch.randn(rank, 10, generator=generator),
            torch.randn(8, rank, generator=generator),
            alpha=alpha,
        )
        for alpha in (6.0, 4.5)
    ]


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 1.5), (1.0, -0.5)])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", ["factors", "updates"])
def test_adapters_are_merged_as_peft_does(
    method: Any, space: str, weights: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    peft = pytest.importorskip("peft")
    ours = two()
    model = nn.Sequential()
    model.add_module("fc", nn.Linear(10, 8, bias=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, adapter in zip(("one", "two"), ours, strict=True):
            config = peft.LoraConfig(r=3, lora_alpha=adapter.config.alpha, target_modules=["fc"])
            if name == "one":
                model = peft.get_peft_model(model, config, adapter_name=name)
            else:
                model.add_adapter(name, config)
        layer = model.base_model.model.fc
        with torch.no_grad():
            for name, adapter in zip(("one", "two"), ours, strict=True):
                layer.lora_A[name].weight.copy_(adapter.pairs["fc"].a_RI)
                layer.lora_B[name].weight.copy_(adapter.pairs["fc"].b_OR)
        inject = model.base_model.inject_adapter

        def then_seed(*args: Any, **kwargs: Any) -> None:
            inject(*args, **kwargs)  # draws a fresh adapter
            torch.manual_seed(4)

        monkeypatch.setattr(model.base_model, "inject_adapter", then_seed)
        end = "" if space == "factors" else "_svd"
        kind = "svd" if method == "linear" and end else method + end
        model.add_weighted_adapter(
            ["one", "two"], list(weights), "both", kind, svd_rank=5, density=0.6
        )
    how = MergeConfig(method=method, density=0.6, seed=4)
    if space == "factors":
        found = merge_factors(ours, weights, how)
    else:
        found = merge_updates(ours, weights, how, rank=5)
    expected = layer.get_delta_weight("both").detach()
    torch.testing.assert_close(delta_of(found, "fc"), expected, atol=1e-5, rtol=1e-4)


def test_a_merge_of_one_is_that_one(model: Decoder, make_weights: MakeWeights) -> None:
    weights = make_weights(model)
    exact = delta_of(weights, NAME)
    for how in (MergeConfig(), MergeConfig(method="ties", density=1.0)):
        for merged in (merge_updates([weights], config=how), merge_factors([weights], config=how)):
            torch.testing.assert_close(delta_of(merged, NAME), exact, atol=1e-6, rtol=1e-4)
            assert merged.base == weights.base and merged.config.scale == 1.0


def test_the_average_of_updates_is_exact_and_that_of_factors_almost_all_error(
    model: Decoder, make_weights: MakeWeights
) -> None:
    both = [make_weights(model, seed, rank=4) for seed in (0, 1)]
    true = (delta_of(both[0], NAME) + delta_of(both[1], NAME)) / 2
    svd = merge_updates(both)
    assert max(len(pair.a_RI) for pair in svd.pairs.values()) == 8  # the sum of the ranks
    torch.testing.assert_close(delta_of(svd, NAME), true, atol=1e-6, rtol=1e-4)
    side_by_side = delta_of(concatenate(both), NAME) / 2
    torch.testing.assert_close(side_by_side, true, atol=1e-6, rtol=1e-4)
    wrong = delta_of(merge_factors(both), NAME)
    assert (wrong - true).norm() > 0.8 * true.norm()
    cut = delta_of(merge_updates(both, rank=4), NAME)
    assert 0.05 * true.norm() < (cut - true).norm() < 0.7 * true.norm()
    attach_weights(model, svd)  # what comes out is an ordinary adapter


def test_layers_that_only_one_adapts(model: Decoder, make_weights: MakeWeights) -> None:
    wide, narrow = make_weights(model, 0), make_weights(model, 1, targets=("v_proj",))
    merged = merge_updates([wide, narrow], (1.0, 1.0))
    torch.testing.assert_close(delta_of(merged, NAME), delta_of(wide, NAME), atol=1e-6, rtol=1e-4)
    assert merged.pairs.keys() == wide.pairs.keys()


def test_the_best_update_of_a_rank() -> None:
    delta = tensors(1, (9, 6))[0]
    values = torch.linalg.svdvals(delta)
    for rank in (1, 3, 6):
        pair = factorise(delta, rank)
        error = (pair.b_OR @ pair.a_RI - delta).norm()
        torch.testing.assert_close(error, values[rank:].norm(), atol=1e-5, rtol=1e-4)
    low = factorise(torch.outer(torch.ones(9), torch.arange(6.0)))
    assert len(low.a_RI) == 1 and len(factorise(torch.zeros(4, 4)).a_RI) == 1


def test_ties_by_hand() -> None:
    """Four places: all agree; one is outvoted; zeros do not vote; a tie elects plus."""
    found = elected_mean(
        [torch.tensor([2.0, 5.0, 0.0, 1.0]), torch.tensor([4.0, -1.0, -3.0, -1.0])], (1.0, 1.0)
    )
    assert found.tolist() == [3.0, 5.0, -3.0, 1.0]


def test_where_the_election_is_held_matters() -> None:
    """The model of weight 10 is outvoted before the weights, and wins after them."""
    both = [torch.tensor([1.0]), torch.tensor([-4.0])]
    assert elected_mean(both, (10.0, 1.0), "before").item() == -4.0
    assert elected_mean(both, (10.0, 1.0), "after").item() == 1.0
    for shares in ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0)):
        before = elected_mean(tensors(), shares, "before")
        after = elected_mean(tensors(), shares, "after")
        torch.testing.assert_close(before, after * shares[0])  # after divides the weights out


def test_a_small_density_keeps_a_value() -> None:
    """int(0.01 * 77) is 0, and nothing at all would be left."""
    tensor = tensors(1)[0]
    kept = trim(tensor, 0.01)
    assert kept.count_nonzero() == 1 and kept.abs().max() == tensor.abs().max()
    assert trim(tensor, 0.5).count_nonzero() == 38 and torch.equal(trim(tensor, 1.0), tensor)


@pytest.mark.parametrize("density", [0.0, -0.1, 1.5, float("nan")])
def test_densities_out_of_range(density: float) -> None:
    with pytest.raises(UserError, match="density is"):
        MergeConfig(method="dare_ties", density=density)


def test_dare_keeps_the_expectation_and_follows_its_seed() -> None:
    ones = torch.ones(200, 200)
    dropped = drop(ones, 0.2, torch.Generator().manual_seed(0))
    assert abs(float(dropped.mean()) - 1) < 0.03
    assert set(dropped.unique().tolist()) == {0.0, 5.0}
    found = [
        MergeConfig(method="dare_linear", seed=seed).combine()(tensors(), (1.0,) * 3)
        for seed in (0, 0, 1)
    ]
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    state = torch.get_rng_state()
    MergeConfig(method="dare_ties").combine()(tensors(), (1.0,) * 3)
    assert torch.equal(torch.get_rng_state(), state)


def test_weighted_sums_of_nothing_but_weights() -> None:
    found = weighted_sum([torch.ones(2), torch.full((2,), 3.0)], (0.5, -1.0))
    assert found.tolist() == [-2.5, -2.5]


@pytest.mark.parametrize("kind", ["loha", "lokr"])
def test_other_kinds_become_lora_exactly(model: Decoder, kind: str, ids_BT: Tensor) -> None:
    weights = changed(model, kind)
    attached = attach_weights(model, weights)
    logits = model(ids_BT)
    attached.detach()
    plain = to_lora(model, weights)
    assert plain.config.kind == "lora" and plain.base == weights.base
    if kind == "loha":
        assert plain.config.rank <= 9  # three squared
    attach_weights(model, plain)
    torch.testing.assert_close(model(ids_BT), logits, atol=1e-4, rtol=0)


def test_what_cannot_be_merged(model: Decoder) -> None:
    one, other = two()
    for make in (merge_updates, merge_factors):
        with pytest.raises(UserError, match="no adapter"):
            make([])
        with pytest.raises(UserError, match="2 adapters need as many weights, not 1"):
            make([one, other], (1.0,))
        with pytest.raises(UserError, match="2 different bases"):
            make([one, lora(torch.ones(3, 10), torch.ones(8, 3), base="y")])
        with pytest.raises(UserError, match="kind dora are not merged"):
            make([changed(model, "dora")])
    with pytest.raises(UserError, match=r"ranks \[2, 3\]"):
        merge_factors([one, two(2)[0]])
    with pytest.raises(UserError, match="no method 'tie' of merging; did you mean 'ties'"):
        MergeConfig(method="tie")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="dora cannot become a LoRA"):
        to_lora(model, changed(model, "dora"))
