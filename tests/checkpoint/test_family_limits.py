"""What a family cannot do exactly is refused by name, and which family a decoder is written as."""

from __future__ import annotations

from typing import Any

import pytest

from nanohydra.checkpoint import FAMILIES, family_of
from nanohydra.checkpoint.families.choice import read_config
from nanohydra.core.errors import UserError
from nanohydra.model import ModelConfig
from tests.checkpoint.conftest import CONFIGS, LLAMA
from tests.checkpoint.foreign import FOREIGN, GEMMA, LFM2, LONGROPE
from tests.checkpoint.foreign import LLAMA as LLAMA_HF


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("llama", {"hidden_act": "gelu"}, "'hidden_act' is 'gelu', .*supported: 'silu'"),
        ("llama", {"rope_scaling": {"type": "longrope"}}, "'longrope' is not supported; .*'yarn'"),
        ("llama", {"rope_scaling": 3}, "'rope_scaling' must be a table, not 3"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": "x"}}, "'factor' must be a number"),
        ("llama", {"rope_scaling": {"rope_type": "llama3"}}, "needs a factor above 0"),
        ("llama", {"quantization_config": {"bits": 4}}, "'quantization_config' is"),
        ("llama", {"partial_rotary_factor": 0.5}, "'partial_rotary_factor' is 0.5"),
        ("mistral", {"layer_types": ["full_attention"]}, "sliding_window = 4096 has not"),
        ("qwen2", {"layer_types": ["sliding_attention"] * 3}, "'use_sliding_window' is off"),
        ("qwen3", {"layer_types": ["full_attention"] * 2}, "has 2 entries for 3 layers"),
        ("smollm3", {"use_sliding_window": True}, "'use_sliding_window' is True"),
        ("smollm3", {"no_rope_layers": [1, 0]}, "'no_rope_layers' must list 3 layers"),
        ("gemma2", {"use_bidirectional_attention": True}, "'use_bidirectional_attention' is True"),
        ("gemma2", {"hidden_activation": "gelu"}, "'hidden_activation' is 'gelu'"),
        ("gemma2", {"sliding_window": None}, "but 'sliding_window' is null"),
        ("gemma3_text", {"attn_logit_softcapping": 50.0}, "'attn_logit_softcapping' is 50.0"),
        (
            "gemma3_text",
            {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
            "rotary scaling 'linear' is not supported; supported: 'default'",
        ),
        ("phi3", {"rope_scaling": {"type": "yarn", "factor": 2}}, "'yarn' is not supported"),
        ("phi3", {"rope_scaling": {**LONGROPE, "short_factor": 3}}, "must be a list of numbers"),
        ("phi3", {"rope_scaling": {**LONGROPE, "short_factor": [1.0]}}, "must have 4 numbers"),
        ("lfm2", {"rope_scaling": {"type": "linear", "factor": 2}}, "supported: 'default'"),
    ],
)
def test_what_it_cannot_do_is_refused(name: str, fields: dict[str, Any], message: str) -> None:
    base = {"gemma2": GEMMA, "gemma3_text": GEMMA, "lfm2": LFM2}.get(name, LLAMA_HF)
    read_config({"model_type": name, **base})
    with pytest.raises(UserError, match=message):
        read_config({"model_type": name, **base, **fields})


def test_every_family_is_tested_against_transformers() -> None:
    covered = {family for family, _ in CONFIGS.values()}
    assert covered == set(FAMILIES)
    classes = {FAMILIES.load(name).architecture.removesuffix("ForCausalLM") for name in FAMILIES}
    used = {name.removesuffix("Text") for name, _ in FOREIGN.values()} | {"NanohydraDecoder"}
    assert {name.removesuffix("LMHeadModel") for name in classes} == used


def test_the_first_family_that_fits_is_taken() -> None:
    assert family_of(ModelConfig()).model_type == "qwen3"
    config = ModelConfig(**LLAMA)
    assert family_of(config).model_type == "llama"
    # The same decoder, loaded from another family's files, goes back there.
    for name in ("mistral", "phi3"):
        hf = {"model_type": name, **FAMILIES.load(name)().to_hf(config)}
        family, read = read_config(hf)
        assert read.family == family.model_type == family_of(read).model_type == name


def test_a_family_that_no_longer_fits_gives_way() -> None:
    assert family_of(ModelConfig(**LLAMA, family="gemma2")).model_type == "llama"
    with pytest.raises(UserError, match="unknown architecture 'lama'; did you mean 'llama'"):
        family_of(ModelConfig(**LLAMA, family="lama"))


@pytest.mark.parametrize("option", [{"logit_softcap": 1.0}, {"norm_unit_offset": True}])
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("gemma2", "nanohydra")])
def test_an_option_that_a_family_does_not_name_does_not_fit(
    name: str, option: dict[str, Any]
) -> None:
    fields = next(fields for family, fields in CONFIGS.values() if family == name)
    family = FAMILIES.load(name)()
    assert family.fits(ModelConfig(**fields))  # type: ignore[arg-type]
    if option.keys() & {*getattr(family, "free", ()), *getattr(family, "options", ())}:
        return
    if name == "gpt2" and "norm_unit_offset" in option:
        return  # its norm has none
    assert not family.fits(ModelConfig(**{**fields, **option}))


def test_absent_keys_mean_what_transformers_says() -> None:
    small = {key: value for key, value in LLAMA_HF.items() if key != "num_key_value_heads"}
    assert read_config({"model_type": "llama", **small})[1].num_kv_heads == 4
    assert read_config({"model_type": "mistral", **LLAMA_HF})[1].sliding_window == 4096
    none = read_config({"model_type": "mistral", **LLAMA_HF, "sliding_window": None})[1]
    assert none.layer_types == ("full",) * 3 and none.sliding_window == 0
    assert read_config({"model_type": "qwen3", **LLAMA_HF})[1].head_dim == 128
    gemma = read_config({"model_type": "gemma2", **LLAMA_HF})[1]
    assert (gemma.head_dim, gemma.attention_softcap, gemma.logit_softcap) == (256, 50.0, 30.0)
    assert gemma.layer_types == ("sliding", "full", "sliding") and gemma.tie_embeddings
    gemma = read_config({"model_type": "gemma3_text", **LLAMA_HF, "num_hidden_layers": 7})[1]
    assert gemma.layer_types == (*["sliding"] * 5, "full", "sliding")
    assert (gemma.rope_theta, gemma.rope_local_theta) == (1e6, 1e4)
    smollm = read_config({"model_type": "smollm3", **LLAMA_HF, "num_hidden_layers": 5})[1]
    assert smollm.layer_types == ("full", "full", "full", "nope", "full")
    assert smollm.rope_theta == 2e6 and smollm.tie_embeddings


def test_longrope_reads_as_far_as_its_short_factors_hold() -> None:
    hf = {"model_type": "phi3", **LLAMA_HF, "original_max_position_embeddings": 32}
    config = read_config({**hf, "rope_scaling": {**LONGROPE, "type": "su", "rope_type": "su"}})[1]
    assert config.max_seq_len == 32
    assert config.rope_scaling.kind == "longrope" and config.rope_scaling.factor == 2.0
    assert FAMILIES.load("phi3")().to_hf(config)["max_position_embeddings"] == 64
