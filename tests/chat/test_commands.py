"""The commands generate and chat on a small random model, through the command line."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import torch

from nanohydra import checkpoint
from nanohydra.cli import main
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a model of random weights."""
    tokenizer = Tokenizer.train(["once upon a time there was a duck"], vocab_size=280)
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size + 24,  # padded, as some models are
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=2,
        max_seq_len=128,
    )
    model = Decoder(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    run = tmp_path_factory.mktemp("run")
    checkpoint.save(run / "model", model, tokenizer, manifest={})
    return run


def test_generate_repeats_with_a_seed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "once upon", "--model", str(folder), "--seed", "3", "--max-tokens", "8"]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert first.startswith("once upon") and first.endswith("\n")
    assert main(words) == 0
    assert capsys.readouterr().out == first


def test_generate_writes_samples_in_order(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a duck"))
    words = ["generate", "-", "--model", str(folder / "model"), "--num-samples", "20"]
    assert main([*words, "--seed", "1", "--max-tokens", "5"]) == 0
    out = capsys.readouterr().out
    assert out.count("a duck") >= 20
    assert main([*words[:1], "a duck", *words[2:4], "--seed", "1", "--max-tokens", "5"]) == 0
    assert out.startswith(capsys.readouterr().out.removesuffix("\n"))


def test_chat_in_a_pipe(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n/temperature\nhello\n"))
    words = ["chat", "--model", str(folder), "--temperature", "0", "--max-tokens", "6"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "temperature: 0" in captured.err and "context" in captured.err
    assert captured.out.endswith("\n") and "temperature" not in captured.out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["generate", "x", "--model", "nowhere"], "there is no model in nowhere"),
        (["chat", "--model", "nowhere"], "there is no model in nowhere"),
        (["generate", "x", "--num-samples", "0"], "num_samples must be at least 1"),
        (["chat", "--temperature", "-1"], "temperature must be 0 or more"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert problem in capsys.readouterr().err


def test_a_prompt_that_is_too_long(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "duck " * 200, "--model", str(folder)]) == 2
    assert "context of 128" in capsys.readouterr().err
