"""Write a model for others: a Hugging Face folder, or GGUF for llama.cpp and Ollama."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import tyro

from nanohydra.commands.options import Options, parse, positionals_first
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, summary_table
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.adapters import AdapterWeights, Bank
    from nanohydra.checkpoint import Loaded
    from nanohydra.checkpoint.card import CardFacts
    from nanohydra.model import Decoder

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """Options of `nanohydra export`."""

    paths: tyro.conf.Positional[tuple[str, ...]] = ()
    """The model (its run, its folder or its name at the hub), and the folder or file to write."""
    to: Literal["hf", "gguf"] = "hf"
    """hf: a folder for transformers, vLLM and others; gguf: a file for llama.cpp and Ollama."""
    adapter: str = ""
    """What it was taught: an alias, ALIAS@VERSION, a version, or an adapter's folder."""
    merge: bool = False
    """Merge the adapter into the weights that are written; else it is put beside them."""
    dtype: Literal["stored", "float32", "bfloat16", "float16"] = "stored"
    """hf: the type of the weights."""
    type: Literal["f32", "f16", "q8_0", "q4_0"] = "f16"
    """gguf: the type of the matrices."""
    revision: str | None = None
    """Branch, tag or commit of a model at the hub."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The adapter that was asked for, and what its test found."""

    weights: AdapterWeights
    checks: Mapping[str, Any] = field(default_factory=dict)


def main(words: list[str]) -> None:
    """Run `nanohydra export`."""
    words = positionals_first(ExportOptions, words)
    call = parse(ExportOptions, words, prog="export", description=__doc__)
    run(call.options, call.recipe)


def run(options: ExportOptions, recipe: Recipe) -> None:
    """Load, merge where asked, write, and say what is where."""
    from nanohydra.checkpoint import load
    from nanohydra.checkpoint.export import check_target
    from nanohydra.checkpoint.hub import locate

    check(options)
    source = locate(options.paths[0], revision=options.revision)
    out = Path(options.paths[1])
    if options.to == "hf":
        check_target(out, source)
    with console(stderr=True).status(f"loading {source}"):
        loaded = load(source)
        chosen = find_adapter(options.adapter, source, loaded) if options.adapter else None
        if chosen is not None and options.merge:
            from nanohydra.adapters import merge

            merged = merge(loaded.model, chosen.weights).model
            loaded = replace(loaded, model=cast("Decoder", merged))
    if options.to == "gguf":
        write_file(options, loaded, source, out, chosen)
    else:
        write_hf(options, loaded, source, out, chosen)


def check(options: ExportOptions) -> None:
    """Raise UserError for options that do not go together, before anything is loaded."""
    if len(options.paths) != 2:
        raise UserError("give a model and where to: nanohydra export runs/tiny OUT --to hf")
    if options.merge and not options.adapter:
        raise UserError("--merge needs --adapter: what is to be merged?")
    if options.to == "gguf":
        if options.dtype != "stored":
            raise UserError("--dtype is for folders; a GGUF file has --type f32, f16, q8_0 or q4_0")
        if options.adapter and not options.merge:
            raise UserError("a GGUF file holds one model; give --merge with --adapter")


def find_adapter(text: str, source: Path, loaded: Loaded) -> Chosen:
    """The adapter of a folder, a version or an alias. Raises UserError with what there is."""
    from nanohydra.adapters import Bank, concatenate, load_adapter
    from nanohydra.adapters.files import SETTINGS
    from nanohydra.learn.home import Home, home_of

    if (Path(text) / SETTINGS).is_file():
        return Chosen(weights=load_adapter(text, model=loaded.model))
    bank = Bank(Home(home_of(source)).bank)
    versions = versions_of(text, bank)
    weights = [bank.load(version, model=loaded.model) for version in versions]
    if len(weights) > 1:
        return Chosen(weights=concatenate(weights))
    checks = bank.info(versions[0]).manifest.get("gate", {}).get("checks", {})
    return Chosen(weights=weights[0], checks=checks)


def versions_of(text: str, bank: Bank) -> tuple[str, ...]:
    """What an alias, ALIAS@VERSION or a version means. Raises UserError."""
    from nanohydra.core.registry import suggest

    alias, _, version = text.partition("@")
    aliases = bank.aliases()
    if alias in aliases:
        versions = (bank.resolve(version),) if version else bank.alias(alias).versions
        if not versions:
            raise UserError(f"{alias!r} means the base alone: nothing that was taught is live")
        return versions
    known = [*aliases, *(info.id for info in bank.list())]
    if version or not any(id.startswith(text) for id in known):
        raise UserError(
            f"there is no adapter {text!r} in {bank.folder}; {suggest(alias, known)}; the folder "
            "of an adapter will do as well"
        )
    return (bank.resolve(text),)


