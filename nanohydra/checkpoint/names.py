"""What a person calls a model: a folder, a run, or a name at the hub; and where its things go.

Reads no file of a model and reaches no network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest

CONFIG = "config.json"
MODEL = "model"  # folder of the weights in the folder of a run
RUNS = Path("runs")
HUB_URLS = ("https://huggingface.co/", "hf://")
HUB_NAME = re.compile(
    r"(?P<owner>\w[\w.-]*)/(?P<name>\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII
)
SNAPSHOT = re.compile(r"models--(?P<owner>.+?)--(?P<name>.+)")  # as the hub's cache is laid out


@dataclass(frozen=True)
class HubName:
    """`owner/name`, at a branch, tag or commit; None is the hub's default branch."""

    owner: str
    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def run(self) -> Path:
        """The folder that keeps what belongs to the model and is not the hub's."""
        return RUNS / f"{self.owner}--{self.name}"


def named(text: str | Path, revision: str | None = None) -> HubName | Path:
    """What is meant: an existing path always wins, and a `Path` is never a hub name.

    Where a folder of the owner's name is here, `owner/name` means a path in it; `hf://owner/name`
    still means the hub. Raises UserError for two different revisions.
    """
    path = Path(text).expanduser()
    if isinstance(text, Path) or path.exists():
        return path
    short = text
    for url in HUB_URLS:
        short = short.removeprefix(url)
    found = HUB_NAME.fullmatch(short)
    if not found or (short == text and (found["owner"] == RUNS.name or path.parent.is_dir())):
        return path
    if revision and found["revision"] and revision != found["revision"]:
        raise UserError(f"{text!r} and --revision {revision!r} name two revisions; give one")
    return HubName(found["owner"], found["name"], revision or found["revision"])


def local_model(path: Path) -> Path:
    """The model's folder: the path itself, or `model` in a run. Raises UserError."""
    for folder in (path, path / MODEL):
        if (folder / CONFIG).is_file():
            return folder
    if path.is_dir():
        raise UserError(f"there is no model in {path}; `nanohydra speedrun` makes one")
    if path.exists():
        raise UserError(f"{path} is a file; give the folder that holds the model")
    raise UserError(
        f"there is no model in {path}{_near(path)}; `nanohydra speedrun` makes one, and at the hub "
        "models are called OWNER/NAME, as in Qwen/Qwen3-0.6B"
    )


def hub_name_of(folder: Path) -> HubName | None:
    """The hub's name for a folder in its cache; None for any other folder."""
    parts = folder.absolute().parts
    if len(parts) < 3 or parts[-2] != "snapshots":
        return None
    found = SNAPSHOT.fullmatch(parts[-3])
    return HubName(found["owner"], found["name"], parts[-1]) if found else None


def run_of(model: Path) -> Path:
    """The folder that keeps what belongs to a model: its run, or a place in `runs/` for the hub's.

    The hub's cache is others' as well, and may be emptied.
    """
    if name := hub_name_of(model):
        return name.run
    return model.parent if model.name == MODEL else model


def title_of(model: Path) -> str:
    """What people call the model of this folder."""
    name = hub_name_of(model)
    return str(name) if name else run_of(model).resolve().name


def _near(path: Path) -> str:
    """A hint at a folder beside it with almost the same name."""
    if not path.parent.is_dir():
        return ""
    hint = suggest(path.name, (p.name for p in path.parent.iterdir() if p.is_dir()))
    return f", {hint.rstrip('?')}?" if hint.startswith("did you mean") else ""
