"""Turn a model of another program into a standard folder: weights of llama2.c."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from nanohydra.commands.options import Options, parse, positionals_first
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, summary_table
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class ImportOptions(Options):
    """Options of `nanohydra import`."""

    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """The file, and the folder to write: model.bin OUT."""
    format: Literal["llama2c"] = "llama2c"
    """What the file is: llama2c, the model.bin of llama2.c."""
    tokenizer: Path | None = None
    """Its tokenizer (.bin of llama2.c, .model of SentencePiece, tokenizer.json); if not given, the
    one that lies beside it."""


def main(words: list[str]) -> None:
    """Run `nanohydra import`."""
    words = positionals_first(ImportOptions, words)
    call = parse(ImportOptions, words, prog="import", description=__doc__)
    run(call.options, call.recipe)


def run(options: ImportOptions, recipe: Recipe) -> None:
    """Read the file and its tokenizer, write the folder, say what it is."""
    if len(options.paths) != 2:
        raise UserError("give a file and a folder: nanohydra import model.bin OUT")
    source, out = options.paths

    from nanohydra.checkpoint import save
    from nanohydra.checkpoint.llama2c import read_llama2c
    from nanohydra.core.files import sha256

    with console(stderr=True).status(f"reading {source}"):
        model = read_llama2c(source)
        named = options.tokenizer or beside(source, model.config.vocab_size)
        tokenizer = read_tokenizer(named)
        if tokenizer.vocab_size != model.config.vocab_size:
            raise UserError(
                f"{named} has {tokenizer.vocab_size} ids, the model of {source} "
                f"{model.config.vocab_size}: they do not belong together"
            )
        origin = {"format": options.format, "file": source.name, "sha256": sha256(source)}
        save(out, model, tokenizer, manifest={"imported": origin})
    config = model.config
    rows = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": config.num_layers,
        "width": config.hidden_size,
        "vocabulary": config.vocab_size,
        "context": config.max_seq_len,
        "tokenizer": str(named),
        "written to": str(out),
    }
    summary_table(f"{source.name}, imported", rows)


def beside(source: Path, vocab_size: int) -> Path:
    """The tokenizer that lies beside a model, by the names that llama2.c uses. Raises UserError."""
    stems = ("tokenizer", f"tok{vocab_size}")
    names = [f"{stem}{kind}" for stem in stems for kind in (".bin", ".model", ".json")]
    found = next((source.parent / n for n in names if (source.parent / n).is_file()), None)
    if found is None:
        raise UserError(
            f"there is no tokenizer beside {source} ({', '.join(names)}); give it with --tokenizer"
        )
    return found


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer by the kind of its file."""
    from nanohydra.tokenizer import Tokenizer
    from nanohydra.tokenizer.llama2c import read_tokenizer as read_pieces

    return read_pieces(path) if path.suffix == ".bin" else Tokenizer.load(path)
