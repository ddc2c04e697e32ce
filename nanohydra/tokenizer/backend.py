"""How the `tokenizers` library is set up and read: splitting, training, token bytes.

Knows nothing of chat. The splitting rule is GPT-4's with every digit apart, in the spelling of
Qwen2, so that other runtimes recognise it (llama.cpp chooses its own code by this pattern).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from nanohydra.tokenizer.special import SPECIAL_TOKENS

SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte in byte-level vocabularies (GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def train_bpe(texts: Iterable[str], vocab_size: int) -> Backend:
    """Byte-level BPE. A small corpus can run out of pairs to merge before `vocab_size`."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=byte_alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def collect_characters(texts: Iterable[str]) -> Backend:
    """One token per character that occurs, in code point order, after the special tokens."""
    seen: set[str] = set()
    for text in texts:
        seen.update(text)
    vocabulary = {name: id for id, name in enumerate((*SPECIAL_TOKENS, *sorted(seen)))}
    # Without an unknown token the library raises on a foreign character instead of dropping it.
    backend = Backend(models.WordLevel(vocabulary, unk_token="<none>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    return backend


def read_gpt2(vocabulary: Path, merges: Path) -> Backend:
    """The byte-level BPE of GPT-2's two files, which has no file of its own for splitting."""
    backend = Backend(models.BPE.from_file(str(vocabulary), str(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend


def kind_of(backend: Backend, *, native: bool) -> str:
    """What the file calls its model, in lower case; "characters" for those made here."""
    name = type(backend.model).__name__.lower()
    return "characters" if native and name == "wordlevel" else name


def identity(backend: Backend, *, native: bool) -> dict[str, Any]:
    """What decides the ids of a text, and nothing that a version of the library may rename.

    For a vocabulary from elsewhere also whatever else its file says of normalizing and splitting.
    """
    layout = json.loads(backend.to_str())
    model = layout["model"]
    if not native:
        return {
            "model": {key: value for key, value in model.items() if key != "dropout"},
            "added": layout["added_tokens"],
            "normalizer": layout.get("normalizer"),
            "pre_tokenizer": layout.get("pre_tokenizer"),
        }
    pattern = [
        step.get("pattern")
        for step in (layout["pre_tokenizer"] or {}).get("pretokenizers", [layout["pre_tokenizer"]])
    ]
    return {
        "type": model["type"],
        "vocab": model["vocab"],
        "merges": model.get("merges", []),
        "special": [token["content"] for token in layout["added_tokens"]],
        "pattern": pattern,
    }
