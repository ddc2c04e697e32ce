"""Questions with answers and their judges, used alike for evaluation, SFT and RL."""

from typing import cast

from nanohydra.core.registry import Table
from nanohydra.data.primer import Example
from nanohydra.tasks.base import Task, final_text, say

TASKS = Table(
    "task",
    {
        "arithmetic": "nanohydra.tasks.arithmetic:Arithmetic",
        "facts": "nanohydra.tasks.facts:Facts",
        "taught": "nanohydra.tasks.facts:Taught",
        "notes": "nanohydra.tasks.facts:Notes",
        "reading": "nanohydra.tasks.reading:Reading",
        "abstain_unknown": "nanohydra.tasks.abstain:AbstainUnknown",
        "abstain_known": "nanohydra.tasks.abstain:AbstainKnown",
    },
)


def load_task(name: str) -> Task:
    """The task of a name. Raises UserError with a suggestion if there is none."""
    return cast(Task, TASKS.load(name)())


__all__ = ["TASKS", "Example", "Task", "final_text", "load_task", "say"]
