"""Lessons as a stream of tasks on disk: what each task trains on, what it is asked, and a recipe.

The study of the learning loop, divided: its training wordings are what a task is trained on, its
test wordings what it is scored on. So methods against forgetting are compared on the very thing
that the product does. Knows nothing of strategies and models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nanohydra.chat.records import message_to_json
from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path
from nanohydra.learn.lessons import Lesson
from nanohydra.learn.study import ItemSplit, StudyItem, study

SPLITS: tuple[ItemSplit, ...] = ("train", "test")
RECIPE = "recipe.toml"
TRAINING = """\
steps = 120
rows_per_step = 8
row_length = 256
optimizer = "adamw"
warmup_steps = 10
"""


def write_stream(lessons: Sequence[Lesson], folder: Path, *, tasks: int, seed: int = 0) -> Path:
    """Write conversations of each task and the recipe that compares strategies on them.

    The lessons are divided in their order. Returns the recipe's path. Raises UserError for fewer
    lessons than tasks, for a folder that is there, and for lessons that leave a task nothing to
    be asked.
    """
    if not 1 <= tasks <= len(lessons):
        raise UserError(f"{len(lessons)} lessons cannot be divided into {tasks} tasks")
    if folder.exists():
        raise UserError(f"{folder} is there already; choose another folder")
    # Wordings are drawn by the lesson's name, which is by chance where it was just made.
    numbered = [replace(lesson, id=str(number)) for number, lesson in enumerate(lessons)]
    made = study(numbered, seed=seed)
    borders = [len(lessons) * number // tasks for number in range(tasks + 1)]
    with atomic_path(folder) as new:
        new.mkdir()
        for number, (start, stop) in enumerate(zip(borders, borders[1:], strict=False), 1):
            ids = [lesson.id for lesson in numbered[start:stop]]
            for split in SPLITS:
                items = [i for i in made.select(split, lessons=ids) if i.messages]
                if not items:
                    told = "; ".join(lesson.title for lesson in numbered[start:stop])
                    raise UserError(f"there is nothing to {split} in: {told}")
                text = "".join(f"{line(item)}\n" for item in items)
                (new / f"{split}-{number}.jsonl").write_text(text, encoding="utf-8")
        (new / RECIPE).write_text(recipe(folder, tasks), encoding="utf-8")
    return folder / RECIPE


def line(item: StudyItem) -> str:
    """An item as one line of a file of conversations."""
    turns = [message_to_json(message) for message in item.conversation.messages]
    return json.dumps({"messages": turns}, ensure_ascii=False)


def recipe(folder: Path, tasks: int) -> str:
    """A recipe for `nanohydra continual run`, which wants a model that chats as its --base."""
    parts = [
        "# Strategies against forgetting, compared on lessons that are learned one part after "
        "another.",
        f"# nanohydra continual run --recipe {folder / RECIPE} --base FOLDER_OF_A_CHAT_MODEL",
        f"name = {json.dumps(folder.name)}",
        '\n[continual]\npacking = "pad"',
    ]
    for number in range(1, tasks + 1):
        paths = {s: json.dumps(str(folder / f"{s}-{number}.jsonl")) for s in SPLITS}
        parts += [
            f'\n[[continual.tasks]]\nname = "lessons {number}"\nmetric = "accuracy"',
            f"[continual.tasks.sources]\nlessons = {{ path = {paths['train']} }}",
            f"[continual.tasks.heldout]\nlessons = {{ path = {paths['test']} }}",
        ]
    parts += [f"\n[continual.train]\n{TRAINING}lr = 5e-4"]
    parts += [f"\n[continual.adapter_train]\n{TRAINING}lr = 3e-3\n"]
    return "\n".join(parts)
