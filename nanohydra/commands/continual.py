"""Compare strategies against forgetting on a stream of tasks, or report on comparisons."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from nanohydra.commands.options import Options, parse, positionals_first, run_path
from nanohydra.core.errors import UserError
from nanohydra.core.log import TerminalTracker, console
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.continual.results import Results, SeedResult
    from nanohydra.continual.run import Row
    from nanohydra.continual.strategy import Lab

BASE, DATA, STATES, RESULTS = "base", "data", "states", "results.json"
FIXED = (
    "tokenizer",
    "model",
    "data",
    "pretrain",
    "continual",
    "runtime",
)  # of what can be added to
WIDTH = 160  # of the table, where no terminal says how wide it is


@dataclass(frozen=True, kw_only=True)
class ContinualOptions(Options):
    """Options of `nanohydra continual`."""

    action: tyro.conf.Positional[Literal["run", "report"]]
    """What to do."""
    folders: tyro.conf.Positional[tuple[Path, ...]] = ()
    """report: folders of runs, or results.json files, that are compared."""
    strategies: str = ""
    """run: names with commas between; all there are if not given."""
    seeds: int = 1
    """run: how many seeds, counted from the recipe's."""
    base: Path | None = None
    """run: folder of a model to begin with; one is trained by the recipe if not given."""
    out: Path | None = None
    """Folder of the run, or of the report; runs/ and the recipe's name if not given."""
    resume: bool = False
    """run: go on where a run was stopped, or add strategies and seeds to it."""


def main(words: list[str]) -> None:
    """Run `nanohydra continual`."""
    ordered = positionals_first(ContinualOptions, words)
    call = parse(ContinualOptions, ordered, prog="continual", description=__doc__)
    if call.options.action == "report":
        report(call.options, call.recipe)
        return
    if call.options.folders:
        raise UserError(f"run takes no folder such as {call.options.folders[0]}; use --out")
    again = " ".join(["nanohydra continual", *(w for w in words if w != "--resume"), "--resume"])
    run(call.options, call.recipe, command=again)


def report(options: ContinualOptions, recipe: Recipe) -> None:
    """Print the tables of some runs, and write a page that compares them."""
    from nanohydra.continual import load_results

    folders = options.folders or (run_path(recipe, None),)
    found = [load_results(folder) for folder in folders]
    for results in found:
        show(results)
    write_page(found, options.out or (folders[0] if folders[0].is_dir() else folders[0].parent))


def run(options: ContinualOptions, recipe: Recipe, *, command: str) -> None:
    """Learn the stream with each strategy and seed; what is done is kept after each.

    command: what to type to go on after an interruption.
    """
    from nanohydra.continual.run import Interrupted
    from nanohydra.core.runtime import setup

    names = chosen(options.strategies, recipe)
    if options.seeds < 1:
        raise UserError(f"--seeds is {options.seeds}; give at least 1")
    folder = run_path(recipe, options.out)
    if not options.resume and ((folder / RESULTS).exists() or (folder / STATES).exists()):
        raise UserError(
            f"{folder} holds a comparison already; go on or add to it with --resume, or choose "
            "another folder with --out"
        )
    runtime = setup(recipe.runtime)
    first = recipe.runtime.seed
    lab, results = open_lab(options, recipe, folder, command)
    assert lab.runtime.threads == runtime.threads
    todo = [(name, first + number) for number in range(options.seeds) for name in names]
    try:
        results = compare(lab, results, todo, folder)
    except Interrupted as stop:
        console().print(f"stopped by {stop.signal_name}; go on with: {command}", soft_wrap=True)
        raise SystemExit({"SIGINT": 130, "SIGTERM": 143}[stop.signal_name]) from None
    shutil.rmtree(folder / STATES, ignore_errors=True)
    show(results)
    write_page([results], folder)
    console().print(f"written to {folder / RESULTS}", soft_wrap=True)


