"""Which of our families llama.cpp runs, under what name, and what its code takes for granted.

Read off llama.cpp's sources: whatever its graph of an architecture does not compute is refused
here, as it would otherwise be left out in silence. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass

from nanohydra.checkpoint.families.choice import family_of
from nanohydra.core.errors import UserError
from nanohydra.model import ModelConfig

NO_POSITIONS_EVERY = 4  # SmolLM3's layers without positions, fixed in llama.cpp
LARGE_GEMMAS = {"gemma2": 46, "gemma3": 62}  # layers of the 27B models, which scale otherwise


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What llama.cpp calls a family, and which of its options it computes.

    pairs: heads are rotated in neighbouring pairs, so rows of q and k change places. square: the
    heads share the width out evenly. windows: sliding windows are computed. biases: which linear
    layers may have them. scalings: of rotary positions. head: an output matrix must be there.
    """

    name: str
    pairs: bool = False
    square: bool = False
    windows: bool = False
    biases: tuple[str, ...] = ()
    scalings: tuple[str, ...] = ("none", "dynamic", "linear", "yarn")
    head: bool = False


LLAMA = Architecture(
    name="llama",
    pairs=True,
    biases=("qkv", "output", "feed_forward"),
    scalings=("none", "dynamic", "linear", "yarn", "llama3"),
)
ARCHITECTURES = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": Architecture(name="qwen2", square=True, biases=("qkv",)),
    "qwen3": Architecture(name="qwen3"),
    "smollm3": Architecture(name="smollm3", pairs=True),
    "gemma2": Architecture(name="gemma2", windows=True, scalings=("none",)),
    "gemma3_text": Architecture(
        name="gemma3", windows=True, scalings=("none", "dynamic", "linear")
    ),
    "phi3": Architecture(name="phi3", square=True, scalings=("none", "longrope")),
    "olmo2": Architecture(name="olmo2", square=True, head=True),
    "gpt2": Architecture(
        name="gpt2", square=True, biases=("qkv", "output", "feed_forward"), scalings=("none",)
    ),
    "lfm2": Architecture(name="lfm2", square=True, scalings=("none",)),
}


def architecture_of(config: ModelConfig) -> Architecture:
    """llama.cpp's architecture for a decoder. Raises UserError for what it does not compute."""
    family = family_of(config).model_type
    if family not in ARCHITECTURES:
        raise UserError(
            f"GGUF has no architecture for this model, which only nanohydra's own layout "
            f"({family!r}) expresses; those that it has: {', '.join(ARCHITECTURES)}"
        )
    found = ARCHITECTURES[family]
    for problem in _problems(config, found):
        raise UserError(f"llama.cpp's {found.name!r} cannot run this {family} model: {problem}")
    return found


def _problems(config: ModelConfig, found: Architecture) -> list[str]:
    problems = [
        f"it has no biases on {part}"
        for part in ("qkv", "output", "feed_forward")
        if config.has_bias(part) and part not in found.biases
    ]
    if config.rope_scaling.kind not in found.scalings:
        problems.append(f"it does not scale rotary positions as {config.rope_scaling.kind!r}")
    if found.square and config.num_heads * config.head_dim != config.hidden_size:
        problems.append(
            f"{config.num_heads} heads of {config.head_dim} do not make its width of "
            f"{config.hidden_size}"
        )
    if config.rotary_dim and found.name != "phi3":
        problems.append("it rotates whole heads")
    if "conv" in config.layer_types and config.conv_kernel < 2:
        problems.append("its convolutions take at least two tokens")
    if found.name == "smollm3":
        period = NO_POSITIONS_EVERY
        fixed = tuple(
            "full" if (layer + 1) % period else "nope" for layer in range(config.num_layers)
        )
        if config.layer_types != fixed:
            problems.append(f"every layer but each {period}th must have positions")
    return problems


def context_of(config: ModelConfig, found: Architecture) -> int:
    """The longest text that llama.cpp reads as the decoder does.

    An architecture without sliding windows attends to everything, which is the same as long as a
    text fits into the window.
    """
    longest = config.rope_scaling.max_position_embeddings or config.max_seq_len
    if config.sliding_window and not found.windows:
        return min(longest, config.sliding_window)
    return longest


def query_factor(config: ModelConfig, found: Architecture) -> float:
    """What queries are multiplied by so that llama.cpp's fixed scale of the scores is ours."""
    ours = config.query_pre_attn_scalar or config.head_dim
    theirs = config.head_dim
    if LARGE_GEMMAS.get(found.name) == config.num_layers:
        theirs = config.hidden_size // config.num_heads
    return float((theirs / ours) ** 0.5)
