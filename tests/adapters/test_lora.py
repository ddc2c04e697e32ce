"""LoRA on a model in memory: what changes, what never does, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nanohydra.adapters import (
    AdapterWeights,
    LoraConfig,
    LoraLinear,
    Pair,
    attach,
    attach_weights,
    base_hash,
)
from nanohydra.adapters.base import exact_hash
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder

Make = Callable[..., Decoder]
MakeWeights = Callable[..., AdapterWeights]


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """So that 0.0 and -0.0 differ and NaN equals itself."""
    return tensor.detach().contiguous().view(torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fresh_adapter_changes_no_bit(
    make_model: Make, kind: str, dtype: torch.dtype, ids_BT: torch.Tensor
) -> None:
    model = make_model(kind).to(dtype)
    with torch.no_grad():
        before = model(ids_BT)
        attached = attach(model, LoraConfig(rank=4))
        assert torch.equal(bits(model(ids_BT)), bits(before))
        state = model.init_state(2, 20)  # decoding one by one as well
        steps = [model(ids_BT[:, t : t + 1], state=state) for t in range(5)]
        attached.detach()
        state = model.init_state(2, 20)
        for t, step in enumerate(steps):
            assert torch.equal(bits(step), bits(model(ids_BT[:, t : t + 1], state=state)))


def test_the_update_is_the_product_of_the_factors(
    make_model: Make, make_weights: MakeWeights, kind: str
) -> None:
    model = make_model(kind)
    weights = make_weights(model)
    attached = attach_weights(model, weights)
    assert attached.layers.keys() == weights.pairs.keys()
    for name, layer in attached.layers.items():
        pair = weights.pairs[name]
        x = torch.randn(2, 5, layer.in_features)
        merged = layer.weight + pair.b_OR @ pair.a_RI * (8.0 / 4)
        torch.testing.assert_close(layer(x), F.linear(x, merged, layer.bias), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(layer(x)[1, 3], layer(x[1, 3]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inner", [True, False])
def test_the_fused_gradients_are_those_of_the_plain_operators(bias: bool, inner: bool) -> None:
    linear = nn.Linear(6, 5, bias=bias).double().requires_grad_(False)
    pair = Pair(a_RI=torch.randn(3, 6), b_OR=torch.randn(5, 3))
    layer = LoraLinear(linear, pair, scale=1.5).double()
    found = []
    for plain in (False, True):
        x = torch.linspace(-1, 1, 48, dtype=torch.float64).view(2, 4, 6).requires_grad_(inner)
        linear.weight.requires_grad_(plain)  # takes the other path
        y = layer(x)
        y.square().sum().backward()
        found.append((y.detach(), x.grad, layer.lora_a.grad, layer.lora_b.grad))
        layer.lora_a.grad = layer.lora_b.grad = None
    assert linear.weight.grad is not None and (found[0][1] is not None) == inner
    torch.testing.assert_close(found[0], found[1])


def test_embeddings_and_head_are_left_out(make_model: Make, kind: str) -> None:
    for tied in (True, False):
        model = make_model(kind, tie_embeddings=tied)
        attached = attach(model, LoraConfig(targets=("*",)))
        assert not [name for name in attached.layers if "head" in name or "embed" in name]
        assert all(name.startswith("blocks.") for name in attached.layers)


def test_the_first_gradient_of_a_is_zero_and_the_second_is_not(
    model: Decoder, ids_BT: torch.Tensor
) -> None:
    attached = attach(model, LoraConfig(rank=4))
    for first in (True, False):
        model(ids_BT).square().mean().backward()
        for layer in attached.layers.values():
            assert layer.lora_a.grad is not None and layer.lora_b.grad is not None
            assert layer.lora_b.grad.abs().max() > 0
            assert bool((layer.lora_a.grad == 0).all()) == first
            with torch.no_grad():
                layer.lora_b -= layer.lora_b.grad
            layer.lora_a.grad = layer.lora_b.grad = None
    assert not [n for n, p in model.named_parameters() if p.requires_grad and "lora_" not in n]
    assert all(p.grad is None for p in model.parameters())


def test_attaching_leaves_the_random_state_alone_and_follows_the_seed(model: Decoder) -> None:
    state = torch.get_rng_state()
    drawn = []
    for seed in (0, 0, 1):
        attached = attach(model, LoraConfig(rank=4), seed=seed)
        drawn.append(attached.weights("base").id)
        for layer in attached.layers.values():
            bound = layer.in_features**-0.5
            assert 0.5 * bound < layer.lora_a.abs().max() <= bound
            assert not layer.lora_b.any()
        attached.detach()
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_switched_off_and_detached_the_model_is_the_base(
    model: Decoder, weights: AdapterWeights, ids_BT: torch.Tensor
) -> None:
    before, exact = model(ids_BT), exact_hash(model)
    names = list(model.state_dict())
    model.final_norm.weight.requires_grad_(False)
    attached = attach_weights(model, weights)
    changed = model(ids_BT)
    assert (changed - before).abs().max() > 0.1
    with attached.enabled(False):
        assert torch.equal(bits(model(ids_BT)), bits(before))
        with attached.enabled(True):
            assert torch.equal(model(ids_BT), changed)
    assert torch.equal(model(ids_BT), changed)
    assert base_hash(model) == weights.base and exact_hash(model) == exact
    assert attached.weights(weights.base).id == weights.id
    assert attached.detach() is model
    assert torch.equal(bits(model(ids_BT)), bits(before)) and list(model.state_dict()) == names
    assert not [m for m in model.modules() if isinstance(m, LoraLinear)]
    free = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert free == {"final_norm.weight"}


def test_dropout_acts_on_the_update_while_training_only(
    model: Decoder, make_weights: MakeWeights, ids_BT: torch.Tensor
) -> None:
    attach_weights(model, make_weights(model, dropout=0.5))
    torch.manual_seed(0)
    assert torch.equal(model(ids_BT), model(ids_BT))
    model.train()
    assert not torch.equal(model(ids_BT), model(ids_BT))


def test_factors_of_another_rank_are_loaded_and_missing_layers_change_nothing(
    model: Decoder, make_weights: MakeWeights, ids_BT: torch.Tensor
) -> None:
    few = make_weights(model, rank=2, alpha=3.0, targets=("q_proj",))
    expected = attach_weights(model, few)
    logits = model(ids_BT)
    expected.detach()
    attached = attach(model, LoraConfig(rank=4))
    attached.load(few)
    torch.testing.assert_close(model(ids_BT), logits)
    attached.detach()
    narrow = attach(model, LoraConfig(targets=("k_proj",)))
    with pytest.raises(UserError, match=r"no place for 'blocks\.0\.mixer\.q_proj'"):
        narrow.load(few)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"targets": ("q_proj",), "layers": (1,)}, ["blocks.1.mixer.q_proj"]),
        ({"targets": ("blocks.2.*.down_proj",)}, ["blocks.2.feed_forward.down_proj"]),
        ({"targets": ("mixer.[kv]_proj",), "layers": (0,)}, ["k_proj", "v_proj"]),
    ],
)
def test_targets(model: Decoder, config: dict[str, tuple[str, ...]], found: list[str]) -> None:
    names = list(attach(model, LoraConfig(**config)).layers)  # type: ignore[arg-type]
    assert len(names) == len(found)
    assert all(name.endswith(end) for name, end in zip(names, found, strict=True))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"targets": ("q_prj",)}, r"'q_prj'; did you mean 'q_proj'\?.*down_proj"),
        ({"targets": ("q_proj", "head")}, r"no linear layer is called 'head'"),
        ({"layers": (0, 3)}, r"no layer 3; it has 3 from 0 on"),
    ],
)
def test_what_is_not_there_is_named(
    model: Decoder, config: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        attach(model, LoraConfig(**config))  # type: ignore[arg-type]
    assert all(p.requires_grad for p in model.parameters())


def test_usual_targets_that_a_model_lacks(make_model: Make) -> None:
    model = make_model("gpt2")
    assert {n.rsplit(".", 1)[-1] for n in attach(model, LoraConfig()).layers} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj",
    }  # fmt: skip
    with pytest.raises(UserError, match="no linear layer called gate_proj"):
        attach(make_model("gpt2"), LoraConfig(targets=("gate_proj",)))


def test_factors_of_another_model_are_refused(model: Decoder, weights: AdapterWeights) -> None:
    name = "blocks.0.mixer.q_proj"
    for pair in (
        Pair(a_RI=torch.zeros(4, 33), b_OR=torch.zeros(32, 4)),
        Pair(a_RI=torch.zeros(4, 32), b_OR=torch.zeros(32, 5)),
        Pair(a_RI=torch.zeros(0, 32), b_OR=torch.zeros(32, 0)),
    ):
        wrong = AdapterWeights(config=weights.config, base="", pairs={name: pair})
        with pytest.raises(UserError, match=r"q_proj.*another model"):
            attach_weights(model, wrong)
    wrong = AdapterWeights(config=weights.config, base="", pairs={"blocks.9.x": pair})
    with pytest.raises(UserError, match=r"no linear layer 'blocks\.9\.x'"):
        attach_weights(model, wrong)


@pytest.mark.parametrize(
    "values", [{"rank": 0}, {"alpha": 0.0}, {"alpha": float("nan")}, {"dropout": 1.0}]
)
def test_values_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(UserError, match=str(next(iter(values)))):
        LoraConfig(**values)  # type: ignore[arg-type]


def test_the_hash_of_a_base(make_model: Make) -> None:
    model = make_model()
    found = base_hash(model)
    assert len(found) == 64 and found == base_hash(make_model())
    assert found == base_hash(make_model().bfloat16())  # served in another dtype
    assert exact_hash(model) != exact_hash(make_model().bfloat16())
    assert found != base_hash(make_model(seed=1)) != base_hash(make_model(num_layers=2))
    exact = exact_hash(model)
    with torch.no_grad():
        model.blocks[1].mixer.q_proj.weight[3, 4] += 1e-7  # type: ignore[union-attr,index]
    assert base_hash(model) == found and exact_hash(model) != exact
    with torch.no_grad():
        model.blocks[1].mixer.q_proj.weight[3, 4] += 0.1  # type: ignore[union-attr,index]
    assert base_hash(model) != found


def test_an_id_names_the_content(model: Decoder, weights: AdapterWeights) -> None:
    assert len(weights.id) == 16
    ids = {weights.id}
    for change in (
        {"base": "other"},
        {"config": LoraConfig(rank=4, alpha=9.0)},
        {"pairs": dict(list(weights.pairs.items())[1:])},
    ):
        fields = {"config": weights.config, "base": weights.base, "pairs": weights.pairs}
        ids.add(AdapterWeights(**{**fields, **change}).id)  # type: ignore[arg-type]
    assert len(ids) == 4
    whole = AdapterWeights(
        config=LoraConfig(
            rank=4,
            alpha=8,
            dropout=0,
            targets=list(weights.config.targets),  # type: ignore[arg-type]
        ),  # fmt: skip
        base=weights.base,
        pairs=weights.pairs,
    )
    assert whole.id == weights.id
