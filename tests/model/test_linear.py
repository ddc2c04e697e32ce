"""Decoding one row in bfloat16: as a whole pass says, and with whatever stands in for a layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nanohydra.model import Decoder
from nanohydra.model.linear import Linear, project
from tests.model.test_decoder import LAYERS, STYLES, build, ids


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layer", LAYERS)
@torch.inference_mode()
def test_steps_in_bfloat16_stay_near_a_pass_in_float32(style: str, layer: str) -> None:
    model = build(LAYERS[layer], **STYLES[style])
    x = ids(1, 12)
    exact = model(x)
    model = model.to(torch.bfloat16)
    state = model.init_state(1, 20)
    steps = torch.cat([model(x[:, t : t + 1], state=state) for t in range(12)], 1)
    whole = model(x)
    rough, alike = (steps.float() - exact).norm(), (whole.float() - exact).norm()
    assert rough < 0.03 * exact.norm() + alike


def test_layers_that_something_stands_in_for_are_called() -> None:
    layers = [Linear(8, 4).to(torch.bfloat16), Linear(8, 6, bias=False).to(torch.bfloat16)]
    x = torch.randn(1, 1, 8).bfloat16()
    with torch.inference_mode():
        plain = project(x, *layers)
        layers[0].__dict__["forward"] = lambda x: nn.Linear.forward(layers[0], x) + 100
        assert (project(x, *layers)[0] > 50).all()
        torch.testing.assert_close(project(x, *layers)[1], plain[1])
        del layers[0].__dict__["forward"]
        handle = layers[1].register_forward_hook(lambda *_: torch.zeros(3))
        assert torch.equal(project(x, *layers)[1], torch.zeros(3))
        handle.remove()
        assert torch.equal(project(x, *layers)[1], plain[1])


@pytest.mark.parametrize("rows", [1, 2])
def test_an_adapter_counts_in_every_batch(rows: int) -> None:
    from nanohydra.adapters import LoraConfig, attach

    model: Decoder = build().to(torch.bfloat16)
    x = ids(rows, 1)
    settings: dict[str, Any] = {"rank": 2, "alpha": 4.0, "targets": ("q_proj", "up_proj", "v_proj")}
    with torch.inference_mode():
        base = model(x, state=model.init_state(rows, 4))
    attached = attach(model, LoraConfig(**settings))
    with torch.no_grad():
        for layer in attached.layers.values():
            layer.lora_b.fill_(0.5)
        adapted = model(x, state=model.init_state(rows, 4))
        whole = model(x)
    assert (adapted - base).norm() > 0.05 * base.norm()
    assert (adapted - whole).norm() < 0.02 * whole.norm()
