"""Masters, copies and gradients: what the model holds inside and outside of training."""

from __future__ import annotations

import pytest
import torch

from nanohydra.core.errors import UserError
from nanohydra.training.precision import Weights


def test_float32_computes_with_the_masters_themselves(make_model) -> None:
    model = make_model()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with Weights(model, torch.float32) as weights:
        masters = dict(weights.named_masters())
        for name, parameter in model.named_parameters():
            assert parameter.data_ptr() == masters[name].data_ptr()
            assert torch.equal(parameter, before[name])


def test_bfloat16_computes_with_rounded_copies_and_gives_masters_back(make_model) -> None:
    model = make_model(tie_embeddings=True)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with Weights(model, torch.bfloat16) as weights:
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
        assert model.head.weight is model.embed.weight
        for _, master in weights.named_masters():
            master += 1e-4  # less than bfloat16 sees near 1
        weights.refresh()
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, (before[name] + 1e-4).bfloat16())
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32 and parameter.grad is None
        assert torch.equal(parameter, before[name] + 1e-4)


def test_frozen_weights_come_back_untouched(make_model) -> None:
    model = make_model()
    model.embed.weight.requires_grad_(False)
    frozen = model.embed.weight.detach().clone()
    pointer = model.embed.weight.data_ptr()
    with Weights(model, torch.bfloat16) as weights:
        assert model.embed.weight.dtype == torch.bfloat16
        assert "embed.weight" not in dict(weights.named_masters())
    assert torch.equal(model.embed.weight, frozen)
    assert model.embed.weight.data_ptr() == pointer


def test_gradients_add_up_in_float32(make_model, make_loader) -> None:
    model = make_model()
    ids = make_loader().batch(1).ids_BT
    with Weights(model, torch.bfloat16) as weights:
        sums: dict[str, torch.Tensor] = {}
        for turn in range(3):
            model(ids[turn : turn + 2]).float().square().mean().backward()
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None and parameter.grad.dtype == torch.bfloat16
                sums[name] = sums.get(name, torch.tensor(0.0)) + parameter.grad.float()
            weights.collect(first=turn == 0)
        for name, grad in weights.named_grads():
            assert grad.dtype == torch.float32 and torch.equal(grad, sums[name])
        total = torch.cat([g.flatten() for g in sums.values()])
        torch.testing.assert_close(weights.grad_norm(), total.norm())


def test_a_parameter_without_a_gradient_counts_as_zero(make_model) -> None:
    model = make_model()
    with Weights(model, torch.float32) as weights:
        for _, grad in weights.named_grads():
            grad.fill_(5.0)
        weights.collect(first=True)
        assert all(not grad.any() for _, grad in weights.named_grads())


def test_what_cannot_be_trained_is_refused(make_model) -> None:
    with pytest.raises(UserError, match="float16"):
        Weights(make_model(), torch.float16)
    with pytest.raises(UserError, match="requires a gradient"):
        Weights(make_model().requires_grad_(False), torch.float32)
