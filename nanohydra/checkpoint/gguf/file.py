"""Writes a GGUF file: what the model is, its tokenizer, and its tensors one after another.

The format is https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, the writing is done by
the library `gguf`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanohydra.checkpoint.gguf.architectures import Architecture, architecture_of, context_of
from nanohydra.checkpoint.gguf.tensors import tensors_of
from nanohydra.checkpoint.gguf.vocabulary import Vocabulary, vocabulary_of
from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, not_written
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer

FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7, "q4_0": 2}  # llama.cpp's numbers for "mostly"
BLOCK = 32  # numbers that share a scale in Q8_0 and Q4_0
VOCABULARY = ("token_embd.weight", "output.weight")  # too sensitive for four bits
# llama.cpp computes with these in float32 whatever the rest is.
PHI3 = re.compile("phi-?3", re.IGNORECASE)
NO_CAP = 1e6  # llama.cpp divides by it: x and 1e6 tanh(x / 1e6) are the same in float32
EXACT = ("position_embd.weight", "shortconv.conv.weight", "rope_freqs.weight")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written. types: how many tensors of each type. notes: what is not as before."""

    path: Path
    architecture: str
    num_bytes: int
    types: dict[str, int]
    context_length: int
    notes: tuple[str, ...] = ()


def write_gguf(
    path: Path,
    model: Decoder,
    tokenizer: Tokenizer,
    *,
    name: str,
    type: str = "f16",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:
    """Write a model to a GGUF file, at once: a reader sees the whole of it or nothing.

    name: what people call the model. type: "f32", "f16", "q8_0" or "q4_0" for the matrices,
    under the last q8_0 for embedding and head; norms and biases stay float32, and rows that are no
    multiple of 32 stay float16 under both. progress is called with bytes done and in all. Raises
    UserError for a model or a tokenizer that llama.cpp cannot run, before anything is written, and
    if the file cannot be written.
    """
    gguf = library()
    if type not in FILE_TYPES:
        raise UserError(f"unknown type {type!r} for GGUF; known: {', '.join(FILE_TYPES)}")
    found = architecture_of(model.config)
    vocabulary = vocabulary_of(tokenizer, model.config.vocab_size)
    try:
        with (
            atomic_path(path) as temporary,
            contextlib.closing(gguf.GGUFWriter(temporary, found.name)) as writer,
        ):
            writer.add_type("model")
            writer.add_name(safe_name(name, vocabulary))
            writer.add_file_type(FILE_TYPES[type])
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            add_shape(writer, model.config, found)
            add_vocabulary(writer, vocabulary, tokenizer)
            types = write_tensors(writer, model, found, type, progress)
    except OSError as error:  # NumPy's, when the disk is full, says no more than that
        raise not_written(path, error) from error
    context = context_of(model.config, found)
    notes = list(vocabulary.notes)
    if context < model.config.max_seq_len:
        notes.append(
            f"llama.cpp has no sliding window for {found.name!r}; the file says that texts may "
            f"have {context} tokens, within which it is the same"
        )
    return Written(
        path=path, architecture=found.name, num_bytes=path.stat().st_size, types=types,
        context_length=context, notes=tuple(notes),
    )  # fmt: skip


def safe_name(name: str, vocabulary: Vocabulary) -> str:
    """The name, unless llama.cpp would look for Phi-3's tokens because of it and fail."""
    looked_for = {"</s>", "<unk>", "<s>", "<|endoftext|>"} <= set(vocabulary.tokens)
    return name if looked_for else PHI3.sub("phi 3", name)


def library() -> Any:
    """The library `gguf`. Raises UserError where it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise UserError("writing GGUF needs gguf: pip install 'nanohydra[hf]'") from error
    return gguf


def add_shape(writer: Any, config: ModelConfig, found: Architecture) -> None:
    """The keys that say how the tensors are computed with."""
    writer.add_context_length(context_of(config, found))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_vocab_size(config.vocab_size)
    if config.norm == "layernorm":
        writer.add_layer_norm_eps(config.norm_eps)
    else:
        writer.add_layer_norm_rms_eps(config.norm_eps)
    if "conv" in config.layer_types:
        heads = [0 if kind == "conv" else config.num_kv_heads for kind in config.layer_types]
        writer.add_head_count_kv(heads)  # none marks a convolution
        writer.add_shortconv_l_cache(config.conv_kernel)
    else:
        writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    if config.position == "rope":
        add_rotation(writer, config)
    if config.sliding_window and found.windows:
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern([kind == "sliding" for kind in config.layer_types])
        writer.add_rope_freq_base_swa(config.rope_local_theta or config.rope_theta)
    elif found.name == "gemma2":  # absent means the published models' 4096
        writer.add_sliding_window(config.max_seq_len)
    if found.name == "gemma2":
        writer.add_attn_logit_softcapping(config.attention_softcap or NO_CAP)
        writer.add_final_logit_softcapping(config.logit_softcap or NO_CAP)
    elif config.logit_softcap:
        writer.add_final_logit_softcapping(config.logit_softcap)


def add_rotation(writer: Any, config: ModelConfig) -> None:
    """Rotary positions and their scaling."""
    gguf, scaling = library(), config.rope_scaling
    writer.add_rope_dimension_count(config.num_rotated)
    writer.add_rope_freq_base(config.rope_theta)
    if scaling.kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(scaling.factor)
    elif scaling.kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(scaling.factor)
        writer.add_rope_scaling_orig_ctx_len(scaling.original_max_seq_len)
        writer.add_rope_scaling_yarn_beta_fast(scaling.beta_fast)
        writer.add_rope_scaling_yarn_beta_slow(scaling.beta_slow)
        usual = 0.1 * float(np.log(scaling.factor)) + 1.0  # llama.cpp multiplies by it itself
        writer.add_rope_scaling_attn_factors(scaling.magnitude / usual)
    elif scaling.kind == "longrope":
        writer.add_rope_scaling_orig_ctx_len(scaling.original_max_seq_len)
        writer.add_rope_scaling_attn_factors(scaling.magnitude)


def add_vocabulary(writer: Any, vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    """Tokens, how they are put together, and those with a meaning."""
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types([int(kind) for kind in vocabulary.kinds])
    if vocabulary.model == "gpt2":
        writer.add_token_merges(vocabulary.merges)
    else:
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(vocabulary.space)
    bos, pad = tokenizer.bos_id, tokenizer.pad_id
    stops = dict.fromkeys((*tokenizer.chat.end_ids, *tokenizer.files.stop_ids))
    eos = tokenizer.end_id if tokenizer.end_id is not None else next(iter(stops), None)
    ends = [id for id in stops if id != eos]
    for add, id in (
        (writer.add_bos_token_id, bos),
        (writer.add_eos_token_id, eos),
        (writer.add_unk_token_id, vocabulary.unknown),
        (writer.add_pad_token_id, pad),
        *zip((writer.add_eot_token_id, writer.add_eom_token_id), ends, strict=False),
    ):
        if id is not None:
            add(id)
    writer.add_add_bos_token(bos is not None and bos in tokenizer.prefix_ids)
    templates = tokenizer.settings.templates
    if set(templates) == {"default"}:
        writer.add_chat_template(templates["default"])
    elif templates:
        named = [{"name": name, "template": text} for name, text in templates.items()]
        writer.add_chat_template(named)


def write_tensors(
    writer: Any,
    model: Decoder,
    found: Architecture,
    type: str,
    progress: Callable[[int, int], None],
) -> dict[str, int]:
    """The tensors, of which only one at a time is in memory as it is written."""
    gguf = library()
    kinds: list[Any] = []
    total = 0
    for name, tensor in tensors_of(model, found):
        kind = gguf.GGMLQuantizationType[type_of(name, tensor, type)]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        num_bytes = tensor.numel() // block * size
        writer.add_tensor_info(name, tensor.shape, np.dtype(np.float32), num_bytes, raw_dtype=kind)
        kinds.append(kind)
        total += num_bytes
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    done = 0
    for kind, (_, tensor) in zip(kinds, tensors_of(model, found), strict=True):
        data = gguf.quants.quantize(tensor.detach().float().cpu().contiguous().numpy(), kind)
        writer.write_tensor_data(data)
        done += data.nbytes
        progress(done, total)
    writer.close()
    return {kind.name: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def type_of(name: str, tensor: Tensor, type: str) -> str:
    """The type that a tensor is written as."""
    if tensor.ndim < 2 or name.endswith(EXACT) or type == "f32":
        return "F32"
    if type in ("q8_0", "q4_0") and tensor.shape[-1] % BLOCK == 0:
        return "Q4_0" if type == "q4_0" and name not in VOCABULARY else "Q8_0"
    fits = float(tensor.abs().max()) <= torch.finfo(torch.float16).max
    return "F16" if fits else "F32"
