"""`nanohydra data`: prepare, inspect and verify, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanohydra.cli import main
from nanohydra.commands.data import source_name
from nanohydra.tokenizer import Tokenizer

TEXTS = [f"story {n}: a fish sees the moon" for n in range(60)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A run with a tokenizer, a file of texts, and a recipe that reads it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Tokenizer.train(TEXTS, vocab_size=300).save("runs/mine/tokenizer")
    rows = [json.dumps({"text": text}) for text in (*TEXTS, TEXTS[0])]
    Path("texts.jsonl").write_text("\n".join(rows))
    Path("mine.toml").write_text(
        'name = "mine"\n[tokenizer]\nvocab_size = 300\n'
        "[data.pretrain]\nvalid_fraction = 0.2\n"
        '[data.pretrain.sources.stories]\npath = "texts.jsonl"\n'
        '[data.sft.sources.facts]\nkind = "primer"\ncounts = {facts = 40}\n'
        "[sft]\nsteps = 1\n"
    )
    return tmp_path


def say(capsys, *words: str, code: int = 0) -> str:
    assert main(["data", *words]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def test_a_recipe_is_prepared_inspected_and_verified(capsys):
    out = say(capsys, "prepare", "--recipe", "mine.toml")
    assert "1 exact duplicate" in out and "stories" in out and "facts" in out
    assert Path("runs/mine/data/pretrain/train/stories/manifest.json").exists()
    assert Path("runs/mine/data/sft/train/facts/manifest.json").exists()
    out = say(capsys, "inspect", "--recipe", "mine.toml")
    assert "<|bos|>story" in out and "<|user|>" in out and "1 exact duplicate" in out
    out = say(capsys, "verify", "runs/mine", "--tokenizer", "runs/mine/tokenizer")
    assert out.count("correct") == 4
    out = say(capsys, "verify", "runs/mine/data/pretrain/train/stories")
    assert out.count("correct") == 1


def test_a_source_by_itself(capsys):
    words = ["--source", "texts.jsonl", "--tokenizer", "runs/mine/tokenizer", "--out", "made"]
    say(capsys, "prepare", *words, "--valid-fraction", "0.2")
    assert Path("made/valid/texts/manifest.json").exists()
    assert "--tokenizer FOLDER shows it as text" in say(capsys, "inspect", "made")
    out = say(capsys, "inspect", "made", "--tokenizer", "runs/mine/tokenizer")
    assert "a fish sees the moon" in out


def test_damage_is_named(capsys):
    say(capsys, "prepare", "--recipe", "mine.toml")
    file = Path("runs/mine/data/pretrain/train/stories/00000.tokens")
    data = bytearray(file.read_bytes())
    data[10] ^= 1
    file.write_bytes(bytes(data))
    err = say(capsys, "verify", "runs/mine", code=2)
    assert "00000.tokens is corrupt" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["prepare", "--source", "texts.jsonl"], "needs --tokenizer FOLDER and --out FOLDER"),
        (["prepare", "here"], "use --out"),
        (["prepare", "--recipe", "mine.toml", "--out", "new"], "no tokenizer at"),
        (["inspect", "nowhere"], "no prepared data in nowhere"),
        (["verify", "runs/mine", "--source", "x"], "takes no --source"),
        (
            ["prepare", "--source", "no*.txt", "--tokenizer", "runs/mine/tokenizer", "--out", "x"],
            "no file matches no*.txt",
        ),
        (
            [
                *("prepare", "--source", "texts.jsonl", "--tokenizer", "runs/mine/tokenizer"),
                *("--out", "x", "--column", "body"),
            ],
            "no column 'body'; columns present: text",
        ),
    ],
)
def test_mistakes_are_one_line(capsys, words, what):
    err = say(capsys, *words, code=2)
    assert what in err and "Traceback" not in err


def test_names_of_sources():
    assert source_name("/x/my data*.jsonl.gz") == "my-data"
    assert source_name("**/*.txt") == "data"
    assert source_name("folder/") == "folder"
