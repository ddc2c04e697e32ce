"""AdamW equals PyTorch's, Muon orthogonalises, and parameters go where they belong."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nanohydra.core.errors import UserError
from nanohydra.training import TrainConfig
from nanohydra.training.groups import kind_of
from nanohydra.training.muon import orthogonalize
from nanohydra.training.optimizers import Optimizers
from nanohydra.training.precision import Weights

EXPECTED_KINDS = {
    "embed.weight": "embedding",
    "position_table.weight": "embedding",
    "head.weight": "head",
    "final_norm.weight": "other",
    "blocks.0.mixer.conv_weight": "other",
    "blocks.0.mixer.in_proj.weight": "matrix",
    "blocks.1.mixer.q_proj.weight": "matrix",
    "blocks.1.mixer.q_norm.weight": "other",
    "blocks.1.feed_forward.down_proj.weight": "matrix",
}


def test_kinds_of_the_decoders_parameters(make_model) -> None:
    model = make_model(
        layer_types=("conv", "full"), tie_embeddings=False, position="learned", max_seq_len=32
    )
    kinds = {name: kind_of(name, p) for name, p in model.named_parameters()}
    assert EXPECTED_KINDS.items() <= kinds.items()
    matrices = {name for name, kind in kinds.items() if kind == "matrix"}
    assert matrices == {n for n in kinds if n.endswith("proj.weight")}
    tied = {kind_of(n, p) for n, p in make_model().named_parameters()}
    assert tied == {"embedding", "matrix", "other"}


def test_kinds_of_hugging_face_names() -> None:
    table = torch.zeros(8, 4)
    assert kind_of("model.embed_tokens.weight", table) == "embedding"
    assert kind_of("transformer.wpe.weight", table) == "embedding"
    assert kind_of("lm_head.weight", table) == "head"
    assert kind_of("model.layers.0.self_attn.q_proj.weight", table) == "matrix"


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 16, 40), (2, 40, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonalize(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    g = torch.randn(shape) * 1e-3
    o = orthogonalize(g, dtype).float()
    values = torch.linalg.svdvals(o)
    assert o.shape == g.shape and values.min() > 0.6 and values.max() < 1.3
    u, _, vh = torch.linalg.svd(g, full_matrices=False)
    similarity = nn.functional.cosine_similarity(o.flatten(1), (u @ vh).flatten(1))
    assert similarity.min() > 0.97
    assert torch.equal(orthogonalize(torch.zeros(shape), dtype), torch.zeros(shape, dtype=dtype))


class Fused(nn.Module):
    """A weight that holds three matrices, and one that holds one."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Parameter(torch.randn(16, 8))
        self.qkv.muon_splits = (8, 4, 4)
        self.out = nn.Parameter(torch.randn(16, 8))


def test_a_fused_weight_is_orthogonalised_part_by_part() -> None:
    torch.manual_seed(0)
    model = Fused()
    before = model.qkv.detach().clone()
    config = TrainConfig(steps=1, muon_lr=0.5, weight_decay=0.0)
    with Weights(model, torch.float32) as weights:
        assert len(weights.stacks) == 2
        optimizers = Optimizers(weights, config)
        for _, grad in weights.named_grads():
            grad.normal_()
        grad = dict(weights.named_grads())["qkv"].clone()
        optimizers.step(1.0)
    parts = zip(*(t.split((8, 4, 4)) for t in (before, model.qkv.detach(), grad)), strict=True)
    for old, new, part in parts:
        update = orthogonalize(part[None], torch.float32)[0]
        torch.testing.assert_close(new, old - 0.5 * max(1, len(old) / 8) ** 0.5 * update)


def test_muon_decays_weights_apart_from_the_update(make_model) -> None:
    model = make_model()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    config = TrainConfig(steps=1, muon_lr=0.1, weight_decay=0.5)
    with Weights(model, torch.float32) as weights:
        Optimizers(weights, config).step(0.5)  # without a gradient
    for name, parameter in model.named_parameters():
        decay = 1 - 0.1 * 0.5 * 0.5 if kind_of(name, parameter) == "matrix" else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * decay)


def test_adamw_over_stacks_equals_pytorchs_plain_one(make_model, make_loader) -> None:
    ours, theirs = make_model(), make_model()
    config = TrainConfig(steps=1, optimizer="adamw", lr=0.01, embed_lr_factor=3.0, eps=1e-8)
    groups = [
        {
            "params": [p],
            "lr": 0.01 * 0.7 * (3.0 if kind_of(n, p) == "embedding" else 1.0),
            "weight_decay": 0.1 if kind_of(n, p) == "matrix" else 0.0,
        }
        for n, p in theirs.named_parameters()
    ]
    reference = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8, foreach=False, fused=False)
    batch = make_loader().batch(1)
    with Weights(ours, torch.float32) as weights:
        optimizers = Optimizers(weights, config)
        for _ in range(3):
            ours(batch.ids_BT).square().mean().backward()
            weights.collect(first=True)
            optimizers.step(0.7)
            reference.zero_grad()
            theirs(batch.ids_BT).square().mean().backward()
            reference.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_state_of_another_optimizer_or_model_is_refused(make_model) -> None:
    with Weights(make_model(), torch.float32) as weights:
        muon = Optimizers(weights, TrainConfig(steps=1))
        adamw = Optimizers(weights, TrainConfig(steps=1, optimizer="adamw"))
        with pytest.raises(UserError, match="optimizer state belong to another model"):
            muon.load(dict(adamw.named_state()))
        with pytest.raises(UserError, match="has shape"):
            weights.load({n: torch.zeros(*t.shape, 2) for n, t in weights.named_masters()})


def test_the_size_of_an_update_follows_from_the_shape_alone(make_model) -> None:
    torch.manual_seed(1)
    update = orthogonalize(torch.randn(1, 32, 16) * 100, torch.float32)
    assert update.square().mean().sqrt().item() == pytest.approx(1 / math.sqrt(32), rel=0.15)
