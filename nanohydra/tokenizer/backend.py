"""How the `tokenizers` library is set up and read: splitting, training, token bytes.

Knows nothing of chat. The splitting rule is GPT-4's with every digit apart, in the spelling of
Qwen2, so that other runtimes recognise it (llama.cpp chooses its own code by this pattern).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from nanohydra.core.errors import UserError
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


def kind_of(backend: Backend, where: str) -> str:
    """Either "bpe" or "characters". Raises UserError for a file that is neither, naming `where`."""
    layout = json.loads(backend.to_str())
    if layout["model"].get("type") == "WordLevel":
        return "characters"
    splitter = layout.get("pre_tokenizer") or {}
    steps = [splitter, *splitter.get("pretokenizers", [])]
    if layout["model"].get("type") == "BPE" and any(s.get("type") == "ByteLevel" for s in steps):
        return "bpe"
    raise UserError(
        f"{where}: a {layout['model'].get('type')} tokenizer is not supported; "
        "byte-level BPE and single characters are"
    )


def token_bytes(backend: Backend, kind: str) -> list[bytes]:
    """What each id stands for; special tokens give their names. Index = id."""
    added = set(backend.get_added_tokens_decoder())
    to_byte = {character: byte for byte, character in enumerate(byte_alphabet())}
    names = {id: name for name, id in backend.get_vocab().items()}
    result = []
    for id in range(len(names)):
        name = names[id]
        plain = kind == "characters" or id in added
        result.append(name.encode() if plain else bytes(to_byte[c] for c in name))
    return result


def identity(backend: Backend) -> dict[str, Any]:
    """What decides the ids of a text, and nothing that a version of the library may rename."""
    layout = json.loads(backend.to_str())
    model = layout["model"]
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
