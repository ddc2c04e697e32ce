"""The commands learn, lessons and adapters: against a running server, and against a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanohydra.cli import main
from nanohydra.testing import FakeChat
from nanohydra.testing_learning import FakeLearning

Run = Callable[..., str]
HERON = "The printer on our floor is called Heron."


@pytest.fixture
def learning() -> FakeLearning:
    return FakeLearning(FakeChat(), step_s=0.02)


@pytest.fixture
def run(
    start_server: Callable[..., Any], learning: FakeLearning, capsys: pytest.CaptureFixture[str]
) -> Run:
    """A command against a server that learns; what it says, errors included."""
    live = start_server(FakeChat(), learning=learning, api_key="secret")

    def call(*words: str, code: int = 0, key: str = "secret") -> str:
        assert main([*words, "--server", live.url, "--api-key", key]) == code
        out, err = capsys.readouterr()
        return out + err

    return call


def test_a_text_is_taught_and_waited_for(run: Run, learning: FakeLearning) -> None:
    said = run("learn", HERON)
    assert "testing: testing it in other words" in said and "live" in said
    assert "recall" in said and "1 (limit 0.9)" in said
    assert [v["state"] for v in learning.all_lessons.values()] == ["live"]
    listed = run("lessons", "heron")
    assert "Heron." in listed and "100%" in listed
    assert run("lessons", "stork") == "no lessons\n"


def test_files_questions_and_many_facts_are_taught(
    run: Run, learning: FakeLearning, tmp_path: Path
) -> None:
    file = tmp_path / "ferry.txt"
    file.write_text("The ferry to Lark leaves at noon.")
    run("learn", str(file), "One is a number.\nTwo is another.", "--no-wait")
    run("learn", "Who keeps the archive key?", "--answer", "Mara keeps it.", "--no-wait")
    run("learn", "A long story\n\nIt has two parts.", "--no-wait")
    assert [v["kind"] for v in learning.all_lessons.values()] == [
        "fact", "fact", "document", "qa", "document",
    ]  # fmt: skip


def test_what_cannot_be_taught_is_said_in_a_line(run: Run) -> None:
    assert "give a text or a file" in run("learn", code=2)
    assert "there is no file notes.txt" in run("learn", "notes.txt", code=2)
    assert "exactly one text" in run("learn", "a", "b", "--answer", "c", code=2)
    assert "give the key with --api-key" in run("lessons", code=2, key="wrong")
    run("learn", HERON)
    stork = HERON.replace("Heron", "Stork")
    said = run("learn", stork, code=2)
    assert "contradicts" in said and "--resolve keep_both" in said
    assert "live" in run("learn", stork, "--resolve", "replace")
    refused = run("learn", "The moon is made of cheese.")
    assert "refused" in refused and "made of rock" in refused and "failed" in refused


def test_a_lesson_is_forgotten(run: Run, learning: FakeLearning) -> None:
    run("learn", HERON)
    (id,) = learning.all_lessons
    assert f"forgotten: {id}" in run("lessons", "--forget", id)
    assert "there is no lesson" in run("lessons", "--forget", id, code=2)


def test_versions_are_listed_shown_switched_and_removed(run: Run, learning: FakeLearning) -> None:
    assert "aliases" in run("adapters")
    for text in (HERON, "The ferry to Lark leaves at noon."):
        run("learn", text)
    first, second = learning.versions
    listed = json.loads(run("adapters", "list", "--json"))
    assert [each["version"] for each in listed["data"]] == [second, first]
    assert "recall" in run("adapters", "show", first[:6])
    run("adapters", "rollback")
    assert learning.names["default"].versions == [first]
    run("adapters", "activate", second[:6], first[:6])
    assert learning.names["default"].versions == [second, first]
    assert "is used by" in run("adapters", "remove", second, code=2)
    run("adapters", "activate")
    assert learning.names["default"].versions == []
    run("adapters", "remove", second[:6])
    assert list(learning.versions) == [first]
    assert "unknown version 'zz'" in run("adapters", "show", "zz", code=2)
    assert "takes one version" in run("adapters", "show", code=2)
    assert "takes no version" in run("adapters", "rollback", "x", code=2)


def test_no_server_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lessons", "--server", "http://127.0.0.1:9"]) == 2
    assert "no server answers at http://127.0.0.1:9" in capsys.readouterr().err


def test_a_folder_is_read_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nanohydra.learn.views")
    assert main(["adapters", "--model", str(tmp_path)]) == 2
    assert "there is no model in" in capsys.readouterr().err
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    assert main(["adapters", "--model", str(tmp_path)]) == 0
    assert "no versions yet; the base answers" in capsys.readouterr().out
    assert main(["lessons", "--model", str(tmp_path)]) == 0
    assert "no lessons" in capsys.readouterr().out
    assert main(["adapters", "rollback", "--model", str(tmp_path)]) == 2
    assert "nothing before" in capsys.readouterr().err
