"""The streams that come with the project: they read what they name, or say what is missing."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from nanohydra.continual.config import TaskConfig
from nanohydra.continual.preparing import choose
from nanohydra.core.errors import UserError
from nanohydra.core.types import Conversation
from nanohydra.data import open_source
from nanohydra.recipe import load_recipe, recipe_names

STREAMS = [name for name in recipe_names() if name.startswith("continual_")]
DATA = Path("../shared/data")


def tasks_of(name: str) -> tuple[TaskConfig, ...]:
    return load_recipe(name).continual.tasks


@pytest.mark.parametrize("name", STREAMS)
def test_records_of_every_task(name: str) -> None:
    if not DATA.is_dir():
        pytest.skip("../shared/data is not there")
    for task in tasks_of(name):
        found = choose(task)
        assert found.sources == task.sources  # the recipe's first choice
        for source in (*found.sources.values(), *found.heldout.values()):
            records = list(islice(open_source(replace(source, limit=3)).records(), 3))
            assert len(records) == 3
            if task.metric == "accuracy":  # of answers, which a text has not
                assert all(isinstance(record, Conversation) for record in records)


@pytest.mark.parametrize("name", STREAMS)
def test_without_the_data_a_task_has_others_or_names_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tasks_of(name)
    monkeypatch.chdir(tmp_path)  # so that ../shared is not there
    for task in tasks:
        if task.otherwise or not any(source.path for source in task.sources.values()):
            for source in choose(task).sources.values():
                assert source.kind in ("primer", "pycode", "pydocs")
                assert next(iter(open_source(source).records()))
        else:
            with pytest.raises(UserError, match=rf"{task.name}' lacks its data: no file matches"):
                choose(task)


def test_months_do_not_overlap() -> None:
    wanted = [source.subset for task in tasks_of("continual_months") for source in
              task.sources.values()]  # fmt: skip
    assert wanted == sorted(set(wanted))


def test_the_labels_are_asked_with_their_choices() -> None:
    if not DATA.is_dir():
        pytest.skip("../shared/data is not there")
    for task in tasks_of("continual_labels"):
        for source in task.sources.values():
            for record in islice(open_source(source).records(), 20):
                assert isinstance(record, Conversation)
                question, answer = (message.content for message in record.messages)
                choices = question.rpartition("Which of these: ")[2].removesuffix("?").split(", ")
                assert answer in choices and len(choices) in (2, 4, 5)
