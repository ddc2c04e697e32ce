"""Model folders: what is saved comes back, and what is damaged is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import nanohydra
from nanohydra.checkpoint import FAMILIES, family_of, load, load_model, save
from nanohydra.core.errors import UserError
from nanohydra.core.files import sha256
from nanohydra.model import Decoder
from nanohydra.tokenizer import Tokenizer

FILES = {
    "config.json",
    "generation_config.json",
    "manifest.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


def assert_same(a: Decoder, b: Decoder) -> None:
    """Bit for bit, tied or not."""
    ours, theirs = a.state_dict(), b.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype
        assert torch.equal(ours[name], theirs[name]), name


@pytest.fixture
def saved(small: Decoder, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A folder with the small model."""
    save(tmp_path / "model", small, tokenizer, manifest={"step": 7})
    return tmp_path / "model"


def test_save_and_load_are_bit_equal(
    family_and_model: tuple[str, Decoder],
    tokenizer: Tokenizer,
    tmp_path: Path,
    ids_BT: torch.Tensor,
) -> None:
    name, model = family_and_model
    save(tmp_path / "m", model, tokenizer, manifest={"step": 3, "metrics": {"loss": 1.5}})
    assert {path.name for path in (tmp_path / "m").iterdir()} == FILES
    loaded = load(tmp_path / "m")
    assert loaded.config == loaded.model.config == model.config
    assert_same(loaded.model, model)
    assert loaded.tokenizer.fingerprint == tokenizer.fingerprint
    assert loaded.manifest["step"] == 3 and loaded.manifest["metrics"] == {"loss": 1.5}
    assert not loaded.model.training
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())
    assert (loaded.model.head.weight is loaded.model.embed.weight) == model.config.tie_embeddings
    with torch.no_grad():
        assert torch.equal(loaded.model(ids_BT), model(ids_BT))
    assert FAMILIES.load(name).architecture == family_of(model.config).architecture
    about = loaded.manifest["nanohydra"]
    assert about["standard"] == (name != "nanohydra")
    assert about["version"] == nanohydra.__version__
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["architectures"] == [about["architecture"]] and config["model_type"] == name


def test_a_loaded_model_trains_and_saves_over_itself(
    saved: Path, tokenizer: Tokenizer, ids_BT: torch.Tensor
) -> None:
    model = load(saved).model
    before = (saved / "model.safetensors").read_bytes()
    model(ids_BT).square().mean().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert (saved / "model.safetensors").read_bytes() == before  # mapped, but private
    save(saved, model, tokenizer, manifest={"step": 8})
    again = load(saved)
    assert_same(again.model, model)
    assert again.manifest["step"] == 8


def test_the_manifest_holds_every_hash(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    assert set(manifest["files"]) == FILES - {"manifest.json"}
    for name, entry in manifest["files"].items():
        assert entry == {"bytes": (saved / name).stat().st_size, "sha256": sha256(saved / name)}


def test_generation_stops_at_the_end_of_a_turn(saved: Path) -> None:
    generation = json.loads((saved / "generation_config.json").read_text())
    assert generation == {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_dtypes(
    small: Decoder, tokenizer: Tokenizer, tmp_path: Path, dtype: torch.dtype, ids_BT: torch.Tensor
) -> None:
    small.to(torch.bfloat16)
    save(tmp_path / "m", small, tokenizer, manifest={})
    assert load(tmp_path / "m").model.dtype == torch.bfloat16
    model = load(tmp_path / "m", dtype=dtype).model
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert torch.equal(model.embed.weight, small.embed.weight.to(dtype))
    assert model.head.weight is model.embed.weight
    assert model(ids_BT).isfinite().all()


def test_the_public_name(saved: Path) -> None:
    loaded = nanohydra.load(saved)
    assert isinstance(loaded, nanohydra.Loaded)


def cut(path: Path) -> None:
    """Lose the last 100 bytes."""
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    """Change one byte near the end."""
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", sorted(FILES - {"manifest.json"}))
def test_damage_is_found_and_the_file_named(
    saved: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(saved / name)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load(saved)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_damage_is_named_without_a_manifest(
    saved: Path, name: str, damage: Callable[[Path], None]
) -> None:
    (saved / "manifest.json").unlink()
    damage(saved / name)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load(saved)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"nanohydra": {"format": 99}}'])
def test_a_strange_manifest_is_named(saved: Path, text: str) -> None:
    (saved / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json"):
        load(saved)


def edit_config(folder: Path, **fields: object) -> None:
    """Change config.json as a person would, who also drops the manifest."""
    (folder / "manifest.json").unlink()
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "qwen33"}, r"unknown architecture 'qwen33'; did you mean 'qwen3'\?"),
        ({"model_type": "mamba"}, r"'mamba'.*qwen3, lfm2, gpt2, llama, .*nanohydra"),
        ({"model_type": None}, r"unknown architecture None"),
        ({"hidden_size": 48}, r"model\.safetensors.*'embed\.weight' has shape \(300, 32\)"),
        ({"num_hidden_layers": 4}, r"'model\.layers\.3\.input_layernorm\.weight' is missing"),
        ({"num_hidden_layers": 2}, r"11 tensors are unknown.*'model\.layers\.2\.input_lay"),
        ({"hidden_size": "wide"}, r"config\.json: 'hidden_size' must be a whole number"),
        ({"rms_norm_eps": "x"}, r"'rms_norm_eps' must be a number, not 'x'"),
        ({"tie_word_embeddings": 3}, r"'tie_word_embeddings' must be true or false, not 3"),
        ({"quantization_config": {"bits": 4}}, r"'quantization_config' is .*leaving it out"),
        ({"hidden_act": "gelu"}, r"'hidden_act' is 'gelu'.*supported: 'silu'"),
        ({"rope_scaling": {"type": "longrope"}}, r"rotary scaling 'longrope' is not supported"),
        ({"rope_scaling": {"type": "linear", "fctor": 4}}, r"'fctor' is 4, which rotary scaling"),
        (
            {"rope_scaling": {"type": "linear"}},
            r"config\.json: rope_scaling needs a factor above 0",
        ),
        ({"partial_rotary_factor": 0.5}, r"'partial_rotary_factor' is 0\.5; supported: 1"),
        ({"layer_types": ["sliding_attention"]}, r"'use_sliding_window' is off"),
        ({"layer_types": ["chunked_attention"]}, r"layer type 'chunked_attention'"),
        ({"vocab_size": 0}, r"config\.json: model\.vocab_size must be at least 1"),
    ],
)
def test_a_wrong_config_is_explained(saved: Path, fields: dict[str, object], message: str) -> None:
    edit_config(saved, **fields)
    with pytest.raises(UserError, match=message):
        load(saved)


