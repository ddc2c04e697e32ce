"""Teach a model a fact, a question with its answer, or a file."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from nanohydra.checkpoint.hub import locate
from nanohydra.commands.options import Options, parse
from nanohydra.commands.reach import Learned, Resolve, reach
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, summary_table
from nanohydra.recipe import Recipe

ENDED = ("live", "refused", "failed", "cancelled")
FILES = (".txt", ".md", ".pdf", ".jsonl")
MAX_FACT = 240  # characters
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class LearnOptions(Options):
    """Options of `nanohydra learn`."""

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    """Files (.txt, .md, .pdf, .jsonl) and texts, each in quotes; - reads a text from the input."""
    answer: str = ""
    """The one text is a question, and this is its answer."""
    alias: str = "default"
    """The name under which it will answer."""
    resolve: Resolve = "ask"
    """What becomes of a lesson that contradicts an earlier one."""
    wait: bool = True
    """Wait until it is live or refused."""
    stream: Path | None = None
    """Teach nothing: write the lessons to this folder as tasks for `nanohydra continual`."""
    tasks: int = 4
    """With --stream, how many tasks they are divided into."""
    server: str = "http://127.0.0.1:8000"
    """The running server that learns."""
    model: str | None = None
    """Folder of a model or of its run, or its name at the hub: it then learns without a server."""
    api_key: str = ""
    """Key of the server."""


def main(words: list[str]) -> None:
    """Run `nanohydra learn`."""
    call = parse(LearnOptions, words, prog="learn", description=__doc__)
    run(call.options, call.recipe)


def run(options: LearnOptions, recipe: Recipe) -> None:
    """Send the lessons, show what becomes of them, and print the summary."""
    files, lessons = sort_out(options)
    if options.stream is not None:
        write(options, files, lessons)
        return
    model = locate(options.model) if options.model else None
    with reach(options.server, model, options.api_key) as learned:
        taken = []
        if lessons:
            taken.append(accept(learned.teach(lessons, options.alias, options.resolve)))
        for file in files:
            taken.append(accept(learned.upload(file, options.alias, options.resolve)))
        jobs = [each["job"] for each in taken if each["job"]]
        rows: dict[str, object] = {"lessons": sum(len(each["lessons"]) for each in taken)}
        if options.wait and jobs and model is not None:
            work(model, recipe)
        for job in jobs:
            found = follow(learned, job) if options.wait else learned.job(job)
            rows |= facts_of(found)
    summary_table("taught", rows)


def write(options: LearnOptions, files: list[Path], lessons: list[dict[str, Any]]) -> None:
    """Write the lessons as a stream of tasks. Raises UserError for files that hold no plain text.

    A text file's short lines are facts, as on the command line.
    """
    from nanohydra.learn.lessons import parse_lessons
    from nanohydra.learn.stream import write_stream

    assert options.stream is not None
    for file in files:
        if file.suffix not in (".txt", ".md"):
            raise UserError(f"--stream reads texts and files of text, not {file}")
        lessons = lessons + lessons_in(file.read_text(encoding="utf-8"))
    recipe = write_stream(parse_lessons(lessons), options.stream, tasks=options.tasks)
    console().print(f"recipe: {recipe}", soft_wrap=True)


def sort_out(options: LearnOptions) -> tuple[list[Path], list[dict[str, Any]]]:
    """Which words are files, and the lessons in the others. Raises UserError for a missing file."""
    if not options.what:
        raise UserError('give a text or a file: nanohydra learn "The printer is called Heron."')
    files, texts = [], []
    for word in options.what:
        path = Path(word)
        if word == "-":
            texts.append(sys.stdin.read())
        elif "\n" not in word and len(word) < 256 and path.is_file():
            files.append(path)
        elif path.suffix in FILES and " " not in word:
            raise UserError(f"there is no file {word}")
        else:
            texts.append(word)
    if options.answer:
        if files or len(texts) != 1:
            raise UserError("--answer belongs to one question; give exactly one text with it")
        return [], [{"kind": "qa", "question": texts[0], "answer": options.answer}]
    return files, [lesson for text in texts for lesson in lessons_in(text)]


def lessons_in(text: str) -> list[dict[str, Any]]:
    """Short lines are facts, one each; anything longer is one document, as in the page."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "\n\n" not in text.strip() and all(len(line) <= MAX_FACT for line in lines):
        return [{"kind": "fact", "text": line} for line in lines or [text]]
    return [{"kind": "document", "title": lines[0].lstrip("# ")[:80], "text": text}]


def accept(taken: dict[str, Any]) -> dict[str, Any]:
    """What was taken, its warnings shown. Raises UserError where the user has to choose first."""
    terminal = console(stderr=True)
    for warning in taken["warnings"]:
        terminal.print(f"note: {warning}", markup=False)
    if taken["job"] is None and taken["conflicts"]:
        pairs = [f"{c['text']!r} and earlier {c['earlier']['text']!r}" for c in taken["conflicts"]]
        raise UserError(
            f"this contradicts what was taught before: {'; '.join(pairs)}; "
            "choose with --resolve keep_both, replace or reject"
        )
    return taken


def work(model: Path, recipe: Recipe) -> None:
    """Learn what is queued, in this process: there is no server that would."""
    from nanohydra.commands.learner import LearnerOptions
    from nanohydra.commands.learner import run as learn_queue

    learn_queue(LearnerOptions(model=str(model), once=True), recipe)


def follow(learned: Learned, id: str) -> dict[str, Any]:
    """Show a job's events as they come; the job at its end."""
    terminal, shown = console(stderr=True), 0
    with terminal.status("learning"):
        while True:
            job = learned.job(id)
            for event in job["events"][shown:]:
                terminal.print(f"{event['step']}: {event['text']}", markup=False)
            shown = len(job["events"])
            if job["state"] in ENDED:
                return job
            time.sleep(POLL_SECONDS)


def facts_of(job: dict[str, Any]) -> dict[str, object]:
    """The summary of one job."""
    rows: dict[str, object] = {"job": job["id"], "state": job["state"]}
    if job["versions"]:
        rows["versions" if job["versions"][1:] else "version"] = ", ".join(job["versions"])
    if job["reason"]:
        rows["reason"] = job["reason"]
    return rows | {name: shown(check) for name, check in (job["gate"] or {}).items()}


def shown(check: dict[str, Any]) -> str:
    """A check of the gate in a cell."""
    value = "-" if check["value"] is None else f"{check['value']:.4g}"
    return f"{value} (limit {check['limit']:.4g}{'' if check['passed'] else ', failed'})"
