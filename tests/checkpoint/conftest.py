"""Small decoders of every family, with weights that no initial value could give."""

from __future__ import annotations

import pytest
import torch

from nanohydra.model import Decoder, ModelConfig
from nanohydra.model.config import RopeScaling
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
LLAMA = {**QWEN3, "qk_norm": False}
GEMMA = {
    **QWEN3,
    "num_kv_heads": 2,
    "feed_forward": "geglu",
    "norm_place": "both",
    "norm_unit_offset": True,
    "scale_embeddings": True,
    "query_pre_attn_scalar": 12,
    "logit_softcap": 20.0,
    "sliding_window": 6,
    "layer_types": ("sliding", "sliding", "full"),
}
LLAMA3 = RopeScaling(kind="llama3", factor=8.0, original_max_seq_len=16)
YARN = RopeScaling(kind="yarn", factor=4.0, original_max_seq_len=10)
LONG = RopeScaling(
    kind="longrope",
    factor=10.0,
    original_max_seq_len=40,
    short_factor=(1.0, 1.2, 1.5, 1.9),
    long_factor=(2.0, 3.0, 4.0, 5.0),
    max_position_embeddings=400,
)
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
    "qwen3 windows": ("qwen3", {**QWEN3, "layer_types": ("full", "sliding"), "sliding_window": 7}),
    "qwen3 biases": ("qwen3", {**QWEN3, "bias_on": ("qkv", "output"), "rope_scaling": YARN}),
    "llama": ("llama", {**LLAMA, "num_kv_heads": 2, "tie_embeddings": False}),
    "llama biases": ("llama", {**LLAMA, "bias": True, "head_dim": 12, "rope_scaling": LLAMA3}),
    "llama linear": ("llama", {**LLAMA, "rope_scaling": RopeScaling(kind="linear", factor=2.5)}),
    "mistral": ("mistral", {**LLAMA, "layer_types": ("sliding",), "sliding_window": 5}),
    "mistral no window": ("mistral", {**LLAMA, "family": "mistral", "head_dim": 16}),
    "qwen2": ("qwen2", {**LLAMA, "bias_on": ("qkv",), "num_kv_heads": 1}),
    "smollm3": ("smollm3", {**LLAMA, "layer_types": ("full", "nope"), "num_kv_heads": 2}),
    "smollm3 untied": (
        "smollm3",
        {**LLAMA, "layer_types": ("nope", "full"), "bias": True, "tie_embeddings": False},
    ),
    "gemma2": ("gemma2", {**GEMMA, "qk_norm": False, "attention_softcap": 10.0}),
    "gemma2 no caps": ("gemma2", {**GEMMA, "qk_norm": False, "logit_softcap": 0.0}),
    "gemma3": ("gemma3_text", {**GEMMA, "rope_local_theta": 100.0, "head_dim": 12}),
    "gemma3 scaled": (
        "gemma3_text",
        {
            **GEMMA,
            "rope_local_theta": 1e4,
            "rope_theta": 1e6,
            "rope_scaling": RopeScaling(kind="linear", factor=8.0),
            "logit_softcap": 0.0,
            "bias_on": ("qkv", "output"),
        },
    ),
    "phi3": ("phi3", {**LLAMA, "family": "phi3", "num_kv_heads": 2}),
    "phi3 partial": ("phi3", {**LLAMA, "rotary_dim": 6, "tie_embeddings": False}),
    "phi3 long": ("phi3", {**LLAMA, "rope_scaling": LONG, "intermediate_size": 50}),
    "phi3 window": (
        "phi3",
        {**LLAMA, "family": "phi3", "layer_types": ("sliding",), "sliding_window": 5},
    ),
    "olmo2": ("olmo2", {**QWEN3, "norm_place": "post", "qk_norm_span": "all", "num_kv_heads": 2}),
    "olmo2 untied": (
        "olmo2",
        {**QWEN3, "norm_place": "post", "qk_norm_span": "all", "tie_embeddings": False},
    ),
    "relu2": ("nanohydra", {**QWEN3, "feed_forward": "relu2"}),
    "no biases": ("nanohydra", {**GPT2, "bias": False}),
    "sinusoidal": ("nanohydra", {**GPT2, "position": "sinusoidal", "tie_embeddings": False}),
    "scaled": ("nanohydra", {**QWEN3, "scale_embeddings": True, "layer_types": ("full", "nope")}),
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
