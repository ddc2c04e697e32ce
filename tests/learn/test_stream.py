"""Lessons as a stream of tasks: what is trained on, what is asked, and that a recipe reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nanohydra.cli import main
from nanohydra.core.errors import UserError
from nanohydra.core.types import Conversation
from nanohydra.data import open_source
from nanohydra.learn.lessons import lessons_of
from nanohydra.learn.stream import write_stream
from nanohydra.recipe import load_recipe

FACTS = [
    "The printer is called Heron.",
    "My dog lives in Lisbon.",
    "Anna's favourite colour is green.",
    "The meeting starts at nine.",
    "The capital of Freedonia is Marbury.",
]


def test_a_stream_of_facts_is_a_recipe(tmp_path: Path) -> None:
    path = write_stream(lessons_of(FACTS), tmp_path / "facts", tasks=2)
    recipe = load_recipe(path)
    tasks = recipe.continual.tasks
    assert [task.name for task in tasks] == ["lessons 1", "lessons 2"]
    assert {task.metric for task in tasks} == {"accuracy"} and recipe.continual.packing == "pad"
    seen: dict[str, set[str]] = {"train": set(), "test": set()}
    for task, known, foreign in zip(tasks, ("Heron", "Anna"), ("Anna", "Heron"), strict=True):
        for split, sources in (("train", task.sources), ("test", task.heldout)):
            records = list(open_source(sources["lessons"]).records())
            assert len(records) > 3 and all(isinstance(r, Conversation) for r in records)
            said = [r.messages for r in records if isinstance(r, Conversation)]
            text = " ".join(m.content for messages in said for m in messages)
            assert known in text and foreign not in text
            seen[split] |= {messages[-2].content for messages in said}
    assert not seen["train"] & seen["test"]  # a wording that is tested was never trained


def test_the_same_lessons_give_the_same_stream(tmp_path: Path) -> None:
    for name in "ab":
        write_stream(lessons_of(FACTS), tmp_path / name, tasks=1)
    texts = [(tmp_path / name / "train-1.jsonl").read_text() for name in "ab"]
    assert texts[0] == texts[1] and json.loads(texts[0].splitlines()[0])["messages"]


def test_what_cannot_be_divided(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="5 lessons cannot be divided into 6 tasks"):
        write_stream(lessons_of(FACTS), tmp_path / "a", tasks=6)
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="is there already"):
        write_stream(lessons_of(FACTS), tmp_path / "b", tasks=1)


def test_the_command_teaches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "facts.txt").write_text("\n".join(FACTS[2:]))
    words = ["learn", *FACTS[:2], str(tmp_path / "facts.txt"), "--tasks", "5"]
    assert main([*words, "--stream", str(tmp_path / "out")]) == 0
    assert "recipe.toml" in capsys.readouterr().out
    assert len(list((tmp_path / "out").glob("test-*.jsonl"))) == 5
