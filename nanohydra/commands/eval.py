"""Measure a model: tasks with intervals, bits per byte, perplexity; write a report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanohydra.checkpoint.names import MODEL, hub_name_of
from nanohydra.commands.options import AnsweringOptions, answering_dtype, find_model, parse
from nanohydra.core.log import console, summary_table
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.checkpoint import Loaded
    from nanohydra.core.types import Message
    from nanohydra.data.config import SourceConfig
    from nanohydra.eval import EvalConfig, Likelihood, TaskResult

PRIMER_STORIES = 4000  # records, of which some are conversations
EVALUATION = "eval"  # folder of later reports there, beside the one that the run itself wrote


@dataclass(frozen=True, kw_only=True)
class EvalOptions(AnsweringOptions):
    """Options of `nanohydra eval`."""

    tasks: str | None = None
    """Names with commas between; the recipe's if not given, "" for none."""
    text: Path | None = None
    """File or folder of documents for bits per byte; the run's held-out text if not given."""
    count: int | None = None
    """Examples per task; 0 asks all."""
    out: Path | None = None
    """Where the report is written; the folder eval in the run's if not given."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a model."""

    results: Mapping[str, TaskResult]
    likelihood: Likelihood | None
    seconds: float


def main(words: list[str]) -> None:
    """Run `nanohydra eval`."""
    call = parse(EvalOptions, words, prog="eval", description=__doc__)
    run(call.options, call.recipe)


def run(options: EvalOptions, recipe: Recipe) -> None:
    """Measure the model, write the report and print the summary."""
    from nanohydra import __version__
    from nanohydra.checkpoint import load
    from nanohydra.core.config import to_dict
    from nanohydra.core.runtime import describe_machine, peak_memory_bytes, setup
    from nanohydra.eval import RunFacts, report_run

    recipe = replace(recipe, eval=chosen(options, recipe.eval))
    check_tasks(recipe.eval)
    folder = find_model(options, recipe)
    runtime = setup(recipe.runtime)
    dtype = answering_dtype(folder, runtime, recipe)
    loaded = load(folder, device=runtime.device, dtype=dtype, weights=options.weights)
    measured = measure(loaded, recipe)
    home, out = report_folders(folder)
    out = options.out or out
    facts = RunFacts(
        name=str(hub_name_of(folder) or home.name),
        params=sum(parameter.numel() for parameter in loaded.model.parameters()),
        peak_memory_bytes=peak_memory_bytes(runtime.device),
        stages={"evaluation": measured.seconds},
        configuration=loaded.manifest.get("recipe") or {"eval": to_dict(recipe.eval)},
        machine=describe_machine(),
        version=__version__,
    )
    report = report_run(
        out,
        facts,
        results=measured.results,
        likelihood=measured.likelihood,
        targets=recipe.eval.targets,
        metrics=home / "metrics.jsonl",
    )
    print_summary(report, out)


def chosen(options: EvalOptions, config: EvalConfig) -> EvalConfig:
    """The recipe's settings with what the options change."""
    if options.tasks is not None:
        names = tuple(name.strip() for name in options.tasks.split(",") if name.strip())
        config = replace(config, tasks=names)
    if options.count is not None:
        config = replace(config, count=options.count, counts={})
    return replace(config, text=options.text) if options.text is not None else config


def check_tasks(config: EvalConfig) -> None:
    """Raise UserError for a name that is no task, before anything slow begins."""
    from nanohydra.tasks import TASKS

    for name in (*config.tasks, *config.counts):
        TASKS[name]


def report_folders(model: Path) -> tuple[Path, Path]:
    """The folder of a model's run, and where its evaluation goes: never into the model's own.

    Saving a model replaces its folder, and the hub's cache is not ours. One that lies outside a
    run is its own run.
    """
    if name := hub_name_of(model):
        return name.run, name.run / EVALUATION
    model = model.resolve()
    if model.name == MODEL or (model.parent / "metrics.jsonl").is_file():
        home = model.parent
        return home, home / (EVALUATION if model.name == MODEL else f"{EVALUATION}-{model.name}")
    return model, Path("runs") / f"{EVALUATION}-{model.name}"