def test_a_wrong_native_config_is_explained(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from nanohydra.model import ModelConfig

    config = ModelConfig(
        vocab_size=300,
        hidden_size=16,
        num_layers=1,
        num_heads=1,
        num_kv_heads=1,
        feed_forward="relu2",
    )
    save(tmp_path / "m", Decoder(config), tokenizer, manifest={})
    text = (tmp_path / "m" / "config.json").read_text()
    edit_config(tmp_path / "m", model=json.loads(text)["model"] | {"qk_nrm": True})
    with pytest.raises(UserError, match=r"config\.json: .*qk_nrm.*qk_norm"):
        load(tmp_path / "m")
    (tmp_path / "m" / "manifest.json").write_text("{}")
    edit_config(tmp_path / "m", model=None)
    with pytest.raises(UserError, match="table 'model' is missing"):
        load(tmp_path / "m")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
def test_pickle_is_refused_with_the_way_out(saved: Path, name: str) -> None:
    (saved / "manifest.json").unlink()
    (saved / "model.safetensors").rename(saved / name)
    for path in (saved, saved / name):
        with pytest.raises(UserError, match=rf"{name} is a pickle.*save_pretrained"):
            load(path)


def test_places_that_are_no_model(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model folder .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="give the folder"):
        load(saved / "config.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(tmp_path / "empty")


def test_without_a_tokenizer_the_weights_alone_load(saved: Path, small: Decoder) -> None:
    (saved / "manifest.json").unlink()
    (saved / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="no tokenizer"):
        load(saved)
    assert_same(load_model(saved), small)


def test_a_tokenizer_too_large_for_the_model(small: Decoder, saved: Path, tmp_path: Path) -> None:
    large = Tokenizer.train(
        ["abcdefghijklmnopqrst uvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"], vocab_size=301
    )
    assert large.vocab_size == 301
    with pytest.raises(UserError, match="301 ids but the model only 300"):
        save(tmp_path / "new", small, large, manifest={})
    assert not (tmp_path / "new").exists()
    (saved / "manifest.json").unlink()
    large.save(saved)
    with pytest.raises(UserError, match="301 ids but the model only 300"):
        load(saved)


def test_other_files_are_never_removed(saved: Path, small: Decoder, tokenizer: Tokenizer) -> None:
    (saved / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"'notes\.txt'.*another folder"):
        save(saved, small, tokenizer, manifest={})
    assert (saved / "notes.txt").read_text() == "mine" and load(saved)
    with pytest.raises(UserError, match="is a file"):
        save(saved / "notes.txt", small, tokenizer, manifest={})


@pytest.mark.parametrize(
    "target",
    [
        "nanohydra.checkpoint.folder.write_json",
        "nanohydra.checkpoint.folder.write_tensors",
        "nanohydra.tokenizer.tokenizer.Tokenizer.save",
        "nanohydra.checkpoint.folder.write_manifest",
    ],
)
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_while_saving_keeps_the_previous_model(
    saved: Path,
    small: Decoder,
    other: Decoder,
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    error: BaseException,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(target, fail)
        for folder in (saved, saved.parent / "new"):
            with pytest.raises(type(error)):
                save(folder, other, tokenizer, manifest={})
    assert_same(load(saved).model, small)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


KILLED = """
import os, sys
from pathlib import Path
import nanohydra.checkpoint.folder as folder
loaded = folder.load(sys.argv[1])
for parameter in loaded.model.parameters():
    parameter.data.zero_()
folder.write_manifest = lambda *a, **k: os._exit(9)
folder.save(sys.argv[1], loaded.model, loaded.tokenizer, manifest={})
"""


def test_a_process_killed_while_saving_keeps_the_previous_model(
    saved: Path, small: Decoder
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(saved)], capture_output=True)
    assert done.returncode == 9, done.stderr.decode()
    assert_same(load(saved).model, small)


def test_the_folder_can_be_moved(saved: Path, small: Decoder, tmp_path: Path) -> None:
    shutil.move(saved, tmp_path / "elsewhere")
    assert_same(load(tmp_path / "elsewhere").model, small)
