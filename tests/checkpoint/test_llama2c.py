"""Files of llama2.c: numbers that other code measured, all versions, and files that are none."""

from __future__ import annotations

import gzip
import json
import re
import struct
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.checkpoint import Loaded, load, save
from nanohydra.checkpoint.llama2c import read_llama2c
from nanohydra.cli import main
from nanohydra.core.errors import UserError
from nanohydra.engine import Engine, EngineConfig, SamplingParams, generate
from nanohydra.eval import score_documents
from nanohydra.tokenizer import Tokenizer

DATA = Path(__file__).parents[3] / "shared" / "data"
STORIES = DATA / "text" / "tinystories_heldout.jsonl.gz"
SMALL = DATA / "weights" / "stories260K" / "stories260K.bin"
BABY = DATA / "weights" / "babyllama_tok105" / "model5000.bin"
shared = pytest.mark.skipif(
    not all(path.is_file() for path in (STORIES, SMALL, BABY)), reason=f"no data in {DATA}"
)
DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, LENGTH = 32, 40, 2, 4, 2, 20, 16
SHAPES: dict[str, tuple[int, ...]] = {
    "embed": (VOCAB, DIM), "att": (LAYERS, DIM), "wq": (LAYERS, DIM, DIM),
    "wk": (LAYERS, 16, DIM), "wv": (LAYERS, 16, DIM), "wo": (LAYERS, DIM, DIM),
    "ffn": (LAYERS, DIM), "w1": (LAYERS, HIDDEN, DIM), "w2": (LAYERS, DIM, HIDDEN),
    "w3": (LAYERS, HIDDEN, DIM), "final": (DIM,), "rotations": (2, LENGTH, 4),
    "head": (VOCAB, DIM),
}  # fmt: skip
NORMS, GROUP = ("att", "ffn", "final"), 8


class Cut:
    """A tokenizer whose texts end at so many ids."""

    def __init__(self, tokenizer: Tokenizer, length: int) -> None:
        self.tokenizer, self.length = tokenizer, length
        self.start_id = tokenizer.start_id

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text)[: self.length - 1]


class Lines:
    """BabyLlama's characters as its numbers were measured: ids are lines, no space is left out."""

    start_id = 1

    def __init__(self, path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        self.ids = {line.split("\t")[0]: id for id, line in enumerate(lines)}

    def encode(self, text: str) -> list[int]:
        return [self.ids.get(c, 0) for c in f" {text}".replace(" ", "\u2581")][:255]


def stories(newlines: str) -> list[str]:
    with gzip.open(STORIES, "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in islice(file, 60)]
    return [re.sub(r"\n\s*\n+", "\n", text)[:1200].replace("\n", newlines) for text in texts]


@shared
def test_stories260k(tmp_path: Path) -> None:
    loaded = imported(SMALL, tmp_path / "m")
    encoder = Cut(loaded.tokenizer, 512)
    found = score_documents(loaded.model, encoder, stories("\n"), row_length=512)
    assert found.num_tokens == 21_824
    assert found.nats / found.num_tokens == pytest.approx(1.3143, abs=5e-5)
    assert found.perplexity == pytest.approx(3.72, abs=5e-3)


@shared
def test_babyllama(tmp_path: Path) -> None:
    loaded = imported(BABY, tmp_path / "m")
    encoder = Lines(BABY.parent / "tok105.vocab")
    found = score_documents(loaded.model, encoder, stories(" "), row_length=256)
    assert found.num_tokens == 15_300
    assert found.nats / found.num_tokens == pytest.approx(0.6602, abs=5e-5)
    text = "Once upon a time"
    assert loaded.tokenizer.encode(text) == encoder.encode(text)


def imported(source: Path, out: Path) -> Loaded:
    assert main(["import", str(source), str(out)]) == 0
    about = json.loads((out / "config.json").read_text())
    assert about["architectures"] == ["LlamaForCausalLM"]
    loaded = load(out)
    assert loaded.manifest["imported"]["file"] == source.name
    return loaded


@shared
def test_a_real_model_goes_on(tmp_path: Path) -> None:
    loaded = imported(SMALL, tmp_path / "m")
    ids = (1, *loaded.tokenizer.encode("Once upon a time, there was a little girl"))
    greedy = SamplingParams(temperature=0.0, max_tokens=60)
    (found,) = generate(Engine(loaded.model, EngineConfig(max_rows=1)), [ids], greedy)
    assert loaded.tokenizer.decode((*ids, *found.ids)).startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
        "park. One day, she saw a big, red ball. She wanted to play with it, but it was too high."
    )


def tensors(tied: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    found = {n: torch.randn(s, generator=generator) * 0.3 for n, s in SHAPES.items()}
    found |= {name: found[name] + 1 for name in NORMS}
    return found | ({"head": found["embed"]} if tied else {})


def write(path: Path, weights: Mapping[str, Tensor], *, version: int, tied: bool) -> None:
    sizes = (DIM, HIDDEN, LAYERS, HEADS, KV_HEADS)
    if version == 0:
        head = struct.pack("<7i", *sizes, VOCAB if tied else -VOCAB, LENGTH)
        order = [name for name in SHAPES if not (tied and name == "head")]
    else:
        head = b"24ka" + struct.pack("<8iB", version, *sizes, VOCAB, LENGTH, tied)
        head = (head + (struct.pack("<i", GROUP) if version == 2 else b"")).ljust(256, b"\0")
        rest = [name for name in SHAPES if name not in (*NORMS, "rotations")]
        order = [*NORMS, *(name for name in rest if not (tied and name == "head"))]
    body = b""
    for name in order:
        if version < 2 or name in NORMS:
            body += weights[name].numpy().tobytes()
            continue
        for layer in weights[name] if weights[name].ndim == 3 else [weights[name]]:
            values, scales = quantize(layer)
            body += values.to(torch.int8).numpy().tobytes() + scales.numpy().tobytes()
    path.write_bytes(head + body)


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    groups = weight.reshape(-1, GROUP)
    scales = groups.abs().amax(dim=1, keepdim=True) / 127
    return (groups / scales).round(), scales


def reference(w: Mapping[str, Tensor], ids_BT: Tensor) -> Tensor:
    """The architecture written down plainly, with rotations of neighbouring pairs."""
    x_BTD = w["embed"][ids_BT]
    for i in range(LAYERS):
        y_BTD = rms(x_BTD, w["att"][i])
        heads = ((y_BTD @ w[n][i].T).unflatten(-1, (-1, 8)).transpose(1, 2) for n in ("wq", "wk"))
        q, k = (rotate(x) for x in heads)
        v = (y_BTD @ w["wv"][i].T).unflatten(-1, (-1, 8)).transpose(1, 2)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x_BTD = x_BTD + out.transpose(1, 2).flatten(2) @ w["wo"][i].T
        y_BTD = rms(x_BTD, w["ffn"][i])
        gated = F.silu(y_BTD @ w["w1"][i].T) * (y_BTD @ w["w3"][i].T)
        x_BTD = x_BTD + gated @ w["w2"][i].T
    return rms(x_BTD, w["final"]) @ w["head"].T


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, eps=1e-5)


def rotate(x_BHTK: Tensor) -> Tensor:
    length, size = x_BHTK.shape[-2:]
    angles = torch.outer(torch.arange(length), 10000.0 ** (-torch.arange(0, size, 2) / size))
    turned = torch.view_as_complex(x_BHTK.unflatten(-1, (-1, 2)).contiguous()) * torch.exp(
        1j * angles
    )
    return torch.view_as_real(turned).flatten(-2).float()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_all_versions(version: int, tied: bool, tmp_path: Path) -> None:
    weights = tensors(tied)
    write(tmp_path / "model.bin", weights, version=version, tied=tied)
    if version == 2:
        for name in weights.keys() - {*NORMS}:
            values, scales = quantize(weights[name])
            weights[name] = (values * scales).view(weights[name].shape)
    model = read_llama2c(tmp_path / "model.bin")
    assert model.config.tie_embeddings == tied
    ids_BT = torch.randint(VOCAB, (2, LENGTH), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(model(ids_BT), reference(weights, ids_BT), atol=1e-5, rtol=1e-5)


def test_the_folder_is_a_standard_llama(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="compares with transformers")
    write(tmp_path / "model.bin", tensors(False), version=0, tied=False)
    model = read_llama2c(tmp_path / "model.bin")
    save(tmp_path / "m", model, Tokenizer.characters(["abc"]), manifest={})
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "m")
    ids_BT = torch.arange(LENGTH)[None]
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids_BT).logits, model(ids_BT), atol=1e-5, rtol=1e-5)


