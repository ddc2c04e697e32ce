"""Ours in PEFT and PEFT's here: the same logits, on every family that transformers knows."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nanohydra.adapters import (
    AdapterWeights,
    LoraConfig,
    attach,
    attach_weights,
    base_hash,
    concatenate,
    load_adapter,
    save_adapter,
)
from nanohydra.checkpoint import save
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder
from nanohydra.tokenizer import Tokenizer
from tests.adapters.conftest import OPEN

if not importlib.util.find_spec("peft") or not importlib.util.find_spec("transformers"):
    pytest.skip("peft or transformers is not installed", allow_module_level=True)

Make = Callable[..., Decoder]
MakeWeights = Callable[..., AdapterWeights]
pytestmark = pytest.mark.filterwarnings("default::FutureWarning", "default::DeprecationWarning")


@pytest.fixture(scope="module")
def peft() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        import peft as module
        import transformers

        transformers.logging.disable_progress_bar()
        yield module


@pytest.fixture(params=["qwen3", "lfm2", "gpt2", *OPEN])
def standard(request: pytest.FixtureRequest, make_model: Make) -> Decoder:
    return make_model(request.param, vocab_size=300)


def in_transformers(model: Decoder, folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    if not folder.exists():
        tokenizer = Tokenizer.train(["the cat sat on the mat"], vocab_size=270)
        save(folder, model, tokenizer, manifest={})
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def assert_equal_logits(model: Decoder, weights: AdapterWeights, theirs: Any) -> None:
    """Within 1e-4 in float32, where the adapter moves logits by far more."""
    ids = torch.randint(300, (2, 19), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        base = model(ids)
        attached = attach_weights(model, weights)
        ours = model(ids)
        attached.detach()
        assert (ours - base).abs().max() > 0.05
        torch.testing.assert_close(ours, theirs(ids).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"targets": ("o_proj",), "layers": (1, 2)},
        {"targets": ("q_proj", "down_proj"), "rank": 3, "alpha": 7.5},
        {"targets": ("*",), "layers": (0,)},
    ],
)
def test_ours_in_peft(
    peft: Any, standard: Decoder, make_weights: MakeWeights, tmp_path: Path, config: dict[str, Any]
) -> None:
    weights = make_weights(standard, **config)
    save_adapter(tmp_path / "a", weights, standard.config, manifest={})
    theirs = in_transformers(standard, tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # among others for keys that are missing or unknown
        warnings.filterwarnings("ignore", category=FutureWarning)
        theirs = peft.PeftModel.from_pretrained(theirs, str(tmp_path / "a"))
    assert_equal_logits(standard, weights, theirs)


def test_a_concatenated_one_in_peft(
    peft: Any, standard: Decoder, make_weights: MakeWeights, tmp_path: Path
) -> None:
    two = concatenate(
        [make_weights(standard, 0), make_weights(standard, 1, rank=3, targets=("v_proj",))]
    )
    save_adapter(tmp_path / "a", two, standard.config, manifest={})
    theirs = in_transformers(standard, tmp_path / "m")
    theirs = peft.PeftModel.from_pretrained(theirs, str(tmp_path / "a"))
    assert_equal_logits(standard, two, theirs)


TARGETS = {
    "qwen3": ["q_proj", "v_proj", "down_proj"],
    "lfm2": ["q_proj", "w2", "self_attn.out_proj"],
    "gpt2": ["c_attn", "c_fc"],
    "phi3": ["qkv_proj", "gate_up_proj", "o_proj"],
}
PATTERNS = {
    "gpt2": {"rank_pattern": {"h.1.mlp.c_fc": 2}, "alpha_pattern": {"c_attn": 3}},
    "phi3": {"rank_pattern": {"1.mlp.gate_up_proj": 2}, "alpha_pattern": {"qkv_proj": 3}},
}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use_rslora": True},
        {"layers_to_transform": [1, 2]},
        {"rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"q_proj": 3}},
    ],
)
def test_theirs_here(peft: Any, standard: Decoder, tmp_path: Path, fields: dict[str, Any]) -> None:
    theirs = in_transformers(standard, tmp_path / "m")
    family = theirs.config.model_type
    if "rank_pattern" in fields and family in PATTERNS:
        fields = PATTERNS[family]
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=TARGETS.get(family, TARGETS["qwen3"]),
        fan_in_fan_out=family == "gpt2",
        task_type="CAUSAL_LM",
        **fields,
    )
    theirs = peft.get_peft_model(theirs, config).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    theirs.save_pretrained(tmp_path / "a")
    weights = load_adapter(tmp_path / "a", model=standard)
    assert weights.config.layers == ((1, 2) if "layers_to_transform" in fields else ())
    assert_equal_logits(standard, weights, theirs)
    # And on: what PEFT made can be published and read again.
    save_adapter(tmp_path / "b", weights, standard.config, manifest={})
    assert load_adapter(tmp_path / "b", model=standard).id == weights.id
    written = json.loads((tmp_path / "b" / "adapter_config.json").read_text())
    assert written["use_rslora"] is False
    names = [set(load_file(tmp_path / x / "adapter_model.safetensors")) for x in "ab"]
    assert names[0] == names[1]


OTHER_KINDS = ("dora", "loha", "lokr")


def of_kind(model: Decoder, kind: str, **config: Any) -> AdapterWeights:
    attached = attach(model, LoraConfig(**{"rank": 3, "alpha": 5.0, "kind": kind, **config}))
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in attached.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    weights = attached.weights(base_hash(model))
    attached.detach()
    return weights


@pytest.mark.parametrize("family", ["qwen3", "lfm2", "qwen2"])
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_other_kinds_of_ours_in_peft(
    peft: Any, make_model: Make, kind: str, family: str, tmp_path: Path
) -> None:
    model = make_model(family, vocab_size=300)
    weights = of_kind(model, kind, targets=("q_proj", "down_proj"), layers=(1, 2))
    save_adapter(tmp_path / "a", weights, model.config, manifest={})
    assert load_adapter(tmp_path / "a", model=model).id == weights.id
    theirs = in_transformers(model, tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # among others for keys that are missing or unknown
        warnings.filterwarnings("ignore", category=FutureWarning)
        theirs = peft.PeftModel.from_pretrained(theirs, str(tmp_path / "a"))
    assert_equal_logits(model, weights, theirs)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("dora", {}),
        ("dora", {"use_rslora": True}),
        ("loha", {}),
        ("lokr", {}),
        ("lokr", {"decompose_factor": 4}),
        ("lokr", {"decompose_both": True, "r": 2}),
    ],
)
def test_other_kinds_of_theirs_here(
    peft: Any, make_model: Make, kind: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    model = make_model("qwen3", vocab_size=300)
    theirs = in_transformers(model, tmp_path / "m")
    common = {"r": 4, "target_modules": ["q_proj", "o_proj", "up_proj"], **fields}
    make = {"dora": peft.LoraConfig, "loha": peft.LoHaConfig, "lokr": peft.LoKrConfig}[kind]
    own = {"lora_alpha": 6, "use_dora": True} if kind == "dora" else {"alpha": 6}
    theirs = peft.get_peft_model(theirs, make(**common, **own)).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if any(part in name for part in ("lora_", "hada_", "lokr_")):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    theirs.save_pretrained(tmp_path / "a")
    weights = load_adapter(tmp_path / "a", model=model)
    assert weights.config.kind == kind and weights.config.layers == ()
    assert_equal_logits(model, weights, theirs)
    # And on: what PEFT made can be written and read again, by both.
    save_adapter(tmp_path / "b", weights, model.config, manifest={})
    assert load_adapter(tmp_path / "b", model=model).id == weights.id
    again = in_transformers(model, tmp_path / "m")
    again = peft.PeftModel.from_pretrained(again, str(tmp_path / "b"))
    assert_equal_logits(model, weights, again)


def test_what_peft_cannot_hold_of_other_kinds(make_model: Make, tmp_path: Path) -> None:
    model = make_model("gpt2")
    for kind in OTHER_KINDS:
        weights = of_kind(model, kind, targets=("q_proj",))
        with pytest.raises(UserError, match=r"kind \w+ cannot be exchanged.*h.0.attn.c_attn"):
            save_adapter(tmp_path / "a", weights, model.config, manifest={})
        assert not (tmp_path / "a").exists()