def measure(loaded: Loaded, recipe: Recipe) -> Measured:
    """Score the recipe's text and ask its tasks through the chat, tools included."""
    from nanohydra.chat import answer_all
    from nanohydra.eval import run_tasks
    from nanohydra.tasks import load_task

    config, begin = recipe.eval, time.perf_counter()
    terminal = console(stderr=True)

    def answer(conversations: list[tuple[Message, ...]]) -> list[list[Message]]:
        return answer_all(loaded, conversations, max_tokens=config.max_tokens, batch=config.batch)

    def show(result: TaskResult) -> None:
        share = f"{result.accuracy:.1%} of {result.num_examples}"
        terminal.print(f"{result.name}: {share} in {result.seconds:.0f} s")

    with terminal.status("scoring text"):
        likelihood = score_text(loaded, recipe)
    with terminal.status(f"asking {', '.join(config.tasks)}"):
        tasks = {name: load_task(name) for name in config.tasks}
        results = run_tasks(tasks, answer, config, show)
    seconds = time.perf_counter() - begin
    return Measured(results=results, likelihood=likelihood, seconds=seconds)


def score_text(loaded: Loaded, recipe: Recipe) -> Likelihood | None:
    """Likelihood of the text to be scored; None if the recipe names none."""
    from nanohydra.eval import score_documents

    config, sources = recipe.eval, text_sources(recipe)
    texts = list(islice(documents(sources), config.documents or None))
    if not texts and config.text is None:
        return None
    row_length = min(config.row_length, loaded.config.max_seq_len)
    return score_documents(
        loaded.model,
        loaded.tokenizer,
        texts,
        row_length=row_length,
        stride=min(config.stride, row_length),
        batch=config.batch,
        name=", ".join(sources),
    )


def text_sources(recipe: Recipe) -> dict[str, SourceConfig]:
    """The file to be scored; else what pretraining holds out; else the primer's test stories.

    The stories are the same whatever domains a recipe takes, so that its runs compare.
    """
    from nanohydra.data.config import SourceConfig

    if recipe.eval.text is not None:
        return {recipe.eval.text.name: SourceConfig(path=str(recipe.eval.text))}
    corpus = recipe.data.pretrain
    if corpus.heldout or not any(source.kind == "primer" for source in corpus.sources.values()):
        return dict(corpus.heldout)
    stories = SourceConfig(kind="primer", split="test", counts={"stories": PRIMER_STORIES})
    return {"test stories of the primer": stories}


def documents(sources: Mapping[str, SourceConfig]) -> Iterator[str]:
    """Texts of the sources' documents; conversations are left to the tasks."""
    from nanohydra.core.types import Document
    from nanohydra.data import open_source

    for config in sources.values():
        for record in open_source(config).records():
            if isinstance(record, Document):
                yield record.text


def print_summary(report: Mapping[str, Any], out: Path) -> None:
    """The headline numbers with their intervals and verdicts, and where the report is."""
    from nanohydra.core.units import outward, percent
    from nanohydra.eval.report import HEADLINE

    details = report["details"]
    measured = [task["metric"] for task in details["tasks"].values()]
    rows: list[tuple[object, ...]] = [("measure", "value", "95% interval", "target", "")]
    for name in dict.fromkeys([*measured, *HEADLINE]):
        if report[name] is None:
            continue
        share = name in measured
        interval = details["intervals"].get(name, {})
        span = " to ".join(f"{end:.4g}" for end in interval.values())
        judged = details["targets"].get(name, {"target": "", "verdict": ""})
        rows.append(
            (
                name,
                percent(report[name]) if share else report[name],
                outward(**interval) if share else span,
                judged["target"],
                judged["verdict"],
            )
        )
    summary_table(report["name"], rows)
    console().print(f"report: {out / 'report.html'}", soft_wrap=True)
