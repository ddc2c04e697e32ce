"""Read, clean and tokenize data into shards, look into them, or verify them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from nanohydra.commands.options import Options, parse, run_path
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, summary_table
from nanohydra.data.config import SourceConfig
from nanohydra.recipe import CorpusConfig, Recipe

if TYPE_CHECKING:
    from nanohydra.data import Shards
    from nanohydra.tokenizer import Tokenizer

FOLDER = "data"  # in the folder of a run, with a folder for each stage in it
STAGES = ("pretrain", "sft")
SAMPLE_TOKENS = 200  # of a record that `inspect` shows


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Options of `nanohydra data`."""

    action: tyro.conf.Positional[Literal["prepare", "inspect", "verify"]]
    """What to do."""
    folder: tyro.conf.Positional[Path | None] = None
    """inspect, verify: prepared data, one folder of shards, or a run; the recipe's run if none."""
    source: str = ""
    """prepare: a file, a folder or a glob to read instead of the recipe's sources."""
    kind: str = "auto"
    """prepare: what the source is, such as jsonl or text; told from its name if not given."""
    column: str = ""
    """prepare: the source's column of text or messages, if it has no usual name."""
    valid_fraction: float = 0.01
    """prepare: share of the source to hold out for validation."""
    tokenizer: Path | None = None
    """Folder of the tokenizer; the run's if not given."""
    out: Path | None = None
    """prepare: folder of the run, or with --source the folder for the shards."""


def main(words: list[str]) -> None:
    """Run `nanohydra data`."""
    call = parse(DataOptions, words, prog="data", description=__doc__)
    run(call.options, call.recipe)


def run(options: DataOptions, recipe: Recipe) -> None:
    """Prepare, inspect or verify, then print a table."""
    if options.action != "prepare":
        if options.source or options.out:
            raise UserError(f"{options.action} takes no --source or --out; give the folder alone")
        show = inspect if options.action == "inspect" else verify
        show(options.folder or run_path(recipe, None), options.tokenizer)
        return
    if options.folder:
        raise UserError(f"prepare takes no folder such as {options.folder}; use --out")
    if options.source:
        prepare_source(options)
        return
    folder = run_path(recipe, options.out)
    tokenizer = load_tokenizer(options.tokenizer or folder / "tokenizer")
    corpora = {stage: getattr(recipe.data, stage) for stage in STAGES}
    if not any(corpus.sources for corpus in corpora.values()):
        raise UserError(f"the recipe {recipe.name!r} has no data sources; give --source")
    for stage, corpus in corpora.items():
        if corpus.sources and (stage != "sft" or recipe.sft is not None):
            prepare_corpus(corpus, tokenizer, folder / FOLDER / stage)


def prepare_source(options: DataOptions) -> None:
    """Shards of one source that the command line names."""
    if options.tokenizer is None or options.out is None:
        raise UserError("prepare --source FILE needs --tokenizer FOLDER and --out FOLDER")
    if not 0 <= options.valid_fraction < 1:
        raise UserError(f"--valid-fraction is {options.valid_fraction}; it lies in [0, 1)")
    source = SourceConfig(path=options.source, kind=options.kind, column=options.column)
    corpus = CorpusConfig(
        sources={source_name(options.source): source}, valid_fraction=options.valid_fraction
    )
    prepare_corpus(corpus, load_tokenizer(options.tokenizer), options.out)


def source_name(path: str) -> str:
    """A short name for a source, fit for a folder: `my-data` of `/x/my data*.jsonl.gz`."""
    stem = Path(path).name.partition(".")[0]
    return re.sub(r"\W+", "-", stem).strip("-") or "data"


