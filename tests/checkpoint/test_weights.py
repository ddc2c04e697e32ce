"""Weights are read one by one, cast on the way, and never held twice; memory is known before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nanohydra.checkpoint import load_model, memory, save
from nanohydra.checkpoint.families import FAMILIES
from nanohydra.checkpoint.memory import estimate_memory
from nanohydra.checkpoint.weights import INDEX, WEIGHTS, ModelTensors, write_tensors
from nanohydra.core.errors import UserError
from nanohydra.core.runtime import available_memory
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer
from tests.checkpoint.conftest import CONFIGS, GPT2, LLAMA, make_decoder


def write_folder(folder: Path, model: Decoder, name: str, num_shards: int = 1) -> None:
    """A model folder without a tokenizer, as others write it, in one file or in shards."""
    family = FAMILIES.load(name)()
    fields = {"model_type": name, **family.to_hf(model.config)}
    tensors = family.export_tensors(model.config, model.state_dict())
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(fields))
    if num_shards == 1:
        write_tensors(folder / WEIGHTS, tensors)
        return
    names = sorted(tensors)
    shards = {
        f"model-{i + 1:05}-of-{num_shards:05}.safetensors": names[i::num_shards]
        for i in range(num_shards)
    }
    for shard, part in shards.items():
        write_tensors(folder / shard, {n: tensors[n] for n in part})
    weight_map = {n: shard for shard, part in shards.items() for n in part}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("asked", [None, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "fields"), [("llama", LLAMA), ("gpt2", GPT2)])
def test_dtypes_and_shards(
    tmp_path: Path,
    name: str,
    fields: dict[str, object],
    stored: torch.dtype,
    asked: torch.dtype | None,
) -> None:
    model = make_decoder(fields).to(stored)
    write_folder(tmp_path / "one", model, name)
    write_folder(tmp_path / "three", model, name, num_shards=3)
    for folder in ("one", "three"):
        loaded = load_model(tmp_path / folder, dtype=asked).state_dict()
        for key, tensor in model.state_dict().items():
            assert torch.equal(loaded[key], tensor.to(asked or stored)), key
            assert loaded[key].dtype == (asked or stored) and loaded[key].is_contiguous()


def test_a_file_of_two_dtypes_becomes_a_model_of_the_main_one(tmp_path: Path) -> None:
    model = make_decoder(LLAMA).to(torch.bfloat16)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data = parameter.data.float()
    write_folder(tmp_path / "m", model, "llama")
    loaded = load_model(tmp_path / "m")
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert loaded(torch.zeros(1, 4, dtype=torch.int64)).isfinite().all()


def test_writing_to_a_mapped_model_leaves_the_file_alone(tmp_path: Path) -> None:
    model = make_decoder(LLAMA)
    write_folder(tmp_path / "m", model, "llama")
    before = (tmp_path / "m" / WEIGHTS).read_bytes()
    loaded = load_model(tmp_path / "m")
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(1.0)
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == before


def test_an_unknown_type_of_number_is_named(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(3, dtype=torch.int8)}, tmp_path / WEIGHTS)
    with pytest.raises(UserError, match="'x' is of type I8"):
        ModelTensors(tmp_path)["x"]


@pytest.mark.parametrize("index", ["[]", '{"weight_map": []}', '{"weight_map": {"a": 3}}'])
def test_a_strange_index_is_named(tmp_path: Path, index: str) -> None:
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(UserError, match="index.json has no table 'weight_map'"):
        ModelTensors(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model-00001-of-00002.bin", "consolidated.00.pth"])
def test_pickled_shards_are_refused(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path / "m", make_decoder(LLAMA), "llama")
    (tmp_path / "m" / WEIGHTS).rename(tmp_path / "m" / name)
    (tmp_path / "m" / "pytorch_model.bin.index.json").write_text("{}")
    with pytest.raises(UserError, match=rf"{name} is a pickle.*save_pretrained"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("name", ["llama", "gpt2", "lfm2", "gemma3", "phi3"])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_the_estimate_is_what_the_model_takes(
    tmp_path: Path, name: str, dtype: torch.dtype | None
) -> None:
    family, fields = CONFIGS[name]
    write_folder(tmp_path / "m", make_decoder(fields), family)
    need = estimate_memory(tmp_path / "m", dtype=dtype, length=10)
    model = load_model(tmp_path / "m", dtype=dtype)
    assert need.weights == sum(p.numel() * p.element_size() for p in model.parameters())
    assert need.state == model.init_state(1, 10).num_bytes
    assert need.total == need.weights + need.state
    assert estimate_memory(tmp_path / "m").length == model.config.max_seq_len


def test_a_model_that_cannot_fit_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "m", make_decoder(LLAMA), "llama")
    need = estimate_memory(tmp_path / "m")
    monkeypatch.setattr(memory, "available_memory", lambda: need.total)
    load_model(tmp_path / "m")
    monkeypatch.setattr(memory, "available_memory", lambda: need.total - 1)
    monkeypatch.setattr(ModelTensors, "__getitem__", lambda *_: pytest.fail("it was read"))
    with pytest.raises(UserError, match=r"weights take 0\.00 GiB.*free; load it in bfloat16, take"):
        load_model(tmp_path / "m")


def test_available_memory_is_a_part_of_the_machine() -> None:
    import psutil

    assert 0 < available_memory() <= psutil.virtual_memory().total


MEASURE = """
import sys, torch
from nanohydra.checkpoint import load_model

def highest():  # getrusage would count the parent's, too
    return next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line)

load_model(sys.argv[2])  # what the first load of any model brings along
before = highest()
model = load_model(sys.argv[1], dtype=getattr(torch, sys.argv[3]))
for p in model.parameters():
    p.flatten()[:: 512].sum()  # touches every page
size = sum(p.numel() * p.element_size() for p in model.parameters())
print((highest() - before) * 1024 / size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_second_copy_is_held(
    tmp_path: Path, tokenizer: Tokenizer, name: str, dtype: str
) -> None:
    fields = {**(GPT2 if name == "gpt2" else LLAMA), "hidden_size": 512, "num_layers": 12}
    with torch.device("meta"):
        model = Decoder(ModelConfig(**fields))  # type: ignore[arg-type]
    model = model.to(torch.bfloat16).to_empty(device="cpu")
    write_folder(tmp_path / "m", model, name)
    small = make_decoder(GPT2 if name == "gpt2" else LLAMA)
    save(tmp_path / "small", small, tokenizer, manifest={})
    words = [sys.executable, "-c", MEASURE, tmp_path / "m", tmp_path / "small", dtype]
    ratio = float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    assert 0.9 < ratio < 1.15, ratio


def test_weights_that_cannot_be_written_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "in_the_way").mkdir()
    with pytest.raises(UserError, match="in_the_way could not be written"):
        write_tensors(tmp_path / "in_the_way", {"a": torch.zeros(2)})
