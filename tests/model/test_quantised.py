"""A decoder with whole weights: near the one it was made from, step by step, with adapters."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from nanohydra.adapters import LoraConfig, attach, base_hash, merge
from nanohydra.adapters.batch import RowAdapters, make_ready
from nanohydra.core.errors import UserError
from nanohydra.kernels import native, step
from nanohydra.kernels.int4 import unpack
from nanohydra.model import Decoder, ModelConfig
from nanohydra.model.quantised import (
    KINDS,
    Int4Linear,
    Int8Linear,
    QuantisedLinear,
    is_quantised,
    num_bytes,
    quantise_decoder,
)
from tests.model.test_decoder import LAYERS, STYLES, build, ids

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.05}
ROUNDING = {"int8": 0.06, "int4": 0.7}  # of logits, by rounding the weights


@pytest.fixture(params=["native", "plain"], autouse=True)
def either_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(native, "library", lambda: None)
        monkeypatch.setattr(step, "library", lambda: None)
    elif native.library() is None or step.library() is None:
        pytest.skip("there is no C compiler here")


def round_weights(model: Decoder, quantised: Decoder) -> None:
    """Give a model the weights that the whole ones of its quantised copy mean."""
    for name, module in quantised.named_modules():
        if isinstance(module, QuantisedLinear):
            weight: Tensor = model.get_submodule(name).weight  # type: ignore[assignment]
            weight.copy_(rounded(module))


def rounded(layer: QuantisedLinear) -> Tensor:
    """The weights that whole ones mean."""
    whole: Tensor = layer.weight
    if isinstance(layer, Int4Linear):
        whole = unpack(whole, layer.out_features, layer.in_features)
    return whole * layer.scale[:, None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layer", LAYERS)
@torch.inference_mode()
def test_it_computes_with_rounded_weights_and_steps_equal_one_pass(
    style: str, layer: str, dtype: torch.dtype, kind: str
) -> None:
    model = build(LAYERS[layer], **STYLES[style]).eval()
    x = ids(1, 20)
    exact = model(x)
    quantised = quantise_decoder(copy.deepcopy(model), dtype, kind)
    round_weights(model, quantised)
    whole, expected = quantised(x), model(x)
    state = quantised.init_state(1, 24)
    steps = torch.cat([quantised(x[:, t : t + 1], state=state) for t in range(20)], 1)
    assert is_quantised(quantised) and whole.dtype == dtype
    assert 0 < (expected - exact).norm() < ROUNDING[kind] * exact.norm()
    assert (whole - expected).norm() < TOLERANCE[dtype] * expected.norm()
    assert (steps - whole).norm() < TOLERANCE[dtype] * whole.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_and_what_is_rounded(kind: str) -> None:
    for tied in (False, True):
        model = build(tie_embeddings=tied).eval()
        embedding = model.embed.weight.detach().clone()
        quantise_decoder(model, torch.bfloat16, kind)
        assert isinstance(model.head, Int8Linear) is not tied
        assert isinstance(model.get_submodule("blocks.0.mixer.q_proj"), KINDS[kind])
        assert (model.head.weight is model.embed.weight) is tied
        assert torch.equal(model.embed.weight, embedding.bfloat16())
        names = [name for name, m in model.named_modules() if type(m) is nn.Linear]
        assert not names and not any(p.requires_grad for p in model.parameters())
        held = [*model.parameters(), *model.buffers()]
        assert sum(t.nbytes for t in held) == num_bytes(model.config, torch.bfloat16, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cast_leaves_the_scales_alone(kind: str) -> None:
    model = quantise_decoder(build().eval(), kind=kind)
    before = {name: b.clone() for name, b in model.named_buffers() if name.endswith("scale")}
    model.to(torch.bfloat16)
    after = dict(model.named_buffers())
    assert before and model.dtype == torch.bfloat16
    assert all(torch.equal(after[name], scale) for name, scale in before.items())


@pytest.mark.parametrize(("tied", "kind"), [(False, "int8"), (True, "int8"), (False, "int4")])
@pytest.mark.parametrize("dtype", TOLERANCE)
@torch.inference_mode()
def test_adapters_of_the_pristine_base_fit_rows(dtype: torch.dtype, tied: bool, kind: str) -> None:
    model: Decoder = build(tie_embeddings=tied, bias_on=("qkv",)).eval()
    base = base_hash(model)
    quantised = quantise_decoder(copy.deepcopy(model), dtype, kind)
    assert base_hash(quantised) == base
    attached = attach(model, LoraConfig(rank=2, alpha=4.0, targets=("q_proj", "up_proj")))
    for layer in attached.layers.values():
        layer.lora_b.fill_(0.3)
    weights = attached.weights(base)
    x = ids(2, 20)
    near = 0.04 if kind == "int8" else 0.35
    exact = model(x)
    ready = make_ready(quantised, weights, base=base_hash(quantised), id="one")
    assert all(t.dtype == dtype for pair in ready.factors.values() for t in pair)
    plain = quantised(x)
    with RowAdapters(quantised, 2).plan([ready, None]):
        both = quantised(x)
        alone = quantised(x[:1, :1])
    assert torch.equal(both[1], plain[1])
    assert (both[0].float() - exact[0]).norm() < near * exact[0].norm()
    assert (plain[0].float() - exact[0]).norm() > 1.3 * near * exact[0].norm()
    assert (alone[0] - both[0, :1]).norm() < 0.03 * alone.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_neither_taught_nor_trained_nor_merged(kind: str) -> None:
    model = build().eval()
    base, config = base_hash(model), LoraConfig(rank=2, targets=("q_proj",))
    attached = attach(model, config)
    weights = attached.weights(base)
    whole: Decoder = copy.deepcopy(attached.detach())  # type: ignore[assignment]
    quantised = quantise_decoder(whole, kind=kind)
    with pytest.raises(UserError, match=f"{kind} weights cannot be taught"):
        attach(quantised, config)
    with pytest.raises(UserError, match="cannot be merged"):
        merge(quantised, weights)
    quantised.embed.weight.requires_grad_(True)
    with pytest.raises(UserError, match=f"{kind} weights cannot be trained"):
        quantised(ids(1, 4))


def test_the_size_is_known_before() -> None:
    config = ModelConfig(vocab_size=64, hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=1)
    whole = 2 * sum(p.numel() for p in Decoder(config).parameters())
    assert 0.5 * whole < num_bytes(config, torch.bfloat16) < 0.7 * whole
    assert 0.25 * whole < num_bytes(config, torch.bfloat16, "int4") < 0.6 * whole
