"""Batches and models for the tests of the native runner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nanohydra.adapters.batch import ReadyAdapter
from nanohydra.engine.batch import FlatBatch
from nanohydra.model import Decoder, ModelConfig

VOCAB = 61
# Each kind of operation and option at least once, with shapes that fill no vector evenly.
SHAPES: dict[str, dict[str, object]] = {
    "qwen3": {},
    "conv": {"layer_types": ("conv", "full"), "conv_kernel": 4},
    "gpt2": {
        "norm": "layernorm", "position": "learned", "feed_forward": "gelu", "bias": True,
        "qk_norm": False, "num_kv_heads": 4,
    },
    "gemma": {
        "layer_types": ("sliding", "full"), "sliding_window": 21, "norm_unit_offset": True,
        "norm_place": "both", "attention_softcap": 20.0, "logit_softcap": 10.0, "head_dim": 24,
        "scale_embeddings": True, "feed_forward": "geglu", "rope_local_theta": 100.0,
    },
    "olmo2": {"norm_place": "post", "qk_norm_span": "all", "intermediate_size": 77},
    "smollm3": {
        "layer_types": ("full", "nope"), "rotary_dim": 4, "feed_forward": "relu2",
        "num_kv_heads": 1, "hidden_size": 40, "tie_embeddings": False,
    },
    "wide": {"num_heads": 40, "num_kv_heads": 1, "head_dim": 6, "num_layers": 1},
    "sinusoidal": {"position": "sinusoidal"},
}  # fmt: skip


def random_model(kind: str, dtype: torch.dtype = torch.float32) -> Decoder:
    """A decoder whose weights, norms and biases are all random."""
    shape: dict[str, object] = {
        "vocab_size": VOCAB, "hidden_size": 32, "num_layers": 2, "num_heads": 4,
        "num_kv_heads": 2, "max_seq_len": 128,
    }  # fmt: skip
    model = Decoder(ModelConfig(**{**shape, **SHAPES[kind]}))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.empty_like(parameter).normal_(std=0.35, generator=generator)
            parameter.copy_(noise if parameter.ndim > 1 else parameter + noise)
    return model.to(dtype).eval()


def flat_batch(
    ids: Sequence[Sequence[int]],
    *,
    held: Sequence[int],
    tables: Sequence[Sequence[int]],
    adapters: Sequence[ReadyAdapter | None] = (),
    wanted: Sequence[int] | None = None,
) -> FlatBatch:
    """New tokens of some sequences; all of their logits are wanted where nothing else is said."""
    flat = np.concatenate([np.array(part, np.int32) for part in ids])
    width = max(map(len, tables))
    return FlatBatch(
        ids=flat,
        starts=np.cumsum([0, *map(len, ids)]).astype(np.int32),
        held=np.array(held, np.int32),
        tables=np.array([[*table, *[0] * (width - len(table))] for table in tables], np.int32),
        wanted=np.arange(len(flat), dtype=np.int32)
        if wanted is None
        else np.array(wanted, np.int32),
        adapters=tuple(adapters) or (None,) * len(ids),
    )
