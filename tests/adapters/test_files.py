"""Adapters on disk: what comes back, and what is refused before it touches a model."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nanohydra.adapters import (
    AdapterWeights,
    LoraConfig,
    Pair,
    attach_weights,
    concatenate,
    load_adapter,
    save_adapter,
)
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder

Make = Callable[..., Decoder]
MakeWeights = Callable[..., AdapterWeights]
Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def saved(model: Decoder, weights: AdapterWeights, tmp_path: Path) -> Path:
    save_adapter(tmp_path / "a", weights, model.config, manifest={"lesson": "x"})
    return tmp_path / "a"


@pytest.fixture
def foreign(saved: Path) -> Path:
    """As another program would have written it: without our manifest."""
    (saved / "manifest.json").unlink()
    return saved


def edit(folder: Path, **fields: Any) -> None:
    """Change adapter_config.json; None removes a field."""
    path = folder / "adapter_config.json"
    table = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in table.items() if v is not None}))


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_everything_comes_back(
    make_model: Make, make_weights: MakeWeights, kind: str, tmp_path: Path
) -> None:
    model = make_model(kind)
    for number, config in enumerate(
        (
            {},
            {"targets": ("o_proj", "down_proj"), "layers": (1,), "dropout": 0.25},
            {"targets": ("v_proj",), "rank": 3, "alpha": 5.5},
        )
    ):
        weights = make_weights(model, **config)
        folder = tmp_path / str(number)
        save_adapter(folder, weights, model.config, manifest={"lesson": "x"})
        assert sorted(p.name for p in folder.iterdir()) == [
            "adapter_config.json", "adapter_model.safetensors", "manifest.json",
        ]  # fmt: skip
        for loaded in (
            load_adapter(folder),
            load_adapter(folder, model=model),
            load_adapter(folder, config=model.config, base=weights.base),
        ):
            assert loaded.id == weights.id and loaded.config == weights.config
            assert loaded.base == weights.base and loaded.pairs.keys() == weights.pairs.keys()


def test_ranks_that_differ_come_back(
    make_model: Make, make_weights: MakeWeights, kind: str, tmp_path: Path
) -> None:
    model = make_model(kind)
    two = concatenate(
        [make_weights(model, 0, rank=3), make_weights(model, 1, rank=2, targets=("k_proj",))]
    )
    assert {len(pair.a_RI) for pair in two.pairs.values()} == {3, 5}
    save_adapter(tmp_path / "a", two, model.config, manifest={})
    assert load_adapter(tmp_path / "a", model=model).id == two.id


def test_the_files_are_the_profile_that_others_read(saved: Path, weights: AdapterWeights) -> None:
    fields = json.loads((saved / "adapter_config.json").read_text())
    assert fields["peft_type"] == "LORA" and fields["bias"] == "none"
    assert (fields["r"], fields["lora_alpha"]) == (4, 8)
    assert fields["target_modules"] == sorted(weights.config.targets)
    assert not fields["use_dora"] and not fields["use_rslora"] and not fields["rank_pattern"]
    tensors = load_file(saved / "adapter_model.safetensors")
    assert len(tensors) == 2 * 7 * 3
    pair = weights.pairs["blocks.0.mixer.q_proj"]
    assert torch.equal(tensors[f"{Q}.lora_A.weight"], pair.a_RI)
    assert torch.equal(tensors[f"{Q}.lora_B.weight"], pair.b_OR)
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["lesson"] == "x" and manifest["nanohydra"]["adapter"] == weights.id
    assert manifest["nanohydra"]["base"] == weights.base


def test_saving_twice_gives_the_same_bytes(
    saved: Path, model: Decoder, weights: AdapterWeights, tmp_path: Path
) -> None:
    save_adapter(tmp_path / "b", weights, model.config, manifest={})
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "b" / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(
    foreign: Path, model: Decoder, weights: AdapterWeights, tmp_path: Path, value: float
) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{Q}.lora_B.weight"][1, 2] = value

    edit_tensors(foreign, spoil)
    with pytest.raises(UserError, match=r"q_proj.* NaN or infinity"):
        load_adapter(foreign, model=model)
    weights.pairs["blocks.1.feed_forward.up_proj"].a_RI[0, 0] = value
    with pytest.raises(UserError, match=r"blocks\.1\.feed_forward\.up_proj.* NaN"):
        save_adapter(tmp_path / "b", weights, model.config, manifest={})
    assert not (tmp_path / "b").exists()


def test_another_base_of_the_same_shape(saved: Path, make_model: Make) -> None:
    with pytest.raises(UserError, match="trained on another base"):
        load_adapter(saved, model=make_model(seed=1))
    with pytest.raises(UserError, match="trained on another base"):
        load_adapter(saved, base="0" * 64)
    load_adapter(saved, model=make_model().bfloat16())  # the same base in another dtype


def test_a_base_that_is_not_named(foreign: Path, model: Decoder, weights: AdapterWeights) -> None:
    with pytest.raises(UserError, match="which model it is for; give the model"):
        load_adapter(foreign)
    with pytest.raises(UserError, match="which base it is for; give the model"):
        load_adapter(foreign, config=model.config)
    assert load_adapter(foreign, config=model.config, base="b" * 64).base == "b" * 64
    assert load_adapter(foreign, model=model).base == weights.base


def test_other_shapes(foreign: Path, make_model: Make) -> None:
    with pytest.raises(UserError, match=r"for another model|which do not fit"):
        load_adapter(foreign, model=make_model(hidden_size=64))
    with pytest.raises(UserError, match=r"no module 'model\.layers\.2\.mlp\.down_proj'"):
        load_adapter(foreign, model=make_model(num_layers=2))
    with pytest.raises(UserError, match="no module"):
        load_adapter(foreign, model=make_model("gpt2"))


@pytest.mark.parametrize("keep", [0, 100, -4])
def test_truncated(saved: Path, model: Decoder, keep: int) -> None:
    path = saved / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"adapter_model\.safetensors has .*truncated"):
        load_adapter(saved)
    (saved / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"adapter_model\.safetensors is damaged"):
        load_adapter(saved, model=model)


def test_a_changed_byte(saved: Path) -> None:
    path = saved / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged"):
        load_adapter(saved)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the pickle was run",))


def test_a_pickle_is_never_read(foreign: Path, model: Decoder) -> None:
    (foreign / "adapter_model.safetensors").unlink()
    (foreign / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match=r"adapter_model\.bin is a pickle.*save_pretrained"):
        load_adapter(foreign, model=model)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"peft_type": "IA3"}, "'peft_type' is 'IA3'"),
        ({"peft_type": "LOHA"}, "'alpha' is missing"),
        ({"use_dora": True}, r"lora_magnitude is None, and \(32,\) was expected"),
        ({"bias": "all"}, "'bias' is 'all'"),
        ({"modules_to_save": ["lm_head"]}, "'modules_to_save' is"),
        ({"lora_bias": True}, "'lora_bias'"),
        ({"init_lora_weights": "pissa_niter_4"}, "'init_lora_weights' is 'pissa_niter_4'"),
        ({"layer_replication": [[0, 2]]}, "'layer_replication'"),
        ({"lora_alpha": None}, "'lora_alpha' is missing.*8 in silence"),
        ({"r": None}, "'r' must be a whole number"),
        ({"r": 0}, "at least 1, not 0"),
        ({"r": 8}, r"have rank 4, adapter_config\.json says 8"),
        ({"lora_alpha": "8"}, "'lora_alpha' must be a number"),
        ({"rank_pattern": {"q_proj": 0}}, "'rank_pattern' must map names to numbers above 0"),
        ({"rank_pattern": {"(": 4}}, "is no regular expression"),
    ],
)
def test_what_cannot_be_computed_is_refused(
    foreign: Path, model: Decoder, fields: dict[str, Any], message: str
) -> None:
    edit(foreign, **fields)
    with pytest.raises(UserError, match=message):
        load_adapter(foreign, model=model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{Q}.lora_A.weight"), "lora_B but not the other factor"),
        (lambda t: t.update({f"{Q}.lora_magnitude_vector": torch.ones(3)}), "not a factor"),
        (lambda t: t.update({f"{Q}.lora_B.bias": torch.ones(3)}), "not a factor"),
        (
            lambda t: t.update(
                {"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 60)}
            ),
            "not a factor",
        ),
        (lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 32)}),
         "no module 'lm_head'"),
        (lambda t: t.clear(), "no factors at all"),
        (lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4)}), "another model"),
    ],
)  # fmt: skip
def test_strange_tensors(
    foreign: Path, model: Decoder, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    edit_tensors(foreign, change)
    with pytest.raises(UserError, match=message):
        load_adapter(foreign, model=model)


def test_places_that_hold_no_adapter(
    saved: Path, model: Decoder, weights: AdapterWeights, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="not a folder"):
        load_adapter(tmp_path / "nowhere")
    (saved / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"adapter_config\.json is missing"):
        load_adapter(saved)
    (saved / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"'notes\.txt'.*another folder"):
        save_adapter(saved, weights, model.config, manifest={})
    with pytest.raises(UserError, match="is a file"):
        save_adapter(saved / "notes.txt", weights, model.config, manifest={})
    empty = AdapterWeights(config=LoraConfig(), base="", pairs={})
    with pytest.raises(UserError, match="without factors"):
        save_adapter(tmp_path / "empty", empty, model.config, manifest={})
    wrong = {"blocks.0.mixer.q_proj": Pair(a_RI=torch.ones(2, 9), b_OR=torch.ones(32, 2))}
    with pytest.raises(UserError, match="another model"):
        save_adapter(
            tmp_path / "wrong",
            AdapterWeights(config=LoraConfig(), base="", pairs=wrong),
            model.config,
            manifest={},
        )


def test_rank_stabilised_scales_are_converted(
    foreign: Path, model: Decoder, weights: AdapterWeights, ids_BT: torch.Tensor
) -> None:
    edit(foreign, use_rslora=True)  # alpha / sqrt(4) instead of alpha / 4
    loaded = load_adapter(foreign, model=model)
    assert loaded.config.scale == pytest.approx(8 / 2)
    double = AdapterWeights(
        config=LoraConfig(rank=4, alpha=16), base=weights.base, pairs=weights.pairs
    )
    with torch.no_grad():
        attached = attach_weights(model, loaded)
        logits = model(ids_BT)
        attached.load(double)
        torch.testing.assert_close(model(ids_BT), logits)


def test_patterns_of_rank_and_alpha(foreign: Path, model: Decoder, weights: AdapterWeights) -> None:
    def narrow(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{Q}.lora_A.weight"] = tensors[f"{Q}.lora_A.weight"][:2].clone()
        tensors[f"{Q}.lora_B.weight"] = tensors[f"{Q}.lora_B.weight"][:, :2].clone()

    edit_tensors(foreign, narrow)
    edit(
        foreign,
        rank_pattern={"model.layers.0.self_attn.q_proj": 2},
        alpha_pattern={r"layers\.1\..*down_proj": 24},
    )
    loaded = load_adapter(foreign, model=model)
    assert loaded.config.scale == 2.0
    name = "blocks.0.mixer.q_proj"  # alpha 8 over rank 2: twice the common scale
    expected = 4.0 * weights.pairs[name].b_OR[:, :2] @ weights.pairs[name].a_RI[:2]
    torch.testing.assert_close(2.0 * loaded.pairs[name].b_OR @ loaded.pairs[name].a_RI, expected)
    for name, factor in (
        ("blocks.1.feed_forward.down_proj", 3.0),
        ("blocks.2.feed_forward.down_proj", 1.0),
    ):
        torch.testing.assert_close(loaded.pairs[name].b_OR, weights.pairs[name].b_OR * factor)
