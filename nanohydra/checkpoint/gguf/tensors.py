"""A decoder's tensors under llama.cpp's names and in its layouts."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nanohydra.checkpoint.families.base import FUSED_QKV, TRANSPOSED
from nanohydra.checkpoint.families.choice import family_of
from nanohydra.checkpoint.gguf.architectures import Architecture, query_factor
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder, ModelConfig
from nanohydra.model.rope import frequencies


def tensors_of(model: Decoder, found: Architecture) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor, one after another, so that only one is converted at a time."""
    import gguf

    config, state = model.config, model.state_dict()
    family = family_of(config)
    (kind,) = (key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == found.name)
    names = gguf.get_tensor_name_map(kind, config.num_layers)
    for entry in family.entries(config):
        tensor = entry.layout.pack([state[name] for name in entry.ours])
        if entry.layout in (TRANSPOSED, FUSED_QKV):
            tensor = tensor.t()
        name = names.get_name(entry.theirs, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise UserError(f"GGUF has no name for the tensor {entry.theirs!r}")
        yield name, arranged(tensor, entry.theirs, config, found)
    if found.head and config.tie_embeddings:
        yield "output.weight", state["embed.weight"]
    yield from rotations(config)


def arranged(tensor: Tensor, theirs: str, config: ModelConfig, found: Architecture) -> Tensor:
    """One tensor as llama.cpp computes with it. theirs: its name at Hugging Face."""
    module = theirs.rsplit(".", 2)[-2]
    if module == "conv":
        return tensor.squeeze(1)  # (width, 1, kernel)
    if config.norm_unit_offset and module.endswith("norm"):
        tensor = tensor.float() + 1
    if found.pairs and module in ("q_proj", "k_proj"):
        tensor = pairs(tensor, config.num_heads if module == "q_proj" else config.num_kv_heads)
    factor = query_factor(config, found)
    if factor != 1.0 and module == ("q_norm" if config.qk_norm else "q_proj"):
        tensor = tensor.float() * factor
    return tensor


def pairs(tensor: Tensor, heads: int) -> Tensor:
    """Rows of each head's two halves -> neighbouring pairs; weights and biases."""
    halves = tensor.view(heads, 2, len(tensor) // heads // 2, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape)


def rotations(config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Divisors of the rotary frequencies, for the kinds of scaling that llama.cpp does not know."""
    scaling = config.rope_scaling
    if scaling.kind == "llama3":
        size = config.num_rotated
        plain_J = config.rope_theta ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
        yield "rope_freqs.weight", (plain_J / frequencies(config)[0]).float()
    if scaling.kind == "longrope":
        yield "rope_factors_long.weight", torch.tensor(scaling.long_factor)
        yield "rope_factors_short.weight", torch.tensor(scaling.short_factor)
