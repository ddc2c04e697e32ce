"""Qwen3 dense models, the default: rotary attention with norms on q and k, SwiGLU, no biases.

arXiv 2505.09388; names and fields as in transformers' `Qwen3ForCausalLM`.
"""

from __future__ import annotations

from nanohydra.checkpoint.families.llama import FULL_OR_SLIDING
from nanohydra.checkpoint.families.qwen2 import Qwen2


class Qwen3(Qwen2):
    """Layers with a sliding window and without; biases on all of attention, or none."""

    model_type = "qwen3"
    architecture = "Qwen3ForCausalLM"
    options = {}
    layers = FULL_OR_SLIDING
    biases = {"attention_bias": ("qkv", "output")}
    head_dim = 128
