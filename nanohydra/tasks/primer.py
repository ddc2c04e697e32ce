"""What the primer's tasks share: their questions are the primer's test examples."""

from __future__ import annotations

from typing import ClassVar

from nanohydra.core.types import Message
from nanohydra.data.primer import Example, Split, examples
from nanohydra.tasks.base import Task, say


class PrimerTask(Task):
    """A task over one domain of the primer."""

    domain: ClassVar[str]
    usual_count: ClassVar[int] = 200

    def load(self, split: Split, *, seed: int = 0, count: int | None = None) -> list[Example]:
        """The primer's examples of this domain; `count` None means 200."""
        return examples(self.domain, split, seed=seed, count=count or self.usual_count)

    def gold(self, example: Example) -> tuple[Message, ...]:
        """The primer's own answer sentence."""
        return say(str(example.meta.get("reference", example.answer)))
