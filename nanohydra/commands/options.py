"""How every command reads its words: its own options, `--recipe`, and `--a.b=c` on the recipe.

A command describes its options as a dataclass, which tyro parses and explains. A word with a dot,
or one that names a plain key of the recipe, goes to the recipe.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import tyro

from nanohydra.core.config import to_dict
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.recipe import Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    import torch

    from nanohydra.core.runtime import Runtime

PLAIN_KEYS = ("name", "depth")
KEYS_FLAG = "--keys"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options that every command has; a command adds its own in a subclass."""

    recipe: str = "tiny"
    """Name of a packaged recipe, or a TOML file."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """Options of a command that loads a model."""

    model: str | None = None
    """Folder of the model or its run, or OWNER/NAME at the hub; the recipe's run if not given."""
    revision: str | None = None
    """Branch, tag or commit of a model at the hub; OWNER/NAME@REVISION says the same."""


@dataclass(frozen=True, kw_only=True)
class AnsweringOptions(ModelOptions):
    """Options of a command that only lets a model answer."""

    weights: Literal["stored", "int8", "int4"] = "stored"
    """int8 takes a byte for each, in half of bfloat16's memory, int4 half a byte, less exactly:
    faster on a CPU."""


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True, kw_only=True)
class Call(Generic[OptionsT]):
    """What a command was called with."""

    options: OptionsT
    recipe: Recipe


def parse(
    cls: type[OptionsT], words: Sequence[str], *, prog: str, description: str | None
) -> Call[OptionsT]:
    """Options and recipe from a command's words.

    Exits with 0 after `--help` and `--keys`, and with 2 after an option's malformed value; raises
    UserError for an unknown option and for a mistake in the recipe or its keys.
    """
    own, overrides = split(cls, words)
    options = tyro.cli(
        cls,
        prog=f"nanohydra {prog}",
        description=f"{(description or '').strip()}\n\n{epilogue()}",
        args=[word for word in own if word != KEYS_FLAG],
    )
    recipe = load_recipe(options.recipe, overrides)
    if KEYS_FLAG in own:
        print("\n".join(key_lines(recipe)))
        raise SystemExit(0)
    return Call(options=options, recipe=recipe)


def split(cls: type[Options], words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that are the command's own, and those that change the recipe.

    Raises UserError for an option that neither has.
    """
    mine = [field.name for field in fields(cls)]
    flags = {"help", "keys", *mine, *(f"no_{name}" for name in mine)}
    own: list[str] = []
    overrides: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key, equals, _ = word.partition("=")
        name = key.removeprefix("--").replace("-", "_")
        plain = name in PLAIN_KEYS and name not in mine
        if not key.startswith("--"):
            own.append(word)
        elif "." not in name and not plain:
            if name not in flags:
                known = [option.replace("_", "-") for option in (*mine, *PLAIN_KEYS)]
                raise UserError(f"unknown option {key!r}; {suggest(key[2:], known)}")
            own.append(word)
        elif equals or not rest or rest[0].startswith("--"):
            overrides.append(word)
        else:
            overrides.append(f"{word}={rest.pop(0)}")
    return own, overrides


def positionals_first(cls: type[Options], words: Sequence[str]) -> list[str]:
    """The words with what belongs to no option in front, as tyro wants several such words.

    Each option of `cls` must take one value, or none if it is a flag.
    """
    flags = {"help", "keys"}
    for own in fields(cls):
        flags |= {own.name, f"no_{own.name}"} if isinstance(own.default, bool) else set()
    first: list[str] = []
    options: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            first.append(word)
            continue
        options.append(word)
        name = word.removeprefix("--").replace("-", "_")
        if "=" not in word and name not in flags and rest and not rest[0].startswith("--"):
            options.append(rest.pop(0))
    return [*first, *options]


def epilogue() -> str:
    """The end of every help text."""
    return (
        f"Recipes: {', '.join(recipe_names())}, or a TOML file. Any key of the recipe can be "
        f"changed: --pretrain.lr=0.01. {KEYS_FLAG} lists them with their values; --depth N sets "
        "the model's whole shape."
    )


def key_lines(recipe: Recipe) -> Iterator[str]:
    """The recipe as TOML, one key a line; what is none, which TOML lacks, as a comment."""

    def walk(prefix: str, value: Any) -> Iterator[str]:
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                yield from walk(f"{prefix}.{name}" if prefix else name, inner)
        else:
            yield f"{'# ' if value is None else ''}{prefix} = {toml_text(value)}"

    yield from walk("", to_dict(recipe))


def toml_text(value: Any) -> str:
    """A plain value as TOML writes it within a line; None, which TOML lacks, as `none`."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)} = {toml_text(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml_text(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, str) else repr(value)


def find_model(options: ModelOptions, recipe: Recipe) -> Path:
    """The folder of the model that is asked for, fetched from the hub if need be. Raises UserError.

    See `nanohydra.checkpoint.hub.locate`.
    """
    from nanohydra.checkpoint.hub import locate

    return locate(options.model or run_path(recipe, None), revision=options.revision)


def answering_dtype(folder: Path, runtime: Runtime, recipe: Recipe) -> torch.dtype | None:
    """What a model is loaded in to answer; None is what its files hold.

    On the CPU weights stay as they are stored, so that answers are those that were measured, but
    for float16, in which a CPU multiplies about a hundred times slower than in bfloat16.
    """
    if runtime.device != "cpu" or recipe.runtime.dtype != "auto":
        return runtime.dtype
    import torch

    from nanohydra.checkpoint.weights import ModelTensors

    return torch.bfloat16 if ModelTensors(folder).main_dtype == torch.float16 else None


def sampling_defaults(folder: Path, temperature: float | None) -> dict[str, Any]:
    """How replies are drawn: as the model's makers state, but for a temperature that was given."""
    from nanohydra.checkpoint import stated_sampling

    stated: dict[str, Any] = {"temperature": 0.7, **stated_sampling(folder)}
    if "top_k" in stated:
        stated["top_k"] = int(stated["top_k"])
    return stated if temperature is None else {**stated, "temperature": temperature}


def run_path(recipe: Recipe, out: Path | None) -> Path:
    """The folder of a run: the one asked for, or `runs/` and the recipe's name."""
    return out or Path("runs") / recipe.name
