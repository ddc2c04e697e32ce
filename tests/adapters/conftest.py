"""Small decoders, and adapters on them in which every number matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nanohydra.adapters import AdapterWeights, LoraConfig, Pair, attach, base_hash
from nanohydra.model import Decoder, ModelConfig
from tests.checkpoint.conftest import CONFIGS

SHAPE: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_layers": 3,
    "num_heads": 4,
    "num_kv_heads": 2,
    "max_seq_len": 40,
}
LFM2 = {**SHAPE, "num_kv_heads": 4, "layer_types": ("conv", "full", "full")}
GPT2 = {
    **SHAPE,
    "num_kv_heads": 4,
    "feed_forward": "gelu",
    "norm": "layernorm",
    "norm_eps": 1e-5,
    "position": "learned",
    "qk_norm": False,
    "bias": True,
}
NATIVE = {**SHAPE, "feed_forward": "relu2"}


KINDS: dict[str, dict[str, Any]] = {
    "qwen3": SHAPE,
    "lfm2": LFM2,
    "gpt2": GPT2,
    "native": NATIVE,
}
# Of each family of open models one more, for what depends on names and layouts alone.
OPEN: dict[str, dict[str, Any]] = {
    name: {**fields, "num_layers": 3, "vocab_size": 60}
    for name, (_, fields) in CONFIGS.items()
    if name in ("llama biases", "mistral", "qwen2", "smollm3", "gemma2", "gemma3", "phi3", "olmo2")
}
MakeModel = Callable[..., Decoder]
MakeWeights = Callable[..., AdapterWeights]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_model() -> MakeModel:
    def make(kind: str = "qwen3", seed: int = 0, **changes: Any) -> Decoder:
        """A decoder in evaluation mode in which no weight is zero."""
        model = Decoder(ModelConfig(**{**KINDS, **OPEN}[kind] | changes))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise * 0.15 + (1.0 if parameter.ndim == 1 else 0.0))
        return model.eval()

    return make


@pytest.fixture
def make_weights() -> MakeWeights:
    def make(model: Decoder, seed: int = 0, **config: Any) -> AdapterWeights:
        """An adapter for the model that changes its outputs clearly."""
        attached = attach(model, LoraConfig(**{"rank": 4, "alpha": 8.0, **config}), seed=seed)
        fresh = attached.weights(base_hash(model))
        attached.detach()
        generator = torch.Generator().manual_seed(seed)
        pairs = {
            name: Pair(a_RI=p.a_RI, b_OR=torch.randn(p.b_OR.shape, generator=generator) * 0.1)
            for name, p in fresh.pairs.items()
        }
        return AdapterWeights(config=fresh.config, base=fresh.base, pairs=pairs)

    return make


@pytest.fixture
def model(make_model: MakeModel) -> Decoder:
    return make_model()


@pytest.fixture
def weights(model: Decoder, make_weights: MakeWeights) -> AdapterWeights:
    return make_weights(model)


@pytest.fixture
def ids_BT() -> torch.Tensor:
    return torch.randint(60, (2, 17), generator=torch.Generator().manual_seed(5))
