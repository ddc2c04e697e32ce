"""Exported files in llama.cpp: the same logits, the same ids of a text, the same greedy tokens."""

from __future__ import annotations

import contextlib
import ctypes
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from nanohydra.checkpoint.gguf import write_gguf
from nanohydra.checkpoint.llama2c import read_llama2c
from nanohydra.engine import Engine, EngineConfig, SamplingParams, generate
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.llama2c import read_tokenizer
from tests.checkpoint.conftest import make_decoder
from tests.checkpoint.test_gguf import FIT
from tests.tokenizer.foreign import KINDS, TEXTS, write

REASON = "llama-cpp-python is not installed: pip install llama-cpp-python (compiles for minutes)"
llama_cpp = pytest.importorskip("llama_cpp", reason=REASON)
DATA = Path(__file__).parents[3] / "shared" / "data"
STORIES = DATA / "weights" / "stories260K"
VOCAB = DATA / "weights" / "gpt2_tokenizer"
WIKI = DATA / "text" / "wikitext2_raw_test.txt.gz"
HARD = ["  two  spaces ", "a ", "\n\n x\t\t y \r\n", "<|im_end|> and <s> </s>", "1234567 3.14 100%"]


@pytest.fixture(autouse=True)
def plain_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp 0.3.36 crashes on matrices this small in its buffers for AMX, its own files too."""
    defaults = llama_cpp.llama_cpp.llama_model_default_params

    def without() -> Any:
        params = defaults()
        params.use_extra_bufts = False
        return params

    monkeypatch.setattr(llama_cpp.llama_cpp, "llama_model_default_params", without)


@contextlib.contextmanager
def running(path: Path, **options: Any) -> Iterator[Any]:
    """The file in llama.cpp, with keys and values in float32, which is not its default."""
    plain = {"n_ctx": 64, "n_batch": 64, "n_threads": 1, "type_k": 0, "type_v": 0}
    model = llama_cpp.Llama(str(path), verbose=False, flash_attn=False, **{**plain, **options})
    try:
        yield model
    finally:
        model.close()


@pytest.mark.parametrize("name", FIT)
def test_the_same_logits(name: str, tmp_path: Path, tokenizer: Tokenizer) -> None:
    family, fields = FIT[name]
    model = make_decoder(fields)
    written = write_gguf(tmp_path / "m.gguf", model, tokenizer, name=name, type="f32")
    length = min(written.context_length, 30)
    ids = torch.randint(8, 280, (length,), generator=torch.Generator().manual_seed(5)).tolist()
    with running(tmp_path / "m.gguf", logits_all=True) as theirs:
        theirs.eval(ids)
        found = torch.from_numpy(np.array(theirs.scores[:length]))
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0]
    # llama.cpp looks GELU up in a table of float16.
    atol = 0.03 if "gelu" in model.config.feed_forward or family.startswith("gemma") else 1e-4
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def test_the_same_greedy_tokens(tmp_path: Path) -> None:
    if not STORIES.is_dir():
        pytest.skip(f"no {STORIES}")
    model = read_llama2c(STORIES / "stories260K.bin")
    tokenizer = read_tokenizer(STORIES / "tok512.bin")
    text = "Once upon a time, there was a little girl"
    ids = (1, *tokenizer.encode(text))
    greedy = SamplingParams(temperature=0.0, max_tokens=100)
    (ours,) = generate(Engine(model, EngineConfig(max_rows=1)), [ids], greedy)
    write_gguf(tmp_path / "f32.gguf", model, tokenizer, name="stories", type="f32")
    for type, count in (("f32", 100), ("f16", 40), ("q8_0", 20)):
        write_gguf(tmp_path / f"{type}.gguf", model, tokenizer, name="stories", type=type)
        with running(tmp_path / f"{type}.gguf", n_ctx=256) as theirs:
            assert tuple(theirs.tokenize(text.encode())) == ids
            stream = theirs.generate(ids, top_k=1)
            assert [next(stream) for _ in range(count)] == list(ours.ids)[:count], type


@pytest.mark.parametrize("type", ["q8_0", "q4_0"])
@pytest.mark.parametrize("name", ["qwen3", "llama", "gpt2", "gemma3", "lfm2"])
def test_the_same_numbers_as_its_own_quantisation(
    name: str, type: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    gguf = pytest.importorskip("gguf")
    model = make_decoder(FIT[name][1])
    for each in ("f32", type):
        write_gguf(tmp_path / f"{each}.gguf", model, tokenizer, name=name, type=each)
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{type.upper()}"), 1
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    params.token_embedding_type = params.output_tensor_type = q8_0
    paths = [str(tmp_path / f"{n}.gguf").encode() for n in ("f32", "theirs")]
    assert llama_cpp.llama_model_quantize(*paths, ctypes.byref(params)) == 0
    theirs, ours = (
        {t.name: t for t in gguf.GGUFReader(tmp_path / f"{n}.gguf").tensors}
        for n in ("theirs", type)
    )
    assert theirs.keys() == ours.keys()
    for tensor, other in zip(map(theirs.get, ours), ours.values(), strict=True):
        assert tensor.tensor_type == other.tensor_type, other.name
        assert np.array_equal(tensor.data, other.data), other.name


def gpt2(folder: Path) -> Tokenizer:
    if not VOCAB.is_dir():
        pytest.skip(f"no {VOCAB}")
    with gzip.open(VOCAB / "gpt2_vocab.json.gz", "rt", encoding="utf-8") as file:
        vocab = json.load(file)
    with gzip.open(VOCAB / "gpt2_merges.txt.gz", "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1:]
    merges = [tuple(line.split(" ")) for line in lines if line]
    backend = Backend(models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>"])
    return Tokenizer.load(write(folder, backend))


@pytest.mark.parametrize("kind", ["own", "gpt2", "byte fallback", "byte fallback, no prefix"])
def test_the_same_ids_of_a_text(kind: str, tmp_path: Path) -> None:
    texts = [*TEXTS, *HARD]
    if WIKI.is_file():
        with gzip.open(WIKI, "rt", encoding="utf-8") as file:
            texts += file.read(40_000).split("\n")
    if kind == "own":
        tokenizer = Tokenizer.train(TEXTS, vocab_size=400)
    elif kind == "gpt2":
        tokenizer = gpt2(tmp_path / "t")
    else:
        tokenizer = Tokenizer.load(write(tmp_path / "t", KINDS[kind]()))
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size + 3, hidden_size=8, num_layers=1, num_heads=1,
        num_kv_heads=1, max_seq_len=16,
    )  # fmt: skip
    write_gguf(tmp_path / "m.gguf", Decoder(config), tokenizer, name="x", type="f32")
    with running(tmp_path / "m.gguf", vocab_only=True) as theirs:
        for text in texts:
            if text:
                found = theirs.tokenize(text.encode(), add_bos=False, special=False)
                assert found == tokenizer.encode(text), text
        if tokenizer.end_id is not None:
            assert theirs.token_eos() == tokenizer.end_id
