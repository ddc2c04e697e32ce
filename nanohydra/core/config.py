"""Configuration: frozen dataclasses, filled from a TOML file, then from `--a.b=c`.

Every mistake is a UserError that names the key, the value, where it stands and the way out.
A value on the command line means what the same line would mean in the file, where a bare word is
a string. Knows nothing of what the keys mean, and reads no flags or environment by itself.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest

T = TypeVar("T")
COMMAND_LINE = "on the command line"


class _Text(str):
    """A value as typed on the command line, which the type of its key tells how to read."""


class _Patch(dict[str, Any]):
    """A table that the command line alone gives: it changes single entries of the default."""


class _Mismatch(Exception):
    """The value does not have this type; carries what was expected."""


def load_config(cls: type[T], recipe: Path | None, overrides: Sequence[str] = ()) -> T:
    """Build `cls` from its defaults, then the TOML file `recipe`, then `--a.b=c` overrides.

    Raises UserError for a missing or malformed file, an unknown key, a value of the wrong type
    and whatever the dataclass itself refuses.
    """
    table = read_toml(recipe) if recipe else {}
    given: set[str] = set()
    for key, text in _split(overrides):
        _set(table, key, _Text(text))
        given.add(key)
    file = f"in {recipe}" if recipe else ""
    return _Reader(cls, file, given).dataclass(cls, table, "")


def from_dict(cls: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Build the dataclass `cls` from plain values; `where` ends the error messages."""
    return _Reader(cls, where, frozenset()).dataclass(cls, mapping, "")


def to_dict(config: Any) -> dict[str, Any]:
    """The dataclass as plain JSON types: `from_dict(type(config), to_dict(config)) == config`."""
    assert dataclasses.is_dataclass(config), config
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config) if f.init}


