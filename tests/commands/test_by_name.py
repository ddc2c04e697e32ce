"""Commands on a model by its name at the hub, from a cache on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import nanohydra
from nanohydra.cli import main
from nanohydra.testing_models import random_model

pytest.importorskip("huggingface_hub", reason="models by name need the extra 'hf'")
NAME = "owner/small"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    random_model(folder)
    return folder


@pytest.fixture(autouse=True)
def snapshot(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model in a cache laid out as the hub's; nobody is asked."""
    home = tmp_path / "hub" / "models--owner--small"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    shutil.copytree(model, home / "snapshots" / COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return home / "snapshots" / COMMIT


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_load() -> None:
    assert nanohydra.load(NAME).config == nanohydra.load(NAME, revision=COMMIT).config


def test_generate(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "What", "--max_tokens=3", "--temperature=0"]
    assert main([*words, "--model", NAME]) == 0
    said = capsys.readouterr().out
    assert said.startswith("What")
    assert main([*words, f"--model={NAME}@{COMMIT}"]) == 0
    assert capsys.readouterr().out == said
    assert main([*words, f"--model={NAME}", "--revision=v9"]) == 2
    assert "owner/small is not in the cache" in capsys.readouterr().err


def test_eval_writes_outside_the_cache(snapshot: Path, tmp_path: Path) -> None:
    before = files_in(snapshot)
    (tmp_path / "text.txt").write_text("What is the printer called?\n" * 9)
    assert main(["eval", "--model", NAME, "--tasks=", "--text=text.txt"]) == 0
    assert files_in(snapshot) == before
    assert (tmp_path / "runs" / "owner--small" / "eval" / "report.json").is_file()


def test_lessons_are_kept_outside_the_cache(
    snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_in(snapshot)
    assert main(["lessons", "--model", NAME]) == 2
    assert "nothing was taught to owner/small here" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    fact = "The printer on our floor is called Heron."
    assert main(["learn", fact, "--no-wait", "--model", NAME]) == 0
    assert (tmp_path / "runs" / "owner--small" / "learning" / "learning.db").is_file()
    assert files_in(snapshot) == before
    capsys.readouterr()
    assert main(["lessons", "--model", NAME]) == 0
    assert "Heron" in capsys.readouterr().out
    assert main(["learn", fact, "--model", "owner/smal"]) == 2
    assert not (tmp_path / "runs" / "owner--smal").exists()