def prepare_corpus(corpus: CorpusConfig, tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
    """Shards of a stage's sources in `folder`, see nanohydra.data.prepare; prints the account."""
    from nanohydra.data import prepare

    with console(stderr=True).status("reading") as status:
        report = prepare(
            corpus.sources,
            corpus.clean,
            tokenizer,
            folder,
            lambda records, tokens: status.update(f"{records:,} records, {tokens:,} tokens"),
            heldout=corpus.heldout,
            valid_fraction=0.0 if corpus.heldout else corpus.valid_fraction,
            hold_out=corpus.hold_out,
        )
    summary_table(f"data in {folder}", list(account(report)))
    return report


def account(report: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    """The rows of the table: what became of each source."""
    yield "source", "read", "kept", "train tokens", "valid tokens", "dropped or repaired"
    tokens = {
        (split, name): counts["tokens"]
        for split, names in report["splits"].items()
        for name, counts in names.items()
    }
    apart = any(source["heldout"] for source in report["sources"])
    for source in report["sources"]:
        name, heldout = source["name"], source["heldout"]
        said = {**source["dropped"], **source["noted"]}
        yield (
            name,
            source["read"],
            source["kept"],
            0 if heldout else tokens.get(("train", name), 0),
            tokens.get(("valid", name), 0) if heldout or not apart else 0,
            ", ".join(f"{count:,} {why}" for why, count in said.items()) or "nothing",
        )


def inspect(path: Path, tokenizer_folder: Path | None) -> None:
    """Print the account of prepared data, and a record of each folder of shards."""
    from nanohydra.core.files import read_json
    from nanohydra.data.preparation import REPORT

    out = console()
    for folder in prepared_folders(path):
        for name, shards in opened(folder).items():
            out.rule(str(shards.folder), align="left")
            out.print(sample(shards, find_tokenizer(tokenizer_folder, folder)), markup=False)
            counts = {
                "records": len(shards),
                "tokens": shards.num_tokens,
                "tokens that carry loss": shards.num_targets,
                "tokens per record": shards.num_tokens / max(len(shards), 1),
                "longest record": int(shards.lengths.max(initial=0)),
                "tokenizer": shards.fingerprint[:12],
            }
            summary_table(name, counts)
        if (folder / REPORT).exists():
            summary_table(f"data in {folder}", list(account(read_json(folder / REPORT))))


def sample(shards: Shards, tokenizer: Tokenizer | None) -> str:
    """The beginning of the first record as text, or as ids when there is no tokenizer."""
    if not len(shards):
        return "(no records)"
    length = min(int(shards.lengths[0]), SAMPLE_TOKENS)
    ids = shards.piece(0, 0, length)[0].tolist()
    more = " ..." if length < shards.lengths[0] else ""
    if tokenizer is None:
        return f"{' '.join(map(str, ids))}{more}\n(--tokenizer FOLDER shows it as text)"
    if tokenizer.fingerprint != shards.fingerprint:
        raise UserError(f"{shards.folder} was made with another tokenizer; give that one")
    return tokenizer.decode(ids, skip_special=False) + more


def verify(path: Path, tokenizer_folder: Path | None) -> None:
    """Check every byte against its checksum. Raises UserError naming a file that differs."""
    fingerprint = load_tokenizer(tokenizer_folder).fingerprint if tokenizer_folder else None
    rows: list[Sequence[object]] = [("shards", "records", "tokens", "checksums")]
    with console(stderr=True).status("reading"):
        for folder in prepared_folders(path):
            for shards in opened(folder, fingerprint).values():
                shards.verify()
                rows.append((str(shards.folder), len(shards), shards.num_tokens, "correct"))
    summary_table(f"verified {path}", rows)


def prepared_folders(path: Path) -> list[Path]:
    """The prepared data that a path means: itself, one folder of shards, or a run's stages."""
    from nanohydra.data.preparation import REPORT

    if (path / REPORT).exists() or (path / "manifest.json").exists():
        return [path]
    found = [
        report.parent for stage in STAGES for report in path.glob(f"{FOLDER}/{stage}/{REPORT}")
    ]
    if not found:
        raise UserError(f"there is no prepared data in {path}; `nanohydra data prepare` makes it")
    return found


def opened(folder: Path, fingerprint: str | None = None) -> dict[str, Shards]:
    """Every folder of shards in prepared data, by split and name, or the one that it is."""
    from nanohydra.data import Shards, open_split

    if (folder / "manifest.json").exists():
        return {folder.name: Shards(folder, fingerprint=fingerprint)}
    return {
        f"{split}/{name}": shards
        for split in ("train", "valid")
        for name, shards in open_split(folder, split, fingerprint=fingerprint).items()
    }


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder."""
    from nanohydra.tokenizer import Tokenizer

    return Tokenizer.load(folder)


def find_tokenizer(given: Path | None, folder: Path) -> Tokenizer | None:
    """The tokenizer asked for, or that of the run that the data lies in, or None."""
    if given:
        return load_tokenizer(given)
    beside = folder.resolve().parents[1] / "tokenizer" if len(folder.resolve().parts) > 2 else None
    return load_tokenizer(beside) if beside and beside.is_dir() else None