def test_writing_to_a_weight_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    write(path, tensors(True), version=1, tied=True)
    before = path.read_bytes()
    with torch.no_grad():
        read_llama2c(path).embed.weight.zero_()
    assert path.read_bytes() == before


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    for version in (0, 1, 2):
        write(path, tensors(True), version=version, tied=True)
        good = path.read_bytes()
        for data, message in (
            (good[:-4], f"has {len(good) - 4} bytes, its header asks for {len(good)}: truncated"),
            (good + b"\0" * 4, "too long, or not of llama2.c"),
            (good[:20], "too few for a model"),
        ):
            path.write_bytes(data)
            with pytest.raises(UserError, match=message):
                read_llama2c(path)
    sizes = [DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, LENGTH]
    for place, value, message in (
        (0, -5, "its header says dim = -5"),
        (2, 1 << 30, "n_layers = 1073741824"),
        (3, 5, "5 heads and 2 key/value heads do not fit a width of 32"),
        (4, 3, "4 heads and 3 key/value heads"),
        (5, 0, "vocab_size = 0"),
    ):
        wrong = [*sizes[:place], value, *sizes[place + 1 :]]
        path.write_bytes(struct.pack("<7i", *wrong) + bytes(999))
        with pytest.raises(UserError, match=message):
            read_llama2c(path)
    path.write_bytes((b"24ka" + struct.pack("<i", 7)).ljust(400, b"\0"))
    with pytest.raises(UserError, match="llama2.c's version 7; versions 0 to 2"):
        read_llama2c(path)
    with pytest.raises(UserError, match="there is no file"):
        read_llama2c(tmp_path / "nothing.bin")


def test_the_commands_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "model.bin", tmp_path / "out"
    write(source, tensors(True), version=0, tied=True)
    (tmp_path / "other.bin").write_bytes(
        struct.pack("<I", 3) + b"".join(struct.pack("<fi", 0.0, 1) + c for c in (b"a", b"b")) * 4
    )
    words = ["import", str(source), str(out)]
    for more, message in (
        ([], "no tokenizer beside"),
        (["--tokenizer", str(tmp_path / "other.bin")], "has 8 ids, the model of"),
        (["--tokenizer", str(tmp_path / "none.bin")], "there is no file"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err.replace("\n", " ")
    assert main(["import", str(source)]) == 2
    assert "give a file and a folder" in capsys.readouterr().err
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    tokens = struct.pack("<I", 3) + struct.pack("<fi", 0.0, 1) * 0
    for number in range(VOCAB):
        tokens += struct.pack("<fi", -number, 1) + chr(97 + number).encode()
    (tmp_path / "tok20.bin").write_bytes(tokens)
    assert main(words) == 2
    assert "thesis.tex" in capsys.readouterr().err and list(out.iterdir()) == [out / "thesis.tex"]
