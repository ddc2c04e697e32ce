"""Random tiny models of transformers, of every family that is known here, odd shapes among them."""

from __future__ import annotations

from typing import Any

import torch

TINY = {"vocab_size": 120, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
LLAMA = {
    **TINY,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
QWEN3 = {**LLAMA, "head_dim": 16}
LFM2 = {**LLAMA, "num_hidden_layers": 4}
GPT2 = {**TINY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
GEMMA = {**LLAMA, "head_dim": 12, "query_pre_attn_scalar": 10, "sliding_window": 7}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1, 1.3, 1.4],
    "long_factor": [2.0, 3.0, 4.0, 5.0],
}
SLIDING = {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}

FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3 tied": ("Qwen3", {**QWEN3, "tie_word_embeddings": True}),
    "qwen3 untied": ("Qwen3", {**QWEN3, "rms_norm_eps": 1e-5}),
    "qwen3 windows": ("Qwen3", {**QWEN3, **SLIDING}),
    "qwen3 biases": ("Qwen3", {**QWEN3, "attention_bias": True, "rope_parameters": YARN}),
    "lfm2": ("Lfm2", {**LFM2, "full_attn_idxs": [1, 3], "block_auto_adjust_ff_dim": False}),
    "lfm2 adjusted": ("Lfm2", {**LFM2, "block_multiple_of": 8, "full_attn_idxs": [2]}),
    "lfm2 untied": (
        "Lfm2",
        {
            **LFM2,
            "tie_word_embeddings": False,
            "conv_L_cache": 5,
            "layer_types": ["conv", "full_attention", "conv", "conv"],
        },
    ),
    "gpt2": ("GPT2", GPT2),
    "gpt2 untied": ("GPT2", {**GPT2, "tie_word_embeddings": False, "n_inner": 40}),
    "llama": ("Llama", LLAMA),
    "llama tied": ("Llama", {**LLAMA, "tie_word_embeddings": True, "num_key_value_heads": 1}),
    "llama attention bias": ("Llama", {**LLAMA, "attention_bias": True, "head_dim": 20}),
    "llama mlp bias": ("Llama", {**LLAMA, "mlp_bias": True, "num_key_value_heads": 4}),
    "llama all biases": ("Llama", {**LLAMA, "mlp_bias": True, "attention_bias": True}),
    "llama 3.1": ("Llama", {**LLAMA, "rope_parameters": LLAMA3}),
    "llama linear": (
        "Llama",
        {**LLAMA, "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4}},
    ),
    "llama dynamic": (
        "Llama",
        {**LLAMA, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
    ),
    "llama yarn": (
        "Llama",
        {
            **LLAMA,
            "rope_parameters": {
                **YARN,
                **{"beta_fast": 8.0, "beta_slow": 2.0, "truncate": False},
                **{"mscale": 1.0, "mscale_all_dim": 0.5},
            },
        },
    ),
    "mistral": ("Mistral", {**LLAMA, "sliding_window": 5}),
    "mistral no window": ("Mistral", {**LLAMA, "sliding_window": None, "head_dim": 16}),
    "qwen2": ("Qwen2", LLAMA),
    "qwen2 windows": ("Qwen2", {**LLAMA, **SLIDING, "tie_word_embeddings": True}),
    "qwen2 yarn": (
        "Qwen2",
        {**LLAMA, "num_key_value_heads": 4, "rope_parameters": {**YARN, "attention_factor": 1.3}},
    ),
    "smollm3": ("SmolLM3", {**LLAMA, "num_hidden_layers": 5}),
    "smollm3 listed": (
        "SmolLM3",
        {**LLAMA, "no_rope_layers": [0, 1, 0], "attention_bias": True, "mlp_bias": True},
    ),
    "smollm3 untied": ("SmolLM3", {**LLAMA, "tie_word_embeddings": False, "head_dim": 16}),
    "gemma2": ("Gemma2", GEMMA),
    "gemma2 no caps": (
        "Gemma2",
        {**GEMMA, "attn_logit_softcapping": None, "final_logit_softcapping": None},
    ),
    "gemma2 strong caps": (
        "Gemma2",
        {
            **GEMMA,
            **{"attn_logit_softcapping": 0.7, "final_logit_softcapping": 1.5},
            **{"tie_word_embeddings": False, "attention_bias": True},
        },
    ),
    "gemma3": ("Gemma3Text", {**GEMMA, "num_hidden_layers": 7}),
    "gemma3 scaled": (
        "Gemma3Text",
        {
            **GEMMA,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "final_logit_softcapping": 2.0,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 123.0},
            },
        },
    ),
    "gemma3 no windows": ("Gemma3Text", {**GEMMA, "layer_types": ["full_attention"] * 3}),
    "phi3": ("Phi3", LLAMA),
    "phi3 window": ("Phi3", {**LLAMA, "sliding_window": 6, "num_key_value_heads": 4}),
    "phi3 long": (
        "Phi3",
        {**LLAMA, "rope_parameters": LONGROPE, "original_max_position_embeddings": 32},
    ),
    "phi3 partial": (
        "Phi3",
        {
            **LLAMA,
            "original_max_position_embeddings": 32,
            "rope_parameters": {
                **LONGROPE,
                "partial_rotary_factor": 0.75,
                "short_factor": [1.0, 1.1, 1.3],
                "long_factor": [2.0, 3.0, 4.0],
            },
        },
    ),
    "olmo2": ("Olmo2", LLAMA),
    "olmo2 biases": (
        "Olmo2",
        {**LLAMA, "attention_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 4},
    ),
    "olmo2 wide heads": ("Olmo2", {**LLAMA, "head_dim": 10, "rope_parameters": LLAMA3}),
}


def make_foreign(name: str, fields: dict[str, Any]) -> Any:
    """A random model of transformers, every parameter of which matters."""
    import transformers

    config = getattr(transformers, f"{name}Config")(**fields)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.15 + (1.0 if parameter.ndim == 1 else 0.0))
    return model
