"""Small decoders with random weights, whose next token depends on all tokens before."""

from __future__ import annotations

import pytest
import torch

from nanohydra.model import Decoder, ModelConfig

VOCAB = 61


def random_decoder(**shape: object) -> Decoder:
    """A fresh decoder is its embedding alone; these weights make it mix its tokens."""
    config = ModelConfig(
        **{  # type: ignore[arg-type]
            "vocab_size": VOCAB,
            "hidden_size": 32,
            "num_layers": 3,
            "num_heads": 4,
            "num_kv_heads": 2,
            "max_seq_len": 96,
            **shape,
        }
    )
    model = Decoder(config)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.35, generator=generator)
    return model


@pytest.fixture(scope="session", params=["attention", "hybrid"])
def model(request: pytest.FixtureRequest) -> Decoder:
    """With keys and values in every layer, and with convolutions in some."""
    if request.param == "hybrid":
        return random_decoder(layer_types=("conv", "full"))
    return random_decoder()


@pytest.fixture(scope="session")
def decoder() -> Decoder:
    """One decoder, where the kind of layer does not matter."""
    return random_decoder()
