"""Model families: how a decoder is named and laid out in Hugging Face's files."""

from nanohydra.core.registry import Table

__all__ = ["FAMILIES"]

# Keyed by `model_type` of config.json. When saving, the first family that fits is taken, so the
# one that fits everything stands last.
FAMILIES = Table(
    "architecture",
    {
        "qwen3": "nanohydra.checkpoint.families.qwen3:Qwen3",
        "lfm2": "nanohydra.checkpoint.families.lfm2:Lfm2",
        "gpt2": "nanohydra.checkpoint.families.gpt2:GPT2",
        "nanohydra": "nanohydra.checkpoint.families.native:Native",
    },
)
