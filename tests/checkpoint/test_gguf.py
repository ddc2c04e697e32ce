"""GGUF files, read back with the library: names, shapes, values, keys; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nanohydra.checkpoint.gguf import write_gguf
from nanohydra.checkpoint.gguf.architectures import ARCHITECTURES
from nanohydra.checkpoint.gguf.tensors import pairs
from nanohydra.checkpoint.llama2c import halves
from nanohydra.core.errors import UserError
from nanohydra.model.config import RopeScaling
from nanohydra.tokenizer import Tokenizer
from tests.checkpoint.conftest import CONFIGS, GEMMA, GPT2, LFM2, LLAMA, LONG, QWEN3, make_decoder
from tests.tokenizer.foreign import KINDS, write

gguf = pytest.importorskip("gguf", reason="GGUF needs the extra 'hf'")
FIT = {
    name: (family, fields)
    for name, (family, fields) in CONFIGS.items()
    if family in ARCHITECTURES
    and name not in ("qwen3 biases", "smollm3", "smollm3 untied", "gemma3 scaled", "lfm2 kernel 1")
} | {
    "smollm3": ("smollm3", {**LLAMA, "num_layers": 4, "layer_types": (*3 * ("full",), "nope")}),
    # llama.cpp takes the factors for long texts where its context, at least 256, is longer.
    "phi3 long": (
        "phi3",
        {
            **CONFIGS["phi3 long"][1], "max_seq_len": 256,
            "rope_scaling": replace(LONG, original_max_seq_len=256, max_position_embeddings=900),
        },
    ),
    "gemma3 scaled": (
        "gemma3_text",
        {
            **GEMMA, "rope_local_theta": 1e4,
            "rope_scaling": RopeScaling(kind="linear", factor=8.0),
        },
    ),
}  # fmt: skip


def read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, str]]:
    """Keys, dequantised tensors and their types."""
    reader = gguf.GGUFReader(path)
    keys = {field.name: field.contents() for field in reader.fields.values()}
    tensors, types = {}, {}
    for tensor in reader.tensors:
        data = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        shape = tuple(int(n) for n in reversed(tensor.shape))
        tensors[tensor.name] = torch.from_numpy(np.array(data, dtype=np.float32)).view(shape)
        types[tensor.name] = tensor.tensor_type.name
    return keys, tensors, types


@pytest.mark.parametrize("name", FIT)
def test_every_parameter_is_there(name: str, tmp_path: Path, tokenizer: Tokenizer) -> None:
    family, fields = FIT[name]
    model = make_decoder(fields)
    written = write_gguf(tmp_path / "m.gguf", model, tokenizer, name="small", type="f32")
    keys, tensors, types = read(tmp_path / "m.gguf")
    config, arch = model.config, ARCHITECTURES[family].name
    assert keys["general.architecture"] == arch == written.architecture
    assert set(types.values()) == {"F32"} and keys["general.file_type"] == 0
    assert keys[f"{arch}.block_count"] == config.num_layers
    assert keys[f"{arch}.embedding_length"] == config.hidden_size
    assert keys[f"{arch}.feed_forward_length"] == config.intermediate_size
    count = sum(p.numel() for p in model.parameters())
    extra = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"]
    extra += ["output.weight"] if config.tie_embeddings else []
    assert sum(t.numel() for n, t in tensors.items() if n not in extra) == count
    assert torch.equal(tensors["token_embd.weight"], model.embed.weight.detach())
    assert len(keys["tokenizer.ggml.tokens"]) == config.vocab_size
    sums = {float(t.double().sum()) for t in tensors.values()}
    for block in (0, config.num_layers - 1):
        down = model.state_dict()[f"blocks.{block}.feed_forward.down_proj.weight"]
        assert torch.equal(tensors[f"blk.{block}.ffn_down.weight"], down)
        assert float(down.double().sum()) in sums


def test_rows_change_places_as_they_did_coming_in() -> None:
    weight = torch.randn(3, 8, 5)
    inwards = halves(weight, 2)
    assert torch.equal(torch.stack([pairs(w, 2) for w in inwards]), weight)
    assert torch.equal(pairs(halves(weight, 2)[0, :, 0], 2), weight[0, :, 0])


def test_layouts_of_families(tmp_path: Path, tokenizer: Tokenizer) -> None:
    def written(fields: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[str, torch.Tensor]]:
        model = make_decoder(fields)
        write_gguf(tmp_path / "m.gguf", model, tokenizer, name="x", type="f32")
        return model.state_dict(), *read(tmp_path / "m.gguf")[:2]

    state, keys, tensors = written({**LLAMA, "num_kv_heads": 2})
    assert torch.equal(
        tensors["blk.0.attn_k.weight"], pairs(state["blocks.0.mixer.k_proj.weight"], 2)
    )
    state, keys, tensors = written(CONFIGS["gemma2"][1])
    assert torch.equal(tensors["output_norm.weight"], state["final_norm.weight"] + 1)
    factor = (8 / 12) ** 0.5
    torch.testing.assert_close(
        tensors["blk.0.attn_q.weight"], state["blocks.0.mixer.q_proj.weight"] * factor
    )
    assert keys["gemma2.attention.sliding_window_pattern"] == [True, True, False]
    assert keys["gemma2.attn_logit_softcapping"] == 10.0
    state, keys, tensors = written({**GPT2})
    qkv = [state[f"blocks.0.mixer.{n}_proj.weight"] for n in "qkv"]
    assert torch.equal(tensors["blk.0.attn_qkv.weight"], torch.cat(qkv))
    state, keys, tensors = written({**LFM2})
    assert torch.equal(
        tensors["blk.0.shortconv.conv.weight"], state["blocks.0.mixer.conv_weight"].t()
    )
    assert keys["lfm2.attention.head_count_kv"] == [0, 0, 4, 0, 0]


@pytest.mark.parametrize("type", ["f16", "q8_0", "q4_0"])
def test_smaller_types(type: str, tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = make_decoder({**QWEN3, "intermediate_size": 48})
    written = write_gguf(tmp_path / "m.gguf", model, tokenizer, name="x", type=type)
    keys, tensors, types = read(tmp_path / "m.gguf")
    assert keys["general.file_type"] == {"f16": 1, "q8_0": 7, "q4_0": 2}[type]
    # Rows of 48 are no multiple of 32.
    assert types["blk.0.ffn_down.weight"] == "F16"
    assert types["blk.0.ffn_up.weight"] == type.upper() and types["blk.0.attn_norm.weight"] == "F32"
    assert written.types[type.upper()] == sum(t == type.upper() for t in types.values())
    weight = model.state_dict()["blocks.0.feed_forward.up_proj.weight"]
    found = tensors["blk.0.ffn_up.weight"]
    if type == "f16":
        assert torch.equal(found, weight.half().float())
    else:
        largest = weight.view(-1, 32).abs().amax(dim=1, keepdim=True)
        # Half a step of rounding, and the scale is itself rounded to float16; the largest number
        # of four bits is 7 steps on one side and 8 on the other.
        step = largest / 127 * 0.5 if type == "q8_0" else largest / 8
        assert ((found - weight).view(-1, 32).abs() <= step * 1.2).all()
        assert types["token_embd.weight"] == "Q8_0"
        assert not torch.equal(found, weight)


def test_what_float16_cannot_hold_stays_float32(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = make_decoder(QWEN3)
    with torch.no_grad():
        model.embed.weight[3, 3] = 1e5
    write_gguf(tmp_path / "m.gguf", model, tokenizer, name="x", type="f16")
    _, tensors, types = read(tmp_path / "m.gguf")
    assert types["token_embd.weight"] == "F32" and tensors["token_embd.weight"][3, 3] == 1e5


def test_windows_that_llama_cpp_lacks_shorten_the_context(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    model = make_decoder(CONFIGS["mistral"][1])
    written = write_gguf(tmp_path / "m.gguf", model, tokenizer, name="x", type="f32")
    assert written.context_length == 5 and "no sliding window for 'llama'" in written.notes[0]
    assert read(tmp_path / "m.gguf")[0]["llama.context_length"] == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("relu2", "those that it has: llama, mistral, qwen2"),
        ("smollm3", "every layer but each 4th must have positions"),
        ("smollm3 untied", "no biases on qkv"),
        ("gemma3 scaled", "no biases on qkv"),
        ("qwen3 biases", "no biases on qkv"),
        ("lfm2 kernel 1", "convolutions take at least two tokens"),
    ],
)
def test_what_cannot_be_expressed(
    name: str, message: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    with pytest.raises(UserError, match=message):
        write_gguf(
            tmp_path / "m.gguf", make_decoder(CONFIGS[name][1]), tokenizer, name="x", type="f32"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("byte level", "no name for how this tokenizer cuts a text"),
        ("unigram", "of kind 'unigram' cannot be written to GGUF"),
        ("wordpiece", "of kind 'wordpiece'"),
    ],
)
def test_tokenizers_that_llama_cpp_lacks(kind: str, message: str, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write(tmp_path / "t", KINDS[kind]()))
    model = make_decoder({**QWEN3, "vocab_size": tokenizer.vocab_size})
    with pytest.raises(UserError, match=message):
        write_gguf(tmp_path / "m.gguf", model, tokenizer, name="x", type="f32")
    assert not (tmp_path / "m.gguf").exists()


def test_single_characters_are_refused(tmp_path: Path, small: Any) -> None:
    with pytest.raises(UserError, match="of kind 'characters'"):
        write_gguf(tmp_path / "m", small, Tokenizer.characters(["ab"]), name="x", type="f32")


def test_tokens_with_a_meaning(tmp_path: Path) -> None:
    config = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": "{{ messages }}"}
    write(tmp_path / "t", KINDS["metaspace"](), config)
    size = Tokenizer.load(tmp_path / "t").vocab_size
    end = f'{{"eos_token_id": [2, {size - 1}]}}'
    (tmp_path / "t" / "generation_config.json").write_text(end)
    tokenizer = Tokenizer.load(tmp_path / "t")
    model = make_decoder({**LLAMA, "vocab_size": tokenizer.vocab_size + 2})
    written = write_gguf(tmp_path / "m.gguf", model, tokenizer, name="my-Phi3", type="f32")
    keys = read(tmp_path / "m.gguf")[0]
    assert keys["tokenizer.ggml.model"] == "llama" and keys["tokenizer.ggml.add_space_prefix"]
    assert keys["tokenizer.ggml.eos_token_id"] == 2
    assert keys["tokenizer.ggml.eot_token_id"] == size - 1
    assert keys["tokenizer.chat_template"] == "{{ messages }}"
    tokens, kinds = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    assert tokens[-2:] == [f"[PAD{size}]", f"[PAD{size + 1}]"] and kinds[-2:] == [5, 5]
    assert kinds[tokens.index("<0x41>")] == 6 and kinds[tokens.index("<|im_end|>")] == 3
    assert keys["general.name"] == "my-phi 3", "llama.cpp fails for want of Phi-3's tokens"
    assert "begins with one" in written.notes[0]


def test_an_unknown_type(tmp_path: Path, small: Any, tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="unknown type 'q4_k'"):
        write_gguf(tmp_path / "m.gguf", small, tokenizer, name="x", type="q4_k")


def test_an_error_leaves_nothing(
    tmp_path: Path, small: Any, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensor_data", full)
    with pytest.raises(UserError, match=r"m\.gguf could not be written \(No space"):
        write_gguf(tmp_path / "m.gguf", small, tokenizer, name="x", type="f32")
    assert list(tmp_path.iterdir()) == []
