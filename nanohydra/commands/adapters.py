"""List the versions that a model has learned, show, activate, roll back or remove them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import tyro

from nanohydra.commands.learn import shown
from nanohydra.commands.options import Options, parse
from nanohydra.commands.reach import reach
from nanohydra.core.errors import UserError
from nanohydra.core.log import console, summary_table
from nanohydra.core.registry import suggest
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class AdaptersOptions(Options):
    """Options of `nanohydra adapters`."""

    action: tyro.conf.Positional[Literal["list", "show", "activate", "rollback", "remove"]] = "list"
    """What to do."""
    versions: tyro.conf.Positional[tuple[str, ...]] = ()
    """The versions meant, or the beginnings of their names; activate: the newest first."""
    alias: str = "default"
    """activate, rollback: the name that is changed."""
    json: bool = False
    """list, show: as JSON, for programs."""
    server: str = "http://127.0.0.1:8000"
    """The running server that learns."""
    model: str | None = None
    """Folder of a model or of its run, or its name at the hub, instead of a server."""
    api_key: str = ""
    """Key of the server."""


def main(words: list[str]) -> None:
    """Run `nanohydra adapters`."""
    call = parse(AdaptersOptions, words, prog="adapters", description=__doc__)
    run(call.options, call.recipe)


def run(options: AdaptersOptions, recipe: Recipe) -> None:
    """Do what is asked, and print what is then there."""
    check(options)
    with reach(options.server, options.model, options.api_key) as learned:
        found = learned.adapters()
        named = [find(found["data"], version) for version in options.versions]
        ids = [str(version["version"]) for version in named]
        if options.action == "activate":
            learned.activate(options.alias, ids)
        elif options.action == "rollback":
            learned.rollback(options.alias)
        elif options.action == "remove":
            for id in ids:
                learned.remove(id)
        if options.action == "show":
            return show(named[0], as_json=options.json)
        found = learned.adapters()
    if options.json:
        console().print_json(json.dumps(found))
    else:
        print_table(found)


def check(options: AdaptersOptions) -> None:
    """Raise UserError for an action without what it needs, before anything is asked."""
    count, action = len(options.versions), options.action
    if action == "show" and count != 1:
        raise UserError("show takes one version: nanohydra adapters show 3f2a")
    if action == "remove" and not count:
        raise UserError("remove takes at least one version: nanohydra adapters remove 3f2a")
    if action in ("list", "rollback") and count:
        raise UserError(f"{action} takes no version such as {options.versions[0]!r}")


def find(versions: list[dict[str, Any]], start: str) -> dict[str, Any]:
    """The one version whose name begins so. Raises UserError for none and for several."""
    found = [version for version in versions if str(version["version"]).startswith(start)]
    if len(found) != 1:
        names = [str(version["version"]) for version in versions]
        if found:
            raise UserError(f"{start!r} fits {len(found)} versions; give more of the name")
        raise UserError(f"unknown version {start!r}; {suggest(start, names)}")
    return found[0]


def show(version: Mapping[str, Any], *, as_json: bool) -> None:
    """One version with what its test found."""
    if as_json:
        console().print_json(json.dumps(version))
        return
    rows: dict[str, object] = {
        "alias": version["alias"] or "",
        "live": "yes" if version["live"] else "no",
        "created": when(version["created"]),
        "size": f"{version['bytes'] / 1024:.0f} kB",
        "lessons": ", ".join(version["lessons"]),
        "parents": ", ".join(version["parents"]),
    }
    rows |= {name: shown(check) for name, check in (version["gate"] or {}).items()}
    summary_table(f"version {version['version']}", rows)


def print_table(found: Mapping[str, Any]) -> None:
    """All versions, and what each alias means."""
    rows = [("version", "alias", "live", "created", "size", "lessons")]
    rows += [
        (
            str(version["version"]),
            version["alias"] or "",
            "live" if version["live"] else "",
            when(version["created"]),
            f"{version['bytes'] / 1024:.0f} kB",
            str(len(version["lessons"])),
        )
        for version in found["data"]
    ]
    if len(rows) > 1:
        summary_table("versions, the latest first", rows)
    meant = {
        str(alias["name"]): ", ".join(alias["versions"]) or "the base" for alias in found["aliases"]
    }
    if meant:
        summary_table("aliases", meant)
    if len(rows) == 1 and not meant:
        console().print("no versions yet; the base answers")


def when(seconds: float) -> str:
    """A time as people read it."""
    return f"{datetime.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
