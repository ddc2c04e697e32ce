"""DoRA, LoHa and LoKr: each what PEFT computes with the same tensors, and what never changes."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nanohydra.adapters import (
    AdapterWeights,
    LoraConfig,
    attach,
    attach_weights,
    base_hash,
    concatenate,
    merge,
)
from nanohydra.adapters.base import exact_hash
from nanohydra.adapters.batch import make_ready
from nanohydra.adapters.dora import DoraLinear
from nanohydra.adapters.layer import KINDS, AdapterLinear, kind_class
from nanohydra.adapters.lokr import split
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder
from nanohydra.training.groups import kind_of

Make = Callable[..., Decoder]
OTHERS = [kind for kind in KINDS if kind != "lora"]
SHAPES = [(12, 20, 3), (32, 8, 4), (7, 13, 2), (64, 64, 9), (1, 6, 1)]  # out, in, rank


def config_of(kind: Any, **fields: Any) -> LoraConfig:
    return LoraConfig(kind=kind, **fields)


def filled(kind: str, linear: nn.Linear, rank: int, seed: int = 1) -> dict[str, torch.Tensor]:
    """Tensors of the kind in which nothing is zero."""
    generator = torch.Generator().manual_seed(seed)
    config = config_of(kind, rank=rank)
    fresh = kind_class(kind).fresh(linear, config, generator)
    noise = {n: torch.randn(t.shape, generator=generator) * 0.3 for n, t in fresh.items()}
    return {n: t + noise[n] for n, t in fresh.items()}


def of_peft(kind: str, linear: nn.Linear, rank: int, alpha: float) -> Any:
    """A model of PEFT with one linear layer of this kind."""
    peft = pytest.importorskip("peft")
    model = nn.Sequential()
    model.add_module("fc", linear)
    if kind in ("lora", "dora"):
        config = peft.LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=["fc"], use_dora=kind == "dora"
        )
    else:
        make = {"loha": peft.LoHaConfig, "lokr": peft.LoKrConfig}[kind]
        config = make(r=rank, alpha=alpha, target_modules=["fc"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(model, config)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", OTHERS)
def test_output_and_gradients_are_those_of_peft(
    kind: str, shape: tuple[int, int, int], bias: bool
) -> None:
    out, wide, rank = shape
    torch.manual_seed(0)
    linear = nn.Linear(wide, out, bias=bias)
    parts = filled(kind, linear, rank)
    layer = kind_class(kind)(linear, parts, config_of(kind, rank=rank, alpha=5.0))
    theirs = of_peft(kind, nn.Linear(wide, out, bias=bias), rank, 5.0)
    ends = kind_class(kind).peft_names
    tensors = {}
    with torch.no_grad():
        for name, tensor in theirs.named_parameters():
            own = [
                n for n, end in ends.items() if f".{end.removesuffix('.weight')}.default" in name
            ]
            if own:
                tensors[own[0]] = tensor
                tensor.copy_(parts[own[0]])
            elif name.endswith("base_layer.weight"):
                tensor.copy_(linear.weight)
            elif name.endswith("base_layer.bias"):
                tensor.copy_(linear.bias)
    assert tensors.keys() == parts.keys()
    x = torch.randn(3, 4, wide)
    inputs = [x.clone().requires_grad_(True) for _ in range(2)]
    outputs = [layer(inputs[0]), theirs(inputs[1])]
    torch.testing.assert_close(*outputs, atol=2e-5, rtol=1e-4)
    assert (outputs[0] - linear(x)).abs().max() > 0.01
    direction = torch.randn(3, 4, out)
    for output in outputs:
        (output * direction).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=5e-5, rtol=1e-4)
    for name, tensor in tensors.items():
        grad = layer.get_parameter(name).grad
        torch.testing.assert_close(grad, tensor.grad, atol=2e-4, rtol=1e-3, msg=name)
    merged = F.linear(x, linear.weight + layer.delta(), linear.bias)
    torch.testing.assert_close(layer(x), merged, atol=2e-5, rtol=1e-4)


def test_the_norm_of_dora_is_a_constant_to_the_gradient() -> None:
    """With a gradient through the norm, the update would go another way."""
    linear = nn.Linear(6, 5, bias=False)
    parts = filled("dora", linear, 2)
    layer = DoraLinear(linear, parts, LoraConfig(rank=2, alpha=2.0, kind="dora"))
    x = torch.randn(7, 6)
    layer(x).square().sum().backward()
    b, m = parts["lora_b"].clone().requires_grad_(True), parts["lora_magnitude"]
    turned = linear.weight.detach() + b @ parts["lora_a"]
    for detached in (True, False):
        norm = turned.norm(dim=1, keepdim=True)
        weight = m[:, None] * turned / (norm.detach() if detached else norm)
        (grad,) = torch.autograd.grad(F.linear(x, weight).square().sum(), b, retain_graph=True)
        assert layer.lora_b.grad is not None
        close = torch.allclose(layer.lora_b.grad, grad, atol=1e-4, rtol=1e-4)
        assert close is detached


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("adapter", OTHERS)
def test_a_fresh_one_changes_no_bit_and_detaching_leaves_the_base(
    make_model: Make, kind: str, adapter: str, dtype: torch.dtype, ids_BT: torch.Tensor
) -> None:
    model = make_model(kind).to(dtype)
    exact = exact_hash(model)
    with torch.no_grad():
        before = model(ids_BT)
        attached = attach(model, config_of(adapter, rank=3))
        assert torch.equal(model(ids_BT), before)
        assert exact_hash(model) == exact and attached.num_parameters > 0
        for parameter in attached.parameters():
            parameter.add_(0.05)
        assert (model(ids_BT) - before).abs().max() > 0.01
        with attached.enabled(False):
            assert torch.equal(model(ids_BT), before)
        attached.detach()
        assert torch.equal(model(ids_BT), before) and exact_hash(model) == exact


@pytest.mark.parametrize("adapter", OTHERS)
def test_it_learns(model: Decoder, adapter: str, ids_BT: torch.Tensor) -> None:
    attached = attach(model, config_of(adapter, rank=4))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) == len(list(attached.parameters()))
    assert {kind_of(name, p) for name, p in model.named_parameters() if name in trained} == {
        "factor"  # which no optimizer decays or orthogonalises
    }
    optimizer = torch.optim.Adam(attached.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(model(ids_BT)[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    assert all(p.grad is None for n, p in model.named_parameters() if n not in trained)


def changed(model: Decoder, adapter: str, seed: int = 0, **config: Any) -> AdapterWeights:
    """An adapter of a kind that changes the model's outputs clearly."""
    attached = attach(model, config_of(adapter, rank=3, **config), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in attached.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    weights = attached.weights(base_hash(model))
    attached.detach()
    return weights


@pytest.mark.parametrize("adapter", OTHERS)
def test_weights_come_back_and_are_merged(
    model: Decoder, adapter: str, ids_BT: torch.Tensor
) -> None:
    weights = changed(model, adapter)
    assert not weights.pairs and weights.num_bytes > 0
    attached = attach_weights(model, weights)
    logits = model(ids_BT)
    assert attached.weights(weights.base).id == weights.id
    attached.detach()
    merged = merge(model, weights)
    torch.testing.assert_close(merged.model(ids_BT), logits, atol=1e-4, rtol=0)
    assert exact_hash(merged.unmerge()) == exact_hash(model)
    other = attach(model, replace(weights.config, rank=2), seed=1)
    other.load(weights)
    assert torch.equal(model(ids_BT), logits)
    few = {name: parts for name, parts in weights.parts.items() if "blocks.0" in name}
    other.load(replace(weights, parts=few))
    reloaded = model(ids_BT)
    other.detach()
    attach_weights(model, replace(weights, parts=few))
    assert torch.equal(model(ids_BT), reloaded)


@pytest.mark.parametrize("adapter", OTHERS)
def test_what_they_cannot_do_is_refused(model: Decoder, adapter: str) -> None:
    weights = changed(model, adapter)
    with pytest.raises(UserError, match=f"adapter x is of kind {adapter}, and only plain LoRA"):
        make_ready(model, weights, base=weights.base, id="x")
    with pytest.raises(UserError, match=f"kind {adapter} has no factors"):
        concatenate([weights])
    attached = attach(model, LoraConfig())
    with pytest.raises(UserError, match=f"of kind {adapter} cannot take the place of one of kind"):
        attached.load(weights)
    attached.detach()
    name = "blocks.0.mixer.q_proj"
    first = next(iter(weights.parts[name]))
    for parts in (
        {k: v for k, v in weights.parts[name].items() if k != first},
        {**weights.parts[name], first: torch.ones(5, 7)},
        {**weights.parts[name], "strange": torch.ones(2, 2)},
    ):
        with pytest.raises(UserError, match="'blocks.0.mixer.q_proj' do not fit a layer from 32"):
            attach_weights(model, replace(weights, parts={name: parts}))


def test_ids_of_plain_adapters_are_what_they_were(model: Decoder, weights: AdapterWeights) -> None:
    """As they were formed before there were kinds, which the folders of a bank are named by."""
    old = {k: v for k, v in asdict(weights.config).items() if k != "kind"}
    digest = hashlib.sha256(weights.base.encode())
    digest.update(json.dumps(old, sort_keys=True).encode())
    for name in sorted(weights.pairs):
        digest.update(name.encode())
        for tensor in (weights.pairs[name].a_RI, weights.pairs[name].b_OR):
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.numpy().tobytes())
    assert weights.id == digest.hexdigest()[:16]
    ids = {changed(model, kind).id for kind in OTHERS}
    dora = changed(model, "dora")
    ids.add(replace(dora, config=replace(dora.config, alpha=9.0)).id)
    assert len(ids) == len(OTHERS) + 1


