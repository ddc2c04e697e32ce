"""Gradient checkpointing in the training of adapters: the same gradients, less kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nanohydra.adapters.lora import attach
from nanohydra.checkpoint import Loaded
from nanohydra.continual import distillation
from nanohydra.core.errors import UserError
from nanohydra.learn import activations
from nanohydra.learn.activations import activation_bytes, counting, recomputes
from nanohydra.learn.anchors import Anchors
from nanohydra.learn.config import AdapterTrainConfig, LearnConfig
from nanohydra.learn.samples import Sample, pack
from nanohydra.learn.study import Study, StudyItem
from nanohydra.learn.train import train_adapter
from nanohydra.model import Decoder, ModelConfig

LAYERS, WIDTH, LENGTH, ROWS = 6, 32, 48, 3
SHAPES: dict[str, dict[str, object]] = {
    "attention": {},
    "convolutions": {"layer_types": ("conv", "full") * 3},
    "sliding": {"layer_types": ("sliding", "full") * 3, "sliding_window": 8},
    "gpt2": {"norm": "layernorm", "feed_forward": "gelu", "position": "learned", "bias": True},
    "dropout": {"dropout": 0.2},
}


def decoder(**shape: object) -> Decoder:
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=50, hidden_size=WIDTH, num_layers=LAYERS, num_heads=2, num_kv_heads=1,
        max_seq_len=64, **shape,  # type: ignore[arg-type]
    )  # fmt: skip
    model = Decoder(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    return model.train()


def packed() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(0, 50, (ROWS, LENGTH), generator=generator)
    segments_BT = (torch.arange(LENGTH) >= LENGTH // 2).long().expand(ROWS, LENGTH)
    positions_BT = torch.arange(LENGTH).remainder(LENGTH // 2).expand(ROWS, LENGTH)
    return ids_BT, positions_BT, segments_BT


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_the_same_and_less_is_kept(name: str) -> None:
    model = decoder(**SHAPES[name])
    ids_BT, positions_BT, segments_BT = packed()
    attached = attach(model, LearnConfig().lora)
    with torch.no_grad():
        for layer in attached.layers.values():
            layer.lora_b.normal_(std=0.05)
    found: dict[bool, tuple[Tensor, list[Tensor], int]] = {}
    for again in (False, True):
        model.recompute = again
        torch.manual_seed(3)  # of the dropout
        with counting(model) as kept:
            x_BTD = model.hidden(ids_BT, positions_BT=positions_BT, segments_BT=segments_BT)
            num_bytes = kept.num_bytes
            # what the blocks are computed again from is kept outside of autograd's sight
            num_bytes += again * LAYERS * x_BTD.nbytes
        model.zero_grad(set_to_none=True)
        x_BTD.square().sum().backward()  # type: ignore[no-untyped-call]
        grads = [p.grad.clone() for p in attached.parameters() if p.grad is not None]
        found[again] = x_BTD.detach(), grads, num_bytes
    plain, again_ = found[False], found[True]
    assert torch.equal(plain[0], again_[0])
    assert len(plain[1]) == len(again_[1]) == 2 * len(attached.layers)
    torch.testing.assert_close(plain[1], again_[1])
    assert again_[2] < plain[2] / 4


def test_what_is_kept_is_estimated_from_one_row() -> None:
    model = decoder()
    ids_BT, positions_BT, segments_BT = packed()
    attach(model, LearnConfig().lora)
    state = torch.get_rng_state()
    estimate = activation_bytes(model, ROWS, LENGTH)
    assert torch.equal(state, torch.get_rng_state())
    with counting(model) as kept:
        x_BTD = model.hidden(ids_BT, positions_BT=positions_BT, segments_BT=segments_BT)
        assert estimate == pytest.approx(kept.num_bytes, rel=0.1)
    assert x_BTD.requires_grad


def test_layers_are_computed_again_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    model = decoder()
    attach(model, LearnConfig().lora)
    needed = activation_bytes(model, 8, LENGTH)
    config = AdapterTrainConfig(rows_per_step=8, checkpointing_share=0.5)
    for free, wanted in ((needed, True), (3 * needed, False)):
        monkeypatch.setattr(activations, "free_memory", lambda _, free=free: free)
        assert recomputes(model, config, LENGTH) is wanted
        for choice in ("on", "off"):
            fixed = AdapterTrainConfig(checkpointing=choice)  # type: ignore[arg-type]
            assert recomputes(model, fixed, LENGTH) is (choice == "on")
    with pytest.raises(UserError, match=r"checkpointing_share is 2"):
        AdapterTrainConfig(checkpointing_share=2)


def test_a_training_is_the_same_with_checkpointing(
    loaded: Loaded,
    settings: Callable[..., LearnConfig],
    lesson_items: Callable[..., tuple[StudyItem, ...]],
) -> None:
    study, held = Study(items=lesson_items()), Anchors([], torch.zeros(0, 32))
    found = {}
    for choice in ("off", "on"):
        config = settings("--train.max_steps=12", f"--train.checkpointing={choice}")
        found[choice] = train_adapter(loaded, study, [], held, config)
        assert found[choice].metrics["checkpointing"] == (choice == "on")
        assert not loaded.model.recompute
    for name, pair in found["off"].weights.pairs.items():
        torch.testing.assert_close(pair.b_OR, found["on"].weights.pairs[name].b_OR)


def test_a_divergence_in_parts_is_the_whole_one(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a vocabulary so large that the logits of all places at once take too much."""
    model = loaded.model
    samples = [Sample(ids=tuple(range(5, 35)), mask=(False, *[True] * 29))] * 3
    held = Anchors.of(model, samples)
    rows = pack([[sample] for sample in held.samples])
    x_BTD = (model.hidden(rows.batch.ids_BT).detach() * 1.3).requires_grad_()
    found = []
    for limit in (distillation.LOGITS_AT_ONCE, 7 * model.config.vocab_size):
        monkeypatch.setattr(distillation, "LOGITS_AT_ONCE", limit)
        with counting(model) as kept:
            kl = held.divergence(model, x_BTD, rows.places_BT)
            assert kl is not None
            (grad,) = torch.autograd.grad(kl, x_BTD)
        found.append((kl.detach(), grad, kept.num_bytes))
    torch.testing.assert_close(found[0][:2], found[1][:2])
    assert found[1][2] < found[0][2] / 3
