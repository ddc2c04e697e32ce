"""Train a tokenizer, or inspect one: bytes per token by kind of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from nanohydra.commands.options import Options, parse, run_path
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, summary_table
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.data.config import SourceConfig
    from nanohydra.tokenizer import Tokenizer

FOLDER = "tokenizer"  # in the folder of a run
SAMPLE_CHARACTERS = 1_000_000  # of each domain that is inspected


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions(Options):
    """Options of `nanohydra tokenizer`."""

    action: tyro.conf.Positional[Literal["train", "inspect"]]
    """What to do."""
    model: tyro.conf.Positional[Path | None] = None
    """inspect: folder of a model, tokenizer or run; the recipe's run if not given."""
    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """inspect: texts to measure on; the recipe's sources and built-in samples if not given."""
    data: Path | None = None
    """train: text to train on, a file or folder, instead of the recipe's."""
    out: Path | None = None
    """train: folder of the run that the tokenizer belongs to."""


def main(words: list[str]) -> None:
    """Run `nanohydra tokenizer`."""
    call = parse(TokenizerOptions, words, prog="tokenizer", description=__doc__)
    run(call.options, call.recipe)


def run(options: TokenizerOptions, recipe: Recipe) -> None:
    """Train or inspect, then print the bytes per token of each domain."""
    if options.action == "train":
        if options.model or options.files:
            raise UserError(f"train takes no folder such as {options.model}; use --data or --out")
        train(recipe, data=options.data, out=options.out)
    elif options.data or options.out:
        raise UserError("inspect takes no --data or --out; give the folder and then the texts")
    else:
        show(find(options.model or run_path(recipe, None)), domains(recipe, options.files))


def train(recipe: Recipe, *, data: Path | None = None, out: Path | None = None) -> Tokenizer:
    """Make the recipe's tokenizer from its sources, or from `data`, and save it in the run."""
    from nanohydra.tokenizer import Tokenizer

    config, sources = recipe.tokenizer, training_sources(recipe, data)
    limit = config.max_characters if config.kind == "bpe" else 0
    with console(stderr=True).status(f"training a tokenizer on {', '.join(sources)}"):
        tokenizer = Tokenizer.build(config, training_texts(sources.values(), limit))
    folder = run_path(recipe, out) / FOLDER
    tokenizer.save(folder)
    rows = {
        "kind": tokenizer.kind,
        "vocabulary": tokenizer.vocab_size,
        "text": ", ".join(sources),
        "written to": str(folder),
    }
    summary_table("tokenizer", rows)
    if config.kind == "bpe" and tokenizer.vocab_size < config.vocab_size:
        console(stderr=True).print(
            f"the text has pairs for {tokenizer.vocab_size} tokens only, not {config.vocab_size}"
        )
    return tokenizer


def training_sources(recipe: Recipe, data: Path | None) -> dict[str, SourceConfig]:
    """What the tokenizer sees: the sources of both stages, or `data` and those of sft."""
    from nanohydra.data.config import SourceConfig

    pretrain = dict(recipe.data.pretrain.sources)
    if data is not None:
        pretrain = {data.name: SourceConfig(path=str(data))}
    sft = {f"sft.{name}": source for name, source in recipe.data.sft.sources.items()}
    sources = {**pretrain, **(sft if recipe.sft is not None else {})}
    if not sources:
        raise UserError(f"the recipe {recipe.name!r} has no data sources; give --data")
    return sources


def training_texts(sources: Iterable[SourceConfig], limit: int) -> Iterator[str]:
    """Texts of all sources in turn, so that a limit of characters leaves none out; 0 = no limit."""
    running = [source_texts(source) for source in sources]
    taken = 0
    while running and (not limit or taken < limit):
        for texts in list(running):
            text = next(texts, None)
            if text is None:
                running.remove(texts)
            else:
                taken += len(text)
                yield text


def source_texts(source: SourceConfig) -> Iterator[str]:
    """What is encoded of each record of a source."""
    from nanohydra.data.sources import open_source
    from nanohydra.tokenizer import record_texts

    for record in open_source(source).records():
        yield from record_texts(record)


def domains(recipe: Recipe, files: tuple[Path, ...]) -> dict[str, str | bytes]:
    """Named texts to measure on, the beginning of each."""
    from nanohydra.data.config import SourceConfig
    from nanohydra.data.sources import SUFFIXES
    from nanohydra.tokenizer import SAMPLES

    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    if not files:
        sources = training_sources(recipe, None)
    else:
        sources = {
            str(path): SourceConfig(
                path=str(path), kind="auto" if known & set(path.suffixes) else "text"
            )
            for path in files
        }
    texts: dict[str, str | bytes] = {} if files else dict(SAMPLES)
    for name, source in sources.items():
        texts[name] = "\n".join(training_texts([source], SAMPLE_CHARACTERS))[:SAMPLE_CHARACTERS]
    return texts


def find(path: Path) -> Tokenizer:
    """The tokenizer of a model folder, or of a run that trained one."""
    from nanohydra.tokenizer import Tokenizer

    inner = path / FOLDER
    return Tokenizer.load(inner if (inner / "tokenizer.json").is_file() else path)


def show(tokenizer: Tokenizer, texts: dict[str, str | bytes]) -> None:
    """Print one line per domain."""
    from nanohydra.tokenizer import inspect

    reports = inspect(tokenizer, texts)
    rows: list[tuple[object, ...]] = [("domain", "bytes", "tokens", "bytes per token", "decodes")]
    for report in reports:
        trip = "exactly" if report.round_trips else "not possible"
        per_token = round(report.bytes_per_token, 3)
        rows.append((report.name, report.num_bytes, report.num_tokens, per_token, trip))
    for report in reports:
        if report.error:
            console(stderr=True).print(f"{report.name}: {report.error}")
    title = f"{tokenizer.kind}, {tokenizer.vocab_size} tokens, {tokenizer.fingerprint[:12]}"
    summary_table(title, rows)
