"""The bank: immutable versions of adapters on disk, and aliases that point at sets of them.

    VERSION/            an adapter's folder (files.py), named by what is in it
    aliases/NAME.json   which versions are live, which were before, and every change
    owners/OWNER/       the same of another owner than the default one

Any number of processes may use one bank at once. Readers need no lock, because whatever they can
see is complete; writers take turns. Knows nothing of models, lessons or why a version is good.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from nanohydra.adapters.aliases import (
    AliasState,
    Change,
    Versions,
    alias_path,
    read_alias,
    write_alias,
)
from nanohydra.adapters.files import load_adapter, save_adapter
from nanohydra.adapters.lock import locked
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.checkpoint.manifest import read_manifest, verify_files
from nanohydra.core.errors import UserError
from nanohydra.core.owners import NAME, OWNER, check_owner
from nanohydra.model import ModelConfig

VERSION = re.compile(r"[0-9a-f]{16}")
PREFIX = re.compile(r"[0-9a-f]{4,16}")
UNFINISHED = re.compile(r"\.[0-9a-f]{8}\..+")  # as core.files.atomic_path names its work


@dataclass(frozen=True, kw_only=True)
class VersionInfo:
    """One version, without its tensors.

    created: seconds since 1970. bytes: on disk. base: the hash of the base it is for. manifest:
    all of manifest.json. problem: why it could not be read, else empty.
    """

    id: str
    created: float = 0.0
    bytes: int = 0
    base: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


class Bank:
    """A folder of versions and aliases. It is made when something is first written.

    It belongs to one owner, and holds the banks of the others, which have nothing in common.
    """

    owner = OWNER

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._aliases = self.folder / "aliases"
        self._owned = self.folder / "owners"
        self._all = self.folder  # of the default owner, which holds this one
        self._others: dict[str, Bank] = {}
        self._read: dict[str, tuple[object, AliasState]] = {}  # what a file's stamp stood for

    def of(self, owner: str) -> Bank:
        """The bank of an owner; this one itself is its owner's. Raises UserError for a bad name."""
        if owner == self.owner:
            return self
        assert self.owner == OWNER, "banks of others are held by the default owner's"
        if owner not in self._others:
            made = Bank(self._owned / check_owner(owner))
            made.owner, made._all = owner, self._all
            self._others.setdefault(owner, made)
        return self._others[owner]

    def owners(self) -> tuple[str, ...]:
        """This bank's owner, then those that it holds a bank of, sorted."""
        paths = self._owned.iterdir() if self._owned.is_dir() else ()
        return (self.owner, *sorted(path.name for path in paths if NAME.fullmatch(path.name)))

    def may_read(self, path: Path) -> bool:
        """Whether a folder is not of another owner's bank."""
        path, folder = path.resolve(), self.folder.resolve()
        if path.is_relative_to(self._owned.resolve()):
            return False
        return path.is_relative_to(folder) or not path.is_relative_to(self._all.resolve())

    def publish(
        self, weights: AdapterWeights, model_config: ModelConfig, *, manifest: Mapping[str, Any]
    ) -> str:
        """Store a version and return its id. What is there already stays as it is.

        A process that is killed meanwhile leaves nothing that anyone sees, and its unfinished
        folder is removed by the next writer. Raises UserError as `save_adapter` does.
        """
        version = weights.id
        folder = self.folder / version
        with locked(self.folder) as alone:
            if alone:
                self._clear_unfinished()
            if not (folder.is_dir() and _is_intact(folder)):
                save_adapter(folder, weights, model_config, manifest=manifest)
        return version

    def load(
        self,
        version: str,
        *,
        model: nn.Module | None = None,
        config: ModelConfig | None = None,
        base: str | None = None,
    ) -> AdapterWeights:
        """The tensors of a version, verified; model, config and base as in `load_adapter`.

        Raises UserError for an unknown version, a damaged one, and one for another base.
        """
        version = self.resolve(version)
        with self._reading(version):
            weights = load_adapter(self.folder / version, model=model, config=config, base=base)
        if weights.id != version:
            raise UserError(f"{self.folder / version} holds the version {weights.id}: it was moved")
        return weights

    def path(self, version: str) -> Path:
        """The folder of a version, which PEFT and others can load."""
        return self.folder / self.resolve(version)

    def list(self) -> tuple[VersionInfo, ...]:
        """All versions, oldest first; a damaged one says what is wrong."""
        found = []
        for version in self._versions():
            try:
                found.append(self.info(version))
            except UserError as error:
                if (self.folder / version).is_dir():  # else another process has just removed it
                    found.append(VersionInfo(id=version, problem=str(error)))
        return tuple(sorted(found, key=lambda info: (info.created, info.id)))

    def info(self, version: str) -> VersionInfo:
        """One version. Raises UserError if it is unknown or its manifest cannot be read."""
        version = self.resolve(version)
        folder = self.folder / version
        with self._reading(version):
            manifest = read_manifest(folder)
            num_bytes = sum(path.stat().st_size for path in folder.iterdir())
        about = manifest.get("nanohydra", {})
        if "base" not in about:
            raise UserError(f"{folder} has no manifest of an adapter; publish the version again")
        return VersionInfo(
            id=version,
            created=float(about["created"]),
            bytes=num_bytes,
            base=about["base"],
            manifest=manifest,
        )

    def resolve(self, version: str) -> str:
        """The whole id for a unique beginning of at least 4 digits. Raises UserError."""
        if VERSION.fullmatch(version) and (self.folder / version).is_dir():
            return version
        found = [v for v in self._versions() if v.startswith(version)]
        if PREFIX.fullmatch(version) and len(found) == 1:
            return found[0]
        if PREFIX.fullmatch(version) and found:
            raise UserError(f"{version!r} begins {len(found)} versions: {', '.join(found)}")
        raise UserError(f"there is no version {version!r} in {self.folder}")

    def remove(self, version: str) -> None:
        """Delete a version for good. Raises UserError while an alias points at it."""
        with locked(self.folder) as alone:
            version = self.resolve(version)
            for name in self.aliases():
                if version in self.alias(name).versions:
                    raise UserError(
                        f"{version} is live as part of {name!r}; activate others or roll back first"
                    )
            # Out of sight in one step: a reader sees the whole version or none.
            hidden = self.folder / f".{secrets.token_hex(4)}.{version}"
            (self.folder / version).rename(hidden)
            shutil.rmtree(hidden)
            if alone:
                self._clear_unfinished()

    def aliases(self) -> tuple[str, ...]:
        """Names of all aliases, sorted."""
        paths = self._aliases.glob("*.json") if self._aliases.is_dir() else ()
        return tuple(sorted(path.stem for path in paths if not path.name.startswith(".")))

    def alias(self, name: str) -> AliasState:
        """What an alias points at; one that was never set points at the base alone.

        Asked for every request, so the file is read again only when it was replaced.
        """
        stamp = _stamp(alias_path(self._aliases, name))
        if self._read.get(name, (None, None))[0] != stamp or stamp is None:
            self._read[name] = stamp, read_alias(self._aliases, name)
        return self._read[name][1]

    def activate(
        self, alias: str, versions: Sequence[str], *, expected: Sequence[str] | None = None
    ) -> AliasState:
        """Point an alias at versions, newest first; none = the base alone.

        expected: what the alias points at as far as the caller knows; given, a change by someone
        else in between is refused instead of overwritten. Raises UserError for an unknown version
        and for one named twice.
        """
        with locked(self.folder):
            resolved: Versions = tuple(self.resolve(version) for version in versions)
            if len(set(resolved)) < len(resolved):
                raise UserError(f"a version is named twice: {', '.join(resolved)}")
            before = self.alias(alias)
            if expected is not None and before.versions != tuple(expected):
                raise UserError(
                    f"{alias!r} was changed meanwhile: it points at "
                    f"{', '.join(before.versions) or 'the base'}; look again and repeat"
                )
            after = before.activate(resolved)
            if after is not before:
                write_alias(self._aliases, after)
            return after

    def rollback(self, alias: str) -> AliasState:
        """Point an alias at what it pointed at before. Raises UserError if there is nothing."""
        with locked(self.folder):
            state = self.alias(alias).rollback(lambda v: (self.folder / v).is_dir())
            write_alias(self._aliases, state)
            return state

    def history(self, alias: str) -> tuple[Change, ...]:
        """Every change of an alias, oldest first."""
        return self.alias(alias).history

    @contextlib.contextmanager
    def _reading(self, version: str) -> Iterator[None]:
        """Say so if the version is removed by another process while it is read."""
        try:
            yield
        except FileNotFoundError:
            raise UserError(f"the version {version} was removed while it was read") from None

    def _versions(self) -> tuple[str, ...]:
        if not self.folder.is_dir():
            return ()
        return tuple(sorted(p.name for p in self.folder.iterdir() if VERSION.fullmatch(p.name)))

    def _clear_unfinished(self) -> None:
        """Remove what killed writers left; no one else writes while this one does."""
        for folder in (self.folder, self._aliases):
            for path in folder.iterdir() if folder.is_dir() else ():
                if UNFINISHED.fullmatch(path.name):
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _is_intact(folder: Path) -> bool:
    try:
        manifest = read_manifest(folder)
        verify_files(folder, manifest)
    except UserError:
        return False
    return bool(manifest)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What differs between a file and the one that replaces it; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