def chosen(text: str, recipe: Recipe) -> list[str]:
    """The strategies asked for. Raises UserError for one that does not exist or is told wrongly."""
    from nanohydra.continual.strategies import STRATEGIES, check_options

    if not recipe.continual.tasks:
        raise UserError(f"the recipe {recipe.name!r} has no [[continual.tasks]]")
    check_options(recipe.continual)
    names = [name.strip() for name in text.split(",") if name.strip()] or list(STRATEGIES)
    for name in names:
        assert STRATEGIES[name]  # raises with a suggestion
    return list(dict.fromkeys(names))


def open_lab(
    options: ContinualOptions, recipe: Recipe, folder: Path, command: str
) -> tuple[Lab, Results]:
    """The base, the stream and what was found so far. Raises UserError if they do not fit."""
    from nanohydra.checkpoint import load
    from nanohydra.continual.preparing import open_stream
    from nanohydra.continual.results import Results, load_results
    from nanohydra.continual.strategy import Lab
    from nanohydra.core.config import to_dict
    from nanohydra.core.runtime import describe_machine, setup

    runtime = setup(recipe.runtime)
    place = options.base or trained_base(recipe, folder / BASE, command)
    loaded = load(place, device=runtime.device)
    config, say = recipe.continual, console(stderr=True).print
    longest = loaded.config.max_seq_len
    if config.train.row_length > longest:
        raise UserError(
            f"continual.train.row_length is {config.train.row_length}, but the base sees at most "
            f"{longest} tokens; change one of them"
        )
    stream, labels = open_stream(config, loaded.tokenizer, folder / DATA, say=say)
    fresh = Results(
        name=recipe.name,
        tasks=stream.names,
        metrics=tuple(task.metric for task in stream.tasks),
        sources=labels,
        machine=describe_machine(),
        recipe=to_dict(recipe),
    )
    results = fresh
    if options.resume and (folder / RESULTS).exists():
        results = load_results(folder / RESULTS)
        check_same(results, fresh, folder)
        results = replace(results, recipe=fresh.recipe)
    model = loaded.model.float()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    prefix = tuple(loaded.tokenizer.prefix_ids)
    lab = Lab(
        model=model, base=weights, stream=stream, config=config, runtime=runtime, prefix=prefix
    )
    return lab, results


def check_same(there: Results, wanted: Results, folder: Path) -> None:
    """Raise UserError unless results can be added to: same stream, training and base.

    What single strategies are told may differ: then these are run again.
    """
    from nanohydra.core.config import to_dict

    def fixed(results: Results) -> dict[str, object]:
        plain = to_dict(results)  # what was read holds tuples for lists
        recipe = {key: plain["recipe"].get(key) for key in FIXED}
        continual = {k: v for k, v in recipe["continual"].items() if k != "options"}
        return {"sources": plain["sources"], "recipe": {**recipe, "continual": continual}}

    before, now = fixed(there), fixed(wanted)
    if before != now:
        raise UserError(
            f"{folder} holds a comparison by another recipe or of other data, to which nothing "
            "can be added; choose another folder with --out"
        )


def trained_base(recipe: Recipe, folder: Path, command: str) -> Path:
    """The model that all strategies begin with, trained now if the run has none."""
    from nanohydra.commands.stages import Stage, exit_if_stopped, run_tokenizer, train_stage
    from nanohydra.core.runtime import setup
    from nanohydra.model import Decoder

    recipe = with_base_data(replace(recipe, sft=None))
    stage = Stage(name="pretrain", recipe=recipe, folder=folder, command=command)
    if not (stage.output / "manifest.json").exists():
        runtime = setup(recipe.runtime)
        tokenizer = run_tokenizer(recipe, folder)
        model = Decoder(recipe.model)
        resume = (folder / "states" / "pretrain").exists()
        exit_if_stopped(train_stage(stage, model, tokenizer, runtime, resume=resume))
    return stage.output