def test_unknown_kinds_and_dropout() -> None:
    with pytest.raises(UserError, match="no kind of adapter 'dore'; did you mean 'dora'"):
        config_of("dore")
    with pytest.raises(UserError, match="kind loha takes no dropout"):
        config_of("loha", dropout=0.1)


def test_dropout_of_dora_reaches_both_products() -> None:
    linear = nn.Linear(8, 4)
    config = LoraConfig(rank=2, dropout=0.5, kind="dora")
    layer = DoraLinear(linear, filled("dora", linear, 2), config).train()
    x = torch.ones(2000, 8)
    torch.manual_seed(0)
    found = layer(x).mean(0)
    assert len(layer(x).unique(dim=0)) > 1
    torch.testing.assert_close(found, layer.eval()(x)[0], atol=0.15, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 7, 12, 36, 64, 127, 128, 960, 1536, 14336])
def test_sizes_are_split_as_peft_splits_them(size: int) -> None:
    layer = pytest.importorskip("peft.tuners.lokr.layer")
    for factor in (-1, 2, 4, 5, 8, 16):
        assert split(size, factor) == layer.factorization(size, factor), factor


def test_the_table() -> None:
    for kind in OTHERS:
        assert issubclass(KINDS.load(kind), AdapterLinear)
    for kind in KINDS:
        config_of(kind)
