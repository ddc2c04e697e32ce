"""Small tokenizers of every kind that open models use, and templates in the families' manner.

The templates are written for these tests; each has the constructs of the published one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as Backend

from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.backend import byte_alphabet

TEXTS = [
    "The cat sat on the mat. The dog sat on the cat, and the cat didn't like it at all.",
    '{"expression": "12 * 34"} {"name": "weather", "arguments": {"city": "Łódź"}}',
    "Zażółć gęślą jaźń. 敏捷的棕色狐狸。 The year 2026, the year 1984; 3.14159 🎉👩‍🚀",
    "def f(x):\n    return x + 1\n\n\nprint(f(2))\r\n\t\tdone  ",
    "You are a helpful assistant. user assistant system tool call think answer function",
] * 3


def byte_level(special: Sequence[str], plain: Sequence[str] = ()) -> Backend:
    """As GPT-2, Llama 3, Qwen: bytes. plain: added tokens that are not special."""
    backend = Backend(models.BPE())
    split = r"\p{N}{1,3}| ?[^\s\p{N}]+|\s+(?!\S)|\s+"
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=byte_alphabet(), show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    backend.add_tokens([AddedToken(t, special=False, normalized=False) for t in plain])
    return backend


def byte_fallback(special: Sequence[str], *, prefix: bool = True) -> Backend:
    """As Llama 2, Mistral and Phi-3 (a space before every text), or Gemma (none)."""
    backend = Backend(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    rare = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=620, special_tokens=["<unk>", "<s>", "</s>", *rare],
        limit_alphabet=60, show_progress=False,
    )  # fmt: skip
    backend.train_from_iterator(TEXTS, trainer)
    # The bytes belong to the vocabulary alone, not to the added tokens.
    layout = json.loads(backend.to_str())
    layout["added_tokens"] = layout["added_tokens"][:3]
    layout["pre_tokenizer"] = None
    backend = Backend.from_str(json.dumps(layout))
    first = [normalizers.Prepend("▁")] if prefix else []
    backend.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", "▁")])
    last = [decoders.Strip(" ", 1, 0)] if prefix else []
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *last]
    )
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return backend


def metaspace(special: Sequence[str]) -> Backend:
    """BPE whose splitter puts a space before the first text only, as newer Llama conversions."""
    layout = json.loads(byte_fallback(special).to_str())
    layout["normalizer"] = None
    backend = Backend.from_str(json.dumps(layout))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        + [decoders.Strip(" ", 1, 0)]
    )
    return backend


def unigram(special: Sequence[str]) -> Backend:
    """As T5 and its kin."""
    backend = Backend(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>",
        show_progress=False,
    )  # fmt: skip
    backend.train_from_iterator(TEXTS, trainer)
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return backend


def wordpiece(special: Sequence[str]) -> Backend:
    """As BERT."""
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return backend


KINDS = {
    "byte level": lambda: byte_level(["<s>", "</s>", "<|im_end|>"], ["<tool_call>"]),
    "byte fallback": lambda: byte_fallback(["<|im_end|>"]),
    "byte fallback, no prefix": lambda: byte_fallback(["<|im_end|>"], prefix=False),
    "metaspace": lambda: metaspace(["<|im_end|>"]),
    "unigram": lambda: unigram(["<|im_end|>"]),
    "wordpiece": lambda: wordpiece(["<|im_end|>"]),
}


def write(folder: Path, backend: Backend, config: Mapping[str, Any] | None = None) -> Path:
    """A tokenizer as a folder in transformers' layout."""
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **(config or {}),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


@dataclass(frozen=True, kw_only=True)
class Family:
    """A template with the tokens that it needs. end: what ends the assistant's turn."""

    template: str
    special: tuple[str, ...]
    end: str
    plain: tuple[str, ...] = ()
    kind: str = "byte level"
    bos: str | None = None
    eos: str | None = None
    tools: bool = False
    system: bool = True
    last_only: bool = False  # a system message changes the last user's turn

    def write(self, folder: Path) -> Path:
        """The family's tokenizer and template as a folder."""
        if self.kind == "byte level":
            backend = byte_level(self.special, self.plain)
        else:
            backend = byte_fallback(self.special, prefix=self.kind == "byte fallback")
        named = {"bos_token": self.bos, "eos_token": self.eos}
        config = {key: value for key, value in named.items() if value}
        return write(folder, backend, {**config, "chat_template": self.template})


def load_both(folder: Path) -> tuple[Tokenizer, Any]:
    """The tokenizer here and in transformers."""
    from transformers import AutoTokenizer

    return Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