def with_base_data(recipe: Recipe) -> Recipe:
    """The recipe, reading what it names for the base where its first choice is not there."""
    from nanohydra.continual.preparing import missing

    corpus, otherwise = recipe.data.pretrain, recipe.continual.base_otherwise
    if not otherwise or missing(corpus.sources.values()) is None:
        return recipe
    corpus = replace(corpus, sources=otherwise, heldout={}, weights={}, phases=())
    return replace(recipe, data=replace(recipe.data, pretrain=corpus))


def compare(lab: Lab, results: Results, todo: Sequence[tuple[str, int]], folder: Path) -> Results:
    """All that is asked for and not there yet, one after another."""
    from nanohydra.continual.results import save_results
    from nanohydra.continual.run import base_scores, run_strategy

    base_row = base_scores(lab)
    say_row(results, "base", base_row, None)
    todo = [(name, seed) for name, seed in todo if not is_done(results, lab, name, seed)]
    started = time.monotonic()
    for number, (name, seed) in enumerate(todo):
        left = ""
        if number:
            minutes = (time.monotonic() - started) / number * (len(todo) - number) / 60
            left = f", about {minutes:.0f} min left"
        console(stderr=True).print(f"[{number + 1}/{len(todo)}] {name}, seed {seed}{left}")
        found = run_strategy(
            name,
            replace(lab, seed=seed),
            folder / STATES / f"{name}-{seed}",
            base_row=base_row,
            watch=watch(results),
        )
        results = results.with_result(name, found)
        save_results(folder / RESULTS, results)
    save_results(folder / RESULTS, results)
    return results


def is_done(results: Results, lab: Lab, name: str, seed: int) -> bool:
    """Whether the comparison has this already, with the options that the recipe gives it now."""
    found: SeedResult | None = results.of_seed(name, seed)
    options = dict(lab.config.options.get(name, {}))
    return found is not None and found.notes.get("options") == options


def watch(results: Results) -> Any:
    """A bar for each stage, and a line of scores after it."""
    from nanohydra.continual.run import Watch

    def on_row(tasks: Sequence[int], row: Row, seconds: float) -> None:
        say_row(results, " + ".join(results.tasks[task] for task in tasks), row, seconds)

    return Watch(
        tracker=lambda title, steps: TerminalTracker(title, total_steps=steps), on_row=on_row
    )


def say_row(results: Results, learned: str, row: Row, seconds: float | None) -> None:
    """One row of R as people read it: perplexities, and shares in percent."""
    parts = [
        f"{task} {reading(score, metric)}"
        for task, metric, score in zip(results.tasks, results.metrics, row, strict=True)
    ]
    after = "the base" if seconds is None else f"after {learned} ({seconds:.0f} s)"
    console(stderr=True).print(f"  {after}: {', '.join(parts)}", soft_wrap=True)


def reading(score: float | None, metric: str) -> str:
    """A score as people read it."""
    if score is None:
        return "-"
    return f"{math.exp(-score):.2f}" if metric == "log_likelihood" else f"{100 * score:.1f}%"


def show(results: Results) -> None:
    """The table of a comparison."""
    from rich.table import Table

    from nanohydra.continual.table import table

    head, *lines = table(results)
    shown = Table(title=f"{results.name}: {', '.join(results.tasks)}", title_justify="left")
    for number, name in enumerate(head):
        shown.add_column(name, justify="right" if number else "left", no_wrap=True)
    for line in lines:
        shown.add_row(*line)
    out = console()
    if not out.is_terminal:
        out.width = max(out.width, WIDTH)  # a file has no width of its own
    out.print(shown)


def write_page(results: Sequence[Results], folder: Path) -> None:
    """Plots and a page that shows them."""
    from nanohydra.continual.report import write_report

    written = write_report(results, folder)
    page = next((path for path in written if path.suffix == ".html"), folder)
    console().print(f"report: {page}", soft_wrap=True)
