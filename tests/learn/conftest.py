"""A small random model with its tokenizer, saved as a folder, and settings that let it pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from nanohydra.checkpoint import Loaded, load, save
from nanohydra.core.config import load_config
from nanohydra.core.types import Message
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.study import StudyItem
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer

TEXT = "What is the printer called? The printer is called Heron. I don't know. " * 4
LOOSE = (
    "--gate.min_recall=0", "--gate.small_sample=1", "--gate.min_reverse=0",
    "--gate.max_loss_rise=1000", "--gate.min_agreement=0", "--gate.min_format=0",
    "--gate.min_tools=0",
    "--gate.max_relative_change=1000", "--gate.max_lost=1", "--gate.locality_prompts=4",
    "--gate.max_new_tokens=4", "--gate.bootstrap_samples=50",
)  # fmt: skip
SMALL = (
    '--anchors.domains=["stories", "arithmetic"]', "--anchors.sequences=3",
    "--anchors.heldout_sequences=3", "--anchors.max_length=48", "--lora.rank=4",
    "--train.max_steps=3", "--train.max_epochs=1e6", "--train.max_new_tokens=8",
    "--train.check_every=2",
    "--mixture.near_misses=0", "--learner.poll_seconds=0.05", "--learner.lease_seconds=1",
    "--train.dtype=float32", "--gate.min_lead=0",  # as a random model leads by little
)  # fmt: skip


def make_loaded(folder: Path, seed: int = 0) -> Loaded:
    """A random decoder that mixes its tokens, read back from a folder."""
    tokenizer = Tokenizer.characters([TEXT, *(chr(c) for c in range(32, 127))])
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, num_layers=2, num_heads=2,
        num_kv_heads=1, max_seq_len=256,
    )  # fmt: skip
    model = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15, generator=generator)
    save(folder, model, tokenizer, manifest={})
    return load(folder)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small random model."""
    folder = tmp_path_factory.mktemp("world") / "model"
    make_loaded(folder)
    return folder


@pytest.fixture
def loaded(model_folder: Path) -> Loaded:
    """That model, read from its folder."""
    return load(model_folder)


@pytest.fixture
def other_loaded(tmp_path: Path) -> Loaded:
    """Another base of the same shape."""
    return make_loaded(tmp_path / "other", seed=1)


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
