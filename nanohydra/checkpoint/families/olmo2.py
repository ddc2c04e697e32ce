"""OLMo 2: Llama's matrices, norms after each sublayer, and on all of q and all of k.

arXiv 2501.00656; names and fields as in transformers' `Olmo2ForCausalLM`.
"""

from __future__ import annotations

from nanohydra.checkpoint.families.llama import LlamaLike


class Olmo2(LlamaLike):
    """Full attention in every layer."""

    model_type = "olmo2"
    architecture = "Olmo2ForCausalLM"
    options = {"norm_place": "post", "qk_norm_span": "all"}
    norms = {
        "post_attention_layernorm": "mixer_post_norm",
        "post_feedforward_layernorm": "feed_forward_post_norm",
    }
    biases = {"attention_bias": ("qkv", "output")}
    eps = 1e-5
