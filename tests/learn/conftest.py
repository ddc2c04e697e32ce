"""The small random model, saved as a folder, and settings that let it pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from nanohydra.adapters.bank import Bank
from nanohydra.checkpoint import Loaded, load
from nanohydra.core.config import load_config
from nanohydra.core.types import Message
from nanohydra.learn import learner
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.home import Home
from nanohydra.learn.store import LearningStore
from nanohydra.learn.study import StudyItem
from nanohydra.testing_models import LOOSE, SMALL, random_model
from tests.learn.learning import GateHere, World, work


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small random model."""
    folder = tmp_path_factory.mktemp("world") / "model"
    random_model(folder)
    return folder


@pytest.fixture
def loaded(model_folder: Path) -> Loaded:
    """That model, read from its folder."""
    return load(model_folder)


@pytest.fixture
def other_loaded(tmp_path: Path) -> Loaded:
    """Another base of the same shape."""
    return random_model(tmp_path / "other", seed=1)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The learner's one thread, and afterwards as many as there were."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def settings() -> Callable[..., LearnConfig]:
    """Makes settings for the small model, with limits that any version meets."""

    def make(*words: str, loose: bool = True) -> LearnConfig:
        return load_config(LearnConfig, None, [*SMALL, *(LOOSE if loose else ()), *words])

    return make


@pytest.fixture
def make_item() -> Callable[..., StudyItem]:
    """Makes a study item."""
    return item


@pytest.fixture
def lesson_items() -> Callable[..., tuple[StudyItem, ...]]:
    """Makes the items of one lesson that is asked once in each split."""
    return items


@pytest.fixture
def gate_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "GateProcess", GateHere)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LearningStore]:
    with LearningStore(Home(tmp_path).database) as opened:
        yield opened


@pytest.fixture
def learn(
    gate_here: None, tmp_path: Path, model_folder: Path, settings: Callable[..., LearnConfig]
) -> Callable[..., int]:
    """Works through the queue with these settings; the number of jobs done."""
    return lambda *words: work(tmp_path, model_folder, settings(*words))


@pytest.fixture
def bank(store: LearningStore, tmp_path: Path) -> Bank:
    return Bank(Home(tmp_path).bank)


@pytest.fixture
def world(
    tmp_path: Path,
    model_folder: Path,
    loaded: Loaded,
    settings: Callable[..., LearnConfig],
    one_thread: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    monkeypatch.setattr(learner, "GateProcess", GateHere)
    made = World(tmp_path / "learning", model_folder, loaded, settings())
    yield made
    made.service.close()


def item(
    question: str,
    answer: str,
    accept: str,
    *,
    split: str = "train",
    kind: str = "qa",
    lesson: str = "lesson-1",
) -> StudyItem:
    return StudyItem(
        lesson_id=lesson,
        kind=kind,  # type: ignore[arg-type]
        messages=(Message(role="user", content=question),),
        answer=answer,
        split=split,  # type: ignore[arg-type]
        family=f"{split}-{kind}",
        accept=(accept,),
    )  # fmt: skip


def items(splits: Sequence[str] = ("train", "dev", "test")) -> tuple[StudyItem, ...]:
    """One lesson asked in each split."""
    asked = {
        "train": "What is the printer called?",
        "dev": "Say, what is the printer called?",
        "test": "How is the printer called?",
    }
    return tuple(item(asked[s], "Heron", "Heron", split=s) for s in splits)
