"""Our folders in transformers and transformers' folders here: the same logits."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanohydra.checkpoint import FAMILIES, family_of, load, load_model, save
from nanohydra.checkpoint.families.choice import read_config
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer
from tests.checkpoint.foreign import FOREIGN, GPT2, LFM2, QWEN3, make_foreign

transformers = pytest.importorskip("transformers")


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
    name, model = standard
    save(tmp_path / "m", model, tokenizer, manifest={})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    text = "the cat <mat> 12, don't Žluť e\u0301"
    if name == "qwen2":  # for which transformers puts its own normalisation into any tokenizer
        text = unicodedata.normalize("NFC", text)
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


def test_greedy_decoding_with_a_state_equals_theirs(foreign: Any, tmp_path: Path) -> None:
    foreign.save_pretrained(tmp_path / "m")
    model = load_model(tmp_path / "m")
    prompts = torch.randint(3, 120, (2, 9), generator=torch.Generator().manual_seed(7))
    settings = {"do_sample": False, "max_new_tokens": 12, "eos_token_id": None}
    expected = foreign.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)
    state = model.init_state(2, 24)
    with torch.no_grad():
        ids = model(prompts, state=state)[:, -1:].argmax(-1)
        written = [prompts, ids]
        for _ in range(11):
            written.append(model(written[-1], state=state)[:, -1:].argmax(-1))
    assert torch.equal(torch.cat(written, 1), expected)


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
    hf = json.loads(json.dumps({"model_type": name, **family.to_hf(model.config)}))
    assert read_config(hf)[1] == model.config
    if "rope_theta" not in hf:
        return
    rope = {"rope_type": "default", "rope_theta": hf.pop("rope_theta")}
    rope |= hf.pop("rope_scaling", {})
    rope |= {key: hf.pop(key) for key in ("partial_rotary_factor",) if key in hf}
    hf["rope_parameters"] = rope
    if local := hf.pop("rope_local_base_freq", None):
        sliding = {"rope_type": "default", "rope_theta": local}
        hf["rope_parameters"] = {"full_attention": rope, "sliding_attention": sliding}
    assert read_config(hf)[1] == model.config


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
