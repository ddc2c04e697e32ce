"""Guessing ahead: the same text with and without, and options that contradict are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanohydra.commands import generate
from nanohydra.commands.guessing import GuessingOptions, engine_settings
from nanohydra.core.errors import UserError
from nanohydra.testing_models import random_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    random_model(folder)
    return folder


@pytest.mark.parametrize("temperature", ["0", "1"])
def test_the_same_text_with_guesses(
    folder: Path, temperature: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = set()
    for words in ([], ["--speculation", "ngram"], ["--speculation", "draft", "--draft", folder]):
        options = ["--model", folder, "--max-tokens", 40, "--temperature", temperature, *words]
        generate.main(["a b a b a b", "--seed", "1", *map(str, options)])
        texts.add(capsys.readouterr().out)
    assert len(texts) == 1 and len(texts.pop()) > 20


@pytest.mark.parametrize("draft", [None, Path("small")])
def test_options_that_contradict(draft: Path | None) -> None:
    kind = "draft" if draft is None else "ngram"
    with pytest.raises(UserError, match="do not go together"):
        engine_settings(GuessingOptions(speculation=kind, draft=draft))  # type: ignore[arg-type]
