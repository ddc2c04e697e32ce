from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nanohydra.adapters.config import LoraConfig
from nanohydra.adapters.lora import attach, targeted
from nanohydra.checkpoint import Loaded
from nanohydra.core.types import Document
from nanohydra.learn import directions
from nanohydra.learn.anchors import Anchors
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.directions import Spread, aim, collect, spreads
from nanohydra.learn.samples import Sample, encode_item, encode_record
from nanohydra.learn.study import Study, StudyItem
from nanohydra.learn.train import train_adapter

Settings = Callable[..., LearnConfig]


def inputs(*sizes: float, count: int = 400) -> Tensor:
    """Random vectors whose entries have these standard deviations."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, len(sizes), generator=generator) * torch.tensor(sizes)


def samples(loaded: Loaded) -> list[Sample]:
    texts = ["The printer is on the floor.", "Who is there? It is me.", "I don't know."]
    return [encode_record(loaded.tokenizer, Document(text=text), 48) for text in texts]


def test_what_anchors_have_is_weakened_and_the_rest_is_not() -> None:
    spread = Spread.of(inputs(3.0, 1.0, 0.0, 0.0), floor=1e-4)
    weak = spread.weaken(torch.eye(4)).diagonal()
    assert weak[0] < weak[1] < 0.05 and torch.allclose(weak[2:], torch.ones(2), atol=1e-5)


def test_directions_are_those_of_lessons_without_anchors() -> None:
    spread = Spread.of(inputs(3.0, 1.0, 0.0, 0.0), floor=1e-4)
    rows = spread.directions(inputs(5.0, 0.0, 1.0, 0.1), rank=2)
    assert torch.allclose(rows.abs()[:, 2:], torch.eye(2), atol=0.02)
    assert torch.allclose(rows.norm(dim=1), torch.ones(2))
    assert len(spread.directions(inputs(1.0, 1.0, 1.0, 1.0, count=1), rank=3)) == 1


def test_the_strongest_directions_alone_do_much_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = inputs(3.0, 2.0, 0.01, 0.01, 0.01, 0.01)
    exact = Spread.of(x, floor=1e-2).weaken(torch.eye(6))
    monkeypatch.setattr(directions, "EXACT_WIDTH", 4)
    monkeypatch.setattr(directions, "NUM_STRONGEST", 2)
    assert torch.allclose(Spread.of(x, floor=1e-2).weaken(torch.eye(6)), exact, atol=0.05)


def test_layers_that_share_an_input_share_what_is_known_of_it(loaded: Loaded) -> None:
    names = targeted(loaded.model, LearnConfig().lora)
    held = collect(loaded.model, names, samples(loaded))
    assert held.same["blocks.0.mixer.v_proj"] == "blocks.0.mixer.q_proj"
    assert "blocks.0.mixer.o_proj" in held.held
    tokens = sum(len(sample.ids) - 1 for sample in samples(loaded))
    assert held.of("blocks.1.mixer.k_proj").shape == (tokens, 32)
    known = spreads(loaded.model, names, samples(loaded), floor=0.01)
    assert list(known) == names
    assert known["blocks.0.mixer.k_proj"] is known["blocks.0.mixer.q_proj"]
    assert not any(m._forward_pre_hooks for m in loaded.model.modules())


def test_aiming_changes_no_output_and_keeps_updates_off_the_anchors(
    loaded: Loaded, make_item: Callable[..., StudyItem]
) -> None:
    model, config = loaded.model, LoraConfig(rank=16)
    names = targeted(model, config)
    lesson = [encode_item(loaded.tokenizer, make_item("Where is Mara?", "In Rome.", "Rome"), 64)]
    known = spreads(model, names, samples(loaded), floor=1e-3)
    used = collect(model, names, lesson)
    ids_BT = torch.tensor([samples(loaded)[0].ids])
    before = model(ids_BT)
    state = torch.get_rng_state()
    moved = {}
    for aimed in (False, True):
        attached = attach(model, config)
        if aimed:
            aim(attached, known, used, seed=0)
            assert torch.equal(torch.get_rng_state(), state)
            assert not any(layer.lora_a.requires_grad for layer in attached.layers.values())
        assert torch.equal(model(ids_BT), before)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for layer in attached.layers.values():
                layer.lora_b.normal_(std=0.05, generator=generator)
            moved[aimed] = float((model(ids_BT) - before).norm())
        attached.detach()
    assert moved[True] < 0.5 * moved[False]


def test_training_with_frozen_directions_still_recalls(
    loaded: Loaded, settings: Settings, lesson_items: Callable[..., tuple[StudyItem, ...]]
) -> None:
    config = settings("--train.max_steps=150", "--train.lr=0.02", "--lora.rank=8")
    anchors = Anchors.of_recipe(loaded, config)
    assert set(anchors.spreads) == set(targeted(loaded.model, config.lora))
    study = Study(items=lesson_items())
    first, second = (train_adapter(loaded, study, [], anchors, config) for _ in range(2))
    assert first.metrics["recall"] == 1.0 and first.weights.id == second.weights.id
    assert Anchors.of_recipe(loaded, settings("--train.directions=random")).spreads == {}
