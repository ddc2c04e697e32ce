"""The learning loop on models from elsewhere: their own tokenizers, templates and stop ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nanohydra.adapters.bank import Bank
from nanohydra.checkpoint import load
from nanohydra.core.errors import UserError
from nanohydra.core.types import Document
from nanohydra.learn.config import LearnConfig
from nanohydra.learn.gate import Gate
from nanohydra.learn.samples import encode_item, encode_record
from nanohydra.learn.store import LearningStore
from tests.learn.learning import submit, work
from tests.tokenizer.families import FAMILIES
from tests.tokenizer.foreign import byte_fallback, write

transformers = pytest.importorskip("transformers")


def open_model(folder: Path, name: str) -> Path:
    """A random model that transformers wrote, with a family's tokenizer and template."""
    if name == "plain":
        write(folder, byte_fallback([]), {"bos_token": "<s>", "eos_token": "</s>"})
    else:
        FAMILIES[name].write(folder)
    size = len(transformers.AutoTokenizer.from_pretrained(folder))
    config = transformers.Qwen3Config(
        vocab_size=size + 7, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=512,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


TOOLLESS = ('--anchors.domains=["stories", "general"]',)  # Gemma's template refuses tool results


@pytest.mark.parametrize(
    ("name", "words"), [("qwen3", ()), ("gemma", TOOLLESS), ("mistral", ()), ("plain", ())]
)
def test_a_lesson_becomes_a_live_version(
    name: str,
    words: tuple[str, ...],
    tmp_path: Path,
    store: LearningStore,
    bank: Bank,
    gate_here: None,
    settings: Callable[..., LearnConfig],
) -> None:
    folder = open_model(tmp_path / "open", name)
    job = submit(store)
    assert work(tmp_path, folder, settings(*words)) == 1
    done = store.job(job)
    assert done.state == "live" and done.version in bank.alias("default").versions
    assert set(done.gate) >= {"recall", "locality", "forgetting/stories", "reverse"}


@pytest.mark.parametrize("name", ["qwen3", "gemma", "plain"])
def test_samples_are_what_the_model_reads_and_has_to_say(
    name: str, tmp_path: Path, make_item: Callable[..., object]
) -> None:
    tokenizer = load(open_model(tmp_path / "open", name)).tokenizer
    item = make_item("Who sat on the mat?", "The cat.", "cat")
    sample = encode_item(tokenizer, item, 200)  # type: ignore[arg-type]
    learned = [id for id, on in zip(sample.ids, sample.mask, strict=True) if on]
    assert learned[-1] in tokenizer.chat.end_ids
    assert tokenizer.decode(learned).strip() == "The cat."
    cut = encode_item(tokenizer, item, 12)  # type: ignore[arg-type]
    assert len(cut.ids) == 12 and cut.ids[-len(learned) :] == tuple(learned)
    assert cut.ids[: len(tokenizer.prefix_ids)] == tokenizer.prefix_ids
    text = encode_record(tokenizer, Document(text="the cat sat"), 50)
    assert text.ids == (*tokenizer.prefix_ids, *tokenizer.encode("the cat sat"))


def test_anchors_that_the_template_refuses_are_named(
    tmp_path: Path, settings: Callable[..., LearnConfig]
) -> None:
    loaded = load(open_model(tmp_path / "open", "gemma"))
    with pytest.raises(UserError, match="'arithmetic' has no records that the model's chat format"):
        Gate(loaded, settings())
