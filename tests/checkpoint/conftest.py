"""Small decoders of every family, with weights that no initial value could give."""

from __future__ import annotations

import pytest
import torch

from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer

SMALL = {"vocab_size": 300, "hidden_size": 32, "num_layers": 3, "num_heads": 4, "max_seq_len": 40}
QWEN3 = {**SMALL, "num_kv_heads": 4}
LFM2 = {**QWEN3, "num_layers": 5, "layer_types": ("conv", "conv", "full")}
GPT2 = {
    **QWEN3,
    "feed_forward": "gelu",
    "norm": "layernorm",
    "norm_eps": 1e-5,
    "position": "learned",
    "qk_norm": False,
    "bias": True,
}
CONFIGS = {
    "qwen3": ("qwen3", QWEN3),
    "qwen3 untied": ("qwen3", {**QWEN3, "tie_embeddings": False, "dropout": 0.1}),
    "qwen3 grouped": ("qwen3", {**QWEN3, "num_kv_heads": 2, "intermediate_size": 50}),
    "qwen3 one kv head": ("qwen3", {**QWEN3, "num_kv_heads": 1, "rope_theta": 5e5}),
    "qwen3 wide heads": ("qwen3", {**QWEN3, "head_dim": 16, "num_kv_heads": 2, "norm_eps": 1e-5}),
    "lfm2": ("lfm2", LFM2),
    "lfm2 untied": ("lfm2", {**LFM2, "tie_embeddings": False, "num_kv_heads": 2}),
    "lfm2 kernel 4": ("lfm2", {**LFM2, "conv_kernel": 4, "layer_types": ("full", "conv")}),
    "lfm2 kernel 1": ("lfm2", {**LFM2, "conv_kernel": 1, "intermediate_size": 70}),
    "gpt2": ("gpt2", GPT2),
    "gpt2 untied": ("gpt2", {**GPT2, "tie_embeddings": False, "dropout": 0.2}),
    "gpt2 inner": ("gpt2", {**GPT2, "intermediate_size": 48}),
    "relu2": ("nanohydra", {**QWEN3, "feed_forward": "relu2"}),
    "no biases": ("nanohydra", {**GPT2, "bias": False}),
    "sinusoidal": ("nanohydra", {**GPT2, "position": "sinusoidal", "tie_embeddings": False}),
    "no qk norm": ("nanohydra", {**QWEN3, "qk_norm": False}),
    "only conv": ("nanohydra", {**QWEN3, "layer_types": ("conv",)}),
    "lfm2 wide heads": ("nanohydra", {**LFM2, "head_dim": 16}),
}


def make_decoder(fields: dict[str, object], seed: int = 0) -> Decoder:
    """A decoder in which every parameter differs from every other and matters."""
    model = Decoder(ModelConfig(**fields))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.15 + (1.0 if parameter.ndim == 1 else 0.0))
    return model.eval()


@pytest.fixture(params=CONFIGS)
def family_and_model(request: pytest.FixtureRequest) -> tuple[str, Decoder]:
    """Every kind of decoder with the family it belongs to."""
    family, fields = CONFIGS[request.param]
    return family, make_decoder(fields)


@pytest.fixture(params=[name for name, (family, _) in CONFIGS.items() if family != "nanohydra"])
def standard(request: pytest.FixtureRequest) -> tuple[str, Decoder]:
    """Every decoder that transformers knows, with its family."""
    family, fields = CONFIGS[request.param]
    return family, make_decoder(fields)


@pytest.fixture
def small() -> Decoder:
    """One Qwen3-style decoder."""
    return make_decoder(QWEN3)


@pytest.fixture
def other() -> Decoder:
    """The same shape with other weights."""
    return make_decoder(QWEN3, seed=1)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Byte-level, a little smaller than the models' vocabulary."""
    return Tokenizer.train(["the cat sat on the mat, the dog sat on the cat"], vocab_size=280)


@pytest.fixture
def ids_BT() -> torch.Tensor:
    """Some tokens."""
    return torch.randint(300, (2, 17), generator=torch.Generator().manual_seed(5))