def changes(config: Any, prefix: str = "") -> list[str]:
    """The words `--a.b=c` that make a configuration out of its type's defaults.

    For another process; lists of tables have no such words.
    """

    def words(now: Mapping[str, Any], before: Mapping[str, Any], path: str) -> Iterator[str]:
        for key, value in now.items():
            old = before.get(key)
            if isinstance(value, dict):
                yield from words(value, old if isinstance(old, dict) else {}, f"{path}{key}.")
            elif value != old:
                yield f"--{path}{key}={json.dumps(value)}"

    return list(words(to_dict(config), to_dict(type(config)()), prefix))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises UserError if it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def keys(cls: type[Any]) -> Iterator[str]:
    """All dotted keys of a dataclass and of the dataclasses in it, in order."""
    for name, hint in _hints(cls).items():
        yield name
        inner = _dataclass_in(hint)
        if inner is not None:
            yield from (f"{name}.{key}" for key in keys(inner))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _split(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`--a.b=c` and `--a.b c` as (key, text); a flag without a value means true."""
    rest = list(overrides)
    while rest:
        word = rest.pop(0)
        key, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not key:
            raise UserError(f"cannot read {word!r} {COMMAND_LINE}; write --key=value")
        if not equals:
            text = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        yield key, text


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for depth, name in enumerate(parents):
        inner = table.setdefault(name, _Patch())
        if not isinstance(inner, dict):
            whole = ".".join(parents[: depth + 1])
            raise UserError(f"{whole!r} is not a table; set it whole: --{whole}=VALUE")
        table = inner
    table[leaf] = value


def _hints(cls: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}


def _dataclass_in(hint: Any) -> type[Any] | None:
    """The dataclass that a hint names, alone or as `X | None`."""
    options = get_args(hint) if _is_union(hint) else (hint,)
    return next((o for o in options if isinstance(o, type) and dataclasses.is_dataclass(o)), None)


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


class _Reader:
    """One reading of one table; remembers where each key was given, for the messages."""

    def __init__(self, root: type[Any], where: str, on_command_line: set[str] | frozenset[str]):
        self.root = root
        self.where = where
        self.on_command_line = on_command_line

    def place(self, key: str) -> str:
        """The end of a message about `key`: the file or the command line."""
        given = self.on_command_line
        typed = any(f"{k}.".startswith(f"{key}.") or key.startswith(f"{k}[") for k in given)
        where = COMMAND_LINE if typed else self.where
        return f" {where}" if where else ""

    def dataclass(self, cls: type[T], table: Mapping[str, Any], path: str, base: Any = None) -> T:
        """`cls` from a table; what the table lacks comes from `base` or the class's defaults."""
        assert dataclasses.is_dataclass(cls), cls
        hints = _hints(cls)
        for name in table:
            if name not in hints:
                raise self.unknown(cls, _join(path, name))
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name in table:
                key, default = _join(path, field.name), _default(field, base)
                values[field.name] = self.value(hints[field.name], table[field.name], key, default)
            elif base is not None and field.init:
                values[field.name] = getattr(base, field.name)
        try:
            return cls(**values)
        except TypeError as error:
            missing = [f.name for f in dataclasses.fields(cls) if _is_missing(f, values)]
            if not missing:
                raise
            key = _join(path, missing[0])
            raise UserError(f"{key!r} is missing{self.place(path)}") from error
        except ValueError as error:
            named = not path or str(error).startswith(path)
            prefix = "" if named else f"{path}: "
            raise UserError(f"{prefix}{error}{self.place(path)}") from error

    def value(self, hint: Any, value: Any, key: str, default: Any = None) -> Any:
        """`value` as the type `hint`. Raises UserError with key, value and what was expected."""
        try:
            return self.convert(hint, value, key, default)
        except _Mismatch as mismatch:
            shown = str(value) if isinstance(value, _Text) else value
            message = f"{key!r} is {shown!r}{self.place(key)}; expected {mismatch}"
            raise UserError(message) from None

    def convert(self, hint: Any, value: Any, key: str, default: Any) -> Any:
        """`value` as the type `hint`. Raises _Mismatch."""
        origin, args = get_origin(hint), get_args(hint)
        if hint is Any:
            return _parse(value)
        if _is_union(hint):
            return self.union(args, value, key, default)
        if origin is Literal:
            return _choice(args, value)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            table = _parse(value)
            if not isinstance(table, Mapping):
                raise _Mismatch(f"a table with the keys {', '.join(_hints(hint))}")
            return self.dataclass(hint, table, key, default)
        if origin in (tuple, list, Sequence):
            return self.sequence(origin, args, value, key)
        if origin in (dict, Mapping):
            return self.mapping(args, value, key, default)
        return _scalar(hint, value)

    def union(self, options: tuple[Any, ...], value: Any, key: str, default: Any) -> Any:
        """The first option that takes the value; text from the command line may say none."""
        none = value is None or (isinstance(value, _Text) and value.lower() == "none")
        if none and type(None) in options:
            return None
        expected = []
        for option in options:
            if option is not type(None):
                try:
                    return self.convert(option, value, key, default)
                except _Mismatch as mismatch:
                    expected.append(str(mismatch))
        if type(None) in options:
            expected.append("none")
        raise _Mismatch(" or ".join(expected))

    def sequence(self, origin: Any, args: tuple[Any, ...], value: Any, key: str) -> Any:
        """A list or tuple; on the command line `a,b` is the same as `["a", "b"]`."""
        items = _parse(value)
        if isinstance(value, _Text) and not isinstance(items, list):
            items = [_Text(part.strip()) for part in value.split(",") if part.strip()]
        if not isinstance(items, list | tuple):
            raise _Mismatch("a list")
        if origin is tuple and args[-1] is not Ellipsis:
            if len(items) != len(args):
                raise _Mismatch(f"a list of {len(args)}")
            kinds = list(args)
        else:
            kinds = [args[0]] * len(items)
        pairs = zip(kinds, items, strict=True)
        made = [self.value(kind, item, f"{key}[{i}]") for i, (kind, item) in enumerate(pairs)]
        return made if origin is list else tuple(made)

    def mapping(self, args: tuple[Any, ...], value: Any, key: str, default: Any) -> dict[str, Any]:
        """A table whose keys are free; the command line changes single entries of it."""
        table = _parse(value)
        if not isinstance(table, Mapping):
            raise _Mismatch("a table")
        keep = dict(default or {}) if isinstance(table, _Patch) else {}
        made = {k: self.value(args[1], v, f"{key}.{k}", keep.get(k)) for k, v in table.items()}
        return {**keep, **made}

    def unknown(self, cls: type[Any], key: str) -> UserError:
        """The error for a key that `cls` does not have, with the likeliest ones meant."""
        path, _, leaf = key.rpartition(".")
        known = list(_hints(cls))
        near = difflib.get_close_matches(leaf, known, n=1)
        near += [name for name in known if _initials(name) == _initials(leaf)]
        if not near:
            everywhere = list(keys(self.root))
            near = [k for k in everywhere if k.rpartition(".")[2] == leaf][:3]
            path = ""
        hint = suggest(leaf, known)
        if near:
            hint = "did you mean " + " or ".join(repr(_join(path, n)) for n in near[:3]) + "?"
        return UserError(f"unknown key {key!r}{self.place(key)}; {hint}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _initials(name: str) -> str:
    """`learning_rate` and `lr` both become `lr`, so that one suggests the other."""
    return "".join(word[:1] for word in name.split("_")) if "_" in name else name


def _default(field: dataclasses.Field[Any], base: Any) -> Any:
    """What an entry of the field's table falls back on: None for the defaults of its class.

    A plain class as the factory is such a case: an instance of it may hold values that it derived
    from its defaults, which must not outlive a change of those.
    """
    if base is not None:
        return getattr(base, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return None if isinstance(field.default_factory, type) else field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _is_missing(field: dataclasses.Field[Any], values: Mapping[str, Any]) -> bool:
    has_default = field.default is not field.default_factory  # else both are MISSING
    return field.init and not has_default and field.name not in values


def _parse(value: Any) -> Any:
    """Text from the command line as a TOML value, or as it is when it is not one."""
    if not isinstance(value, _Text):
        return value
    try:
        table = tomllib.loads(f"x = {value}")
    except tomllib.TOMLDecodeError:
        return str(value)
    return table["x"] if len(table) == 1 else str(value)  # else a line break began another key


def _unquoted(text: _Text) -> str:
    """`"a b"` in quotes is `a b`, as in TOML; anything else stands for itself."""
    parsed = _parse(text) if text[:1] in ("'", '"') else text
    return parsed if isinstance(parsed, str) else str(text)


def _choice(options: tuple[Any, ...], value: Any) -> Any:
    for option in options:
        same = value == option and type(value) is type(option)
        if same or (isinstance(value, _Text) and _unquoted(value) == str(option)):
            return option
    raise _Mismatch(f"one of {', '.join(map(repr, options))}")


def _scalar(hint: Any, value: Any) -> Any:
    if hint in (int, float):
        return _number(hint, value)
    if isinstance(value, _Text):
        truth = {"true": True, "false": False}
        value = truth.get(value.lower()) if hint is bool else _unquoted(value)
    wanted, noun = _SCALARS[hint]
    if not isinstance(value, wanted):
        raise _Mismatch(noun)
    return hint(value)


_SCALARS: dict[Any, tuple[Any, str]] = {
    str: (str, "text"),
    Path: (str | Path, "a path"),
    bool: (bool, "true or false"),
}


def _number(hint: type[int] | type[float], value: Any) -> int | float:
    """A number; a float without a fraction (`1e6`) will do for an int, and text for either."""
    noun = "a whole number" if hint is int else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float | _Text):
        raise _Mismatch(noun)
    for read in (int, float):
        try:
            number = value if not isinstance(value, _Text) else read(value)
            if hint(number) == number or hint is float:
                return hint(number)
        except (ValueError, OverflowError):  # not a number; or int() of inf or nan
            continue
    raise _Mismatch(noun)
