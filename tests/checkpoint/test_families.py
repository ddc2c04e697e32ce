"""Our folders in transformers and transformers' folders here: the same logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanohydra.checkpoint import FAMILIES, family_of, load, load_model, save
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

TINY = {"vocab_size": 120, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
QWEN3 = {
    **TINY,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
}
LFM2 = {key: value for key, value in QWEN3.items() if key != "head_dim"} | {"num_hidden_layers": 4}
GPT2 = {**TINY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
FOREIGN = {
    "qwen3 tied": ("Qwen3", {**QWEN3, "tie_word_embeddings": True}),
    "qwen3 untied": ("Qwen3", {**QWEN3, "rms_norm_eps": 1e-5}),
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
}


def make_foreign(name: str, fields: dict[str, Any]) -> Any:
    """A random model of transformers, every parameter of which matters."""
    config = getattr(transformers, f"{name}Config")(**fields)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.15 + (1.0 if parameter.ndim == 1 else 0.0))
    return model


@pytest.fixture(params=FOREIGN)
def foreign(request: pytest.FixtureRequest) -> Any:
    """One of each kind."""
    return make_foreign(*FOREIGN[request.param])


@torch.no_grad()
def assert_equal_logits(ours: Decoder, theirs: Any) -> None:
    """Within 1e-4 in float32, over logits of which the largest are far from zero."""
    ids = torch.randint(ours.config.vocab_size, (2, 23), generator=torch.Generator().manual_seed(1))
    expected = theirs(ids).logits
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(ours(ids), expected, atol=1e-4, rtol=0)


def test_our_folder_in_transformers(
    standard: tuple[str, Decoder], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    name, model = standard
    save(tmp_path / "m", model, tokenizer, manifest={})
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "m", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert type(theirs).__name__ == FAMILIES.load(name).architecture
    assert theirs.dtype == torch.float32
    assert theirs.generation_config.eos_token_id == tokenizer.end_id
    assert_equal_logits(model, theirs.eval())


def test_generation_in_transformers_equals_ours(
    standard: tuple[str, Decoder], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    _, model = standard
    save(tmp_path / "m", model, tokenizer, manifest={})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    text = "the cat <mat> 12, don't Žluť e\u0301"
    ids = tokenizer.encode(text)
    assert words(text)["input_ids"] == ids
    prompt = torch.tensor([ids])
    written = theirs.generate(prompt, do_sample=False, max_new_tokens=8, eos_token_id=299)
    with torch.no_grad():
        for place in range(len(ids), written.shape[1]):
            assert int(model(written[:, :place])[0, -1].argmax()) == int(written[0, place])


def test_their_folder_here(foreign: Any, tmp_path: Path) -> None:
    foreign.save_pretrained(tmp_path / "m")
    model = load_model(tmp_path / "m")
    assert_equal_logits(model, foreign)
    assert family_of(model.config).model_type == foreign.config.model_type


def test_there_and_back(foreign: Any, tokenizer: Tokenizer, tmp_path: Path) -> None:
    if foreign.config.vocab_size < tokenizer.vocab_size:
        foreign.resize_token_embeddings(300, mean_resizing=False)
    foreign.save_pretrained(tmp_path / "theirs")
    save(tmp_path / "ours", load_model(tmp_path / "theirs"), tokenizer, manifest={})
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours").state_dict()
    for name, tensor in foreign.state_dict().items():
        assert torch.equal(again[name], tensor), name


def test_shards(tmp_path: Path) -> None:
    model = make_foreign("Qwen3", QWEN3)
    model.save_pretrained(tmp_path / "m", max_shard_size="20KB")
    assert len(list((tmp_path / "m").glob("*.safetensors"))) > 1
    assert_equal_logits(load_model(tmp_path / "m"), model)
    shard = sorted((tmp_path / "m").glob("*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(UserError, match=shard.name):
        load_model(tmp_path / "m")


def test_the_first_gpt2_files(tmp_path: Path) -> None:
    """They leave the prefix out and store causal masks."""
    model = make_foreign("GPT2", GPT2)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    old = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    old["h.0.attn.bias"] = torch.ones(1, 1, 64, 64)
    save_file(old, tmp_path / "model.safetensors")
    assert_equal_logits(load_model(tmp_path), model)


def test_old_and_new_spelling_of_rotary_positions(standard: tuple[str, Decoder]) -> None:
    name, model = standard
    family = FAMILIES.load(name)()
    hf = json.loads(json.dumps(family.to_hf(model.config)))
    assert family.from_hf(hf) == model.config
    if "rope_theta" in hf:
        theta = hf.pop("rope_theta")
        hf["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
        assert family.from_hf(hf) == model.config


def test_a_tied_head_in_the_file_is_left_aside(
    small: Decoder, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    save(tmp_path / "m", small, tokenizer, manifest={})
    (tmp_path / "m" / "manifest.json").unlink()
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    assert torch.equal(load(tmp_path / "m").model.head.weight, small.embed.weight)


def test_layer_counts_must_agree() -> None:
    family = FAMILIES.load("lfm2")()
    with pytest.raises(UserError, match="'layer_types' has 2 entries for 4 layers"):
        family.from_hf({**LFM2, "layer_types": ["conv", "full_attention"]})


def test_the_default_is_a_qwen3() -> None:
    assert family_of(ModelConfig()).model_type == "qwen3"
    assert family_of(ModelConfig.from_depth(12)).model_type == "qwen3"
