"""`nanohydra tokenizer`: train from a recipe or a text, inspect the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanohydra.cli import main
from nanohydra.commands.tokenizer import training_texts
from nanohydra.core.types import Conversation, Document, Message, ToolCall
from nanohydra.data.config import SourceConfig
from nanohydra.tokenizer import Tokenizer, record_texts

RECIPE = """
name = "mine"
[tokenizer]
vocab_size = 275
[data.pretrain.sources.stories]
path = "{folder}/stories.txt"
kind = "text"
[data.sft.sources.talks]
path = "{folder}/talks.jsonl"
[sft]
steps = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A recipe with two small sources."""
    (tmp_path / "stories.txt").write_text("the cat sat on the mat, the cat slept\n" * 9)
    talk = [
        {"role": "user", "content": "QQ " * 40},
        {"role": "assistant", "content": "QQ"},
    ]
    (tmp_path / "talks.jsonl").write_text(json.dumps({"messages": talk}) + "\n")
    (tmp_path / "mine.toml").write_text(RECIPE.format(folder=tmp_path))
    return str(tmp_path / "mine.toml")


def test_train_and_inspect(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tokenizer", "train", "--recipe", recipe]) == 0
    out = capsys.readouterr().out
    assert "runs/mine/tokenizer" in out and "stories, sft.talks" in out
    tokenizer = Tokenizer.load(tmp_path / "runs" / "mine" / "tokenizer")
    assert tokenizer.vocab_size == 275
    assert {b" cat", b"QQ"} <= {tokenizer.token(id) for id in range(275)}

    for words in ([], ["runs/mine"], ["runs/mine/tokenizer"]):
        assert main(["tokenizer", "inspect", *words, "--recipe", recipe]) == 0
        out = capsys.readouterr().out
        assert "stories" in out and "raw bytes" in out and "not possible" not in out


def test_train_on_a_text(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "zebras.txt").write_text("zebra " * 20)
    words = ["--recipe", recipe, "--data", str(tmp_path / "zebras.txt"), "--out", str(tmp_path)]
    assert main(["tokenizer", "train", *words]) == 0
    out, err = capsys.readouterr()
    assert "zebras.txt, sft.talks" in out and "tokens only, not 275" in err
    tokenizer = Tokenizer.load(tmp_path / "tokenizer")
    assert len(tokenizer.encode(" zebra zebra")) == 2
    assert main(["tokenizer", "inspect", str(tmp_path), __file__, "--recipe", recipe]) == 0
    out = capsys.readouterr().out
    assert "exactly" in out and "raw bytes" not in out


def test_characters_say_what_they_lack(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--recipe", recipe, "--tokenizer.kind=characters", "--out", str(tmp_path)]
    assert main(["tokenizer", "train", *words]) == 0
    assert main(["tokenizer", "inspect", str(tmp_path), __file__]) == 0
    out, err = capsys.readouterr()
    assert "not possible" in out and "U+0022" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect", "nowhere"], "no tokenizer at nowhere/tokenizer.json"),
        (["inspect", "--out", "x"], "inspect takes no --data or --out"),
        (["train", "x"], "train takes no folder such as x"),
        (["train", "--data", "nowhere.txt"], "nowhere.txt"),
        (["train", "--tokenizer.vocab_size=100"], "vocab_size is 100"),
        (["train", "--tokenizer.max_characters=-1"], "max_characters is -1"),
    ],
)
def test_mistakes_are_one_line(
    recipe: str,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tokenizer", *words, "--recipe", recipe]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


def test_a_limit_takes_from_all_sources_in_turn(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "%s"}\n' % (name * 10) * 5)  # noqa: UP031
    sources = [SourceConfig(path=str(tmp_path / f"{name}.jsonl")) for name in "ab"]
    assert [text[0] for text in training_texts(sources, 0)] == list("ab" * 5)
    assert sum(map(len, training_texts(sources, 40))) == 40
    assert {text[0] for text in training_texts(sources, 25)} == {"a", "b"}


def test_what_a_record_is_trained_on() -> None:
    call = ToolCall(id="1", name="calc", arguments={"x": "é"})
    messages = (
        Message(role="user", content="hi"),
        Message(role="assistant", content="so", tool_calls=(call,)),
    )
    assert list(record_texts(Document(text="a b"))) == ["a b"]
    assert list(record_texts(Conversation(messages=messages))) == ["hi", "so", 'calc {"x": "é"}']
