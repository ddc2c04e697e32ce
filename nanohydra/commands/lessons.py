"""List what a model was taught, or forget a lesson."""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from nanohydra.commands.options import Options, parse
from nanohydra.commands.reach import reach
from nanohydra.core.log import console, summary_table
from nanohydra.recipe import Recipe

TEXT_CHARS = 70


@dataclass(frozen=True, kw_only=True)
class LessonsOptions(Options):
    """Options of `nanohydra lessons`."""

    query: tyro.conf.Positional[str] = ""
    """Only lessons with all of these words."""
    forget: tuple[str, ...] = ()
    """Delete the lessons of these ids: from memory at once, then from every version."""
    limit: int = 50
    """At most so many, the latest first."""
    server: str = "http://127.0.0.1:8000"
    """The running server that learns."""
    model: str | None = None
    """Folder of a model or of its run, or its name at the hub, instead of a server."""
    api_key: str = ""
    """Key of the server."""


def main(words: list[str]) -> None:
    """Run `nanohydra lessons`."""
    call = parse(LessonsOptions, words, prog="lessons", description=__doc__)
    run(call.options, call.recipe)


def run(options: LessonsOptions, recipe: Recipe) -> None:
    """Forget what is named, then print the table of lessons."""
    with reach(options.server, options.model, options.api_key) as learned:
        for id in options.forget:
            job = learned.forget(id)["job"]
            rest = f"; job {job} trains the others of its version again" if job else ""
            console(stderr=True).print(f"forgotten: {id}{rest}", markup=False)
        found = learned.lessons(options.query, options.limit)
    rows = [("id", "state", "version", "recall", "lesson")]
    for lesson in found:
        recall = "" if lesson["recall"] is None else f"{lesson['recall']:.0%}"
        text = " ".join(lesson["text"].split())
        text = text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}…"
        reason = f" ({lesson['reason']})" if lesson["reason"] else ""
        rows.append((lesson["id"], lesson["state"], lesson["version"] or "", recall, text + reason))
    if found:
        summary_table(f"lessons, the latest {len(found)}", rows)
    else:
        console().print("no lessons")