def write_hf(
    options: ExportOptions, loaded: Loaded, source: Path, out: Path, chosen: Chosen | None
) -> None:
    """Write the folder and print the summary."""
    import torch

    from nanohydra.adapters import save_adapter
    from nanohydra.checkpoint.card import model_card
    from nanohydra.checkpoint.export import ADAPTER, write_folder

    if options.dtype != "stored":
        loaded = replace(loaded, model=loaded.model.to(getattr(torch, options.dtype)))
    facts = card_facts(options, loaded, source, chosen)

    def put_beside(folder: Path) -> None:
        if chosen is not None and not options.merge:
            about = {"gate": {"checks": chosen.checks}}
            save_adapter(folder, chosen.weights, loaded.config, manifest=about)

    with console(stderr=True).status(f"writing {out}"):
        write_folder(
            out, loaded, source, card=model_card(facts),
            manifest={"exported": origin(facts)}, beside=put_beside,
        )  # fmt: skip
    where = "in the weights" if options.merge else str(out / ADAPTER)
    rows = {
        "architecture": facts.architecture,
        "parameters": facts.num_parameters,
        "weights": facts.dtype,
        "adapter": f"{facts.adapter}, {where}" if chosen else "none",
        "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        "written to": str(out),
    }
    summary_table(f"{facts.name}, exported", rows)


def write_file(
    options: ExportOptions, loaded: Loaded, source: Path, out: Path, chosen: Chosen | None
) -> None:
    """Write the GGUF file and print the summary."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from nanohydra.checkpoint.gguf import write_gguf
    from nanohydra.checkpoint.names import title_of

    name = title_of(source).rpartition("/")[2]
    if out.suffix != ".gguf":
        out = out / f"{name}-{options.type.upper()}.gguf"
    if out.is_dir():
        raise UserError(f"{out} is a folder; choose a file to write")
    terminal = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), DownloadColumn())
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(f"writing {out.name}", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        written = write_gguf(
            out, loaded.model, loaded.tokenizer, name=name, type=options.type, progress=show
        )
    for note in written.notes:
        terminal.print(f"note: {note}", markup=False, soft_wrap=True)
    rows = {
        "architecture": written.architecture,
        "tensors": ", ".join(f"{count} {kind}" for kind, count in written.types.items()),
        "adapter": f"{chosen.weights.id}, in the weights" if chosen else "none",
        "context": written.context_length,
        "bytes": written.num_bytes,
        "written to": str(out),
    }
    summary_table(f"{name}, exported", rows)


def card_facts(
    options: ExportOptions, loaded: Loaded, source: Path, chosen: Chosen | None
) -> CardFacts:
    """What the model card says."""
    from nanohydra.checkpoint.card import CardFacts
    from nanohydra.checkpoint.families.choice import family_of
    from nanohydra.checkpoint.names import hub_name_of, title_of

    hub = hub_name_of(source)
    return CardFacts(
        name=title_of(source),
        architecture=family_of(loaded.config).architecture,
        config=loaded.config,
        num_parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        dtype=str(loaded.model.dtype).removeprefix("torch."),
        report=last_report(source),
        base=str(hub) if hub else "",
        revision=(hub.revision or "") if hub else "",
        adapter=chosen.weights.id if chosen else "",
        merged=options.merge,
        checks=chosen.checks if chosen else {},
        manifest=loaded.manifest,
    )


def last_report(source: Path) -> dict[str, Any]:
    """The latest report about this model: its run's, or a later evaluation's; else empty."""
    from nanohydra.checkpoint.names import MODEL
    from nanohydra.commands.eval import report_folders
    from nanohydra.core.files import read_json

    home, evaluation = report_folders(source)
    folders = [evaluation, home] if source.name == MODEL else [evaluation]
    paths = [folder / "report.json" for folder in folders]
    reports = [read_json(path) for path in paths if path.is_file()]
    return max(reports, key=lambda report: str(report.get("created", "")), default={})


def origin(facts: CardFacts) -> dict[str, Any]:
    """What the manifest says of the export."""
    return {
        "from": facts.name,
        "commit": facts.revision,
        "adapter": facts.adapter,
        "merged": facts.merged,
    }
