"""Model families: how a decoder is named and laid out in Hugging Face's files."""

from nanohydra.core.registry import Table

__all__ = ["FAMILIES"]

# Keyed by `model_type` of config.json. When a decoder is saved that several families express, the
# first of them is taken, unless it was loaded from another (ModelConfig.family): so what is
# trained here becomes a Qwen3, an LFM2 or a GPT-2. The one that fits everything stands last.
# Mixtures of experts (Mixtral, Qwen3-MoE) and latent attention (DeepSeek-V2) have their place
# before it, once the decoder has a feed-forward and a layer type for them.
FAMILIES = Table(
    "architecture",
    {
        "qwen3": "nanohydra.checkpoint.families.qwen3:Qwen3",
        "lfm2": "nanohydra.checkpoint.families.lfm2:Lfm2",
        "gpt2": "nanohydra.checkpoint.families.gpt2:GPT2",
        "llama": "nanohydra.checkpoint.families.llama:Llama",
        "mistral": "nanohydra.checkpoint.families.mistral:Mistral",
        "qwen2": "nanohydra.checkpoint.families.qwen2:Qwen2",
        "smollm3": "nanohydra.checkpoint.families.smollm3:SmolLM3",
        "gemma2": "nanohydra.checkpoint.families.gemma2:Gemma2",
        "gemma3_text": "nanohydra.checkpoint.families.gemma3:Gemma3",
        "phi3": "nanohydra.checkpoint.families.phi3:Phi3",
        "olmo2": "nanohydra.checkpoint.families.olmo2:Olmo2",
        "nanohydra": "nanohydra.checkpoint.families.native:Native",
    },
)
