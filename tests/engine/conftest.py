"""Small decoders with random weights, whose next token depends on all tokens before."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from nanohydra.adapters import AdapterWeights, LoraConfig, Pair, base_hash
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


def random_adapter(
    model: Decoder,
    seed: int,
    *,
    rank: int = 4,
    targets: tuple[str, ...] = (),
    std: float = 0.2,
    base: str | None = None,
) -> AdapterWeights:
    """Random factors, large enough that other tokens come out. targets: default every layer."""
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for name, module in model.blocks.named_modules(prefix="blocks"):
        if isinstance(module, nn.Linear) and (not targets or name.endswith(targets)):
            a_RI = torch.empty(rank, module.in_features).normal_(std=std, generator=generator)
            b_OR = torch.empty(module.out_features, rank).normal_(std=std, generator=generator)
            pairs[name] = Pair(a_RI=a_RI, b_OR=b_OR)
    config = LoraConfig(rank=rank, alpha=2.0 * rank)
    return AdapterWeights(config=config, base=base or base_hash(model), pairs=pairs)


def folded(model: Decoder, weights: AdapterWeights) -> Decoder:
    """The model with an adapter added into its weights: what the engine's answers are held to."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for name, pair in weights.pairs.items():
            linear = changed.get_submodule(name)
            linear.weight += pair.b_OR @ pair.a_RI * weights.config.scale  # type: ignore[operator]
    return changed


@pytest.fixture(scope="session")
def make_adapter() -> Callable[..., AdapterWeights]:
    return random_adapter


@pytest.fixture(scope="session")
def fold() -> Callable[[Decoder, AdapterWeights], Decoder]:
    return folded


@pytest.fixture(scope="session")
def make_decoder() -> Callable[..., Decoder]:
    return random_decoder
