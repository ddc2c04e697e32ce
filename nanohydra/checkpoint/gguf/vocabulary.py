"""A tokenizer as llama.cpp reads it: byte-level BPE with its splitting by name, or SentencePiece's.

llama.cpp has its own code for both. What decides the ids is carried over where that code does the
same, and refused where it does not: ids that differ a little make a model a little stupid.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json
from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.files import TOKENIZER
from nanohydra.tokenizer.pieces import SPACE

GPT2 = "GPT-2's words"
DIGITS = "single digits"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+{end}|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*{end}|"
)
CASED_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# How a text is cut -> llama.cpp's name, without and with "ignore_merges".
SPLITS: Mapping[tuple[str, ...], tuple[str, str]] = {
    (GPT2,): ("gpt-2", ""),
    (DIGITS, GPT2): ("smollm", ""),
    (CONTRACTIONS + WORDS + r"\p{N}" + REST,): ("qwen2", ""),
    (CONTRACTIONS + WORDS + r"\p{N}{1,3}" + REST,): ("dbrx", "llama-bpe"),
    (CASED.replace("{end}", "") + r"\p{N}" + CASED_REST,): ("", "tekken"),
    (CASED.replace("{end}", CONTRACTIONS[:-1] + "?") + r"\p{N}{1,3}" + CASED_REST,): ("gpt-4o", ""),
}
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


class Kind(IntEnum):
    """What a token is, in GGUF's numbers."""

    NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Tokens by id. model: "gpt2" or "llama". pre: the name of the splitting.

    merges: "left right", for "gpt2". scores: for "llama", where higher merges first. space: whether
    a space goes before every text. notes: where llama.cpp's ids may differ.
    """

    model: str
    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[Kind, ...]
    merges: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    space: bool = False
    unknown: int | None = None
    notes: tuple[str, ...] = ()


def vocabulary_of(tokenizer: Tokenizer, size: int) -> Vocabulary:
    """The vocabulary, filled up with unused tokens to the model's size. Raises UserError."""
    with tempfile.TemporaryDirectory(prefix="nanohydra-") as folder:
        tokenizer.save(folder)
        layout = read_json(Path(folder) / TOKENIZER)
    model = layout["model"]
    if model.get("type", "BPE") != "BPE":
        raise UserError(
            f"a tokenizer of kind {tokenizer.kind!r} cannot be written to GGUF; byte-level BPE and "
            "SentencePiece's BPE can"
        )
    splits = list(_steps(layout.get("pre_tokenizer")))
    byte_level = any(step["type"] == "ByteLevel" for step in splits)
    tokens, kinds = _tokens(layout, size, byte_level=byte_level)
    unknown = model["vocab"].get(model.get("unk_token"))
    merges = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges", ())]
    if byte_level:
        return Vocabulary(
            model="gpt2", pre=_split_name(layout, splits), tokens=tokens, kinds=kinds,
            merges=tuple(merges), unknown=unknown,
        )  # fmt: skip
    if not model.get("byte_fallback"):
        raise UserError(
            "the tokenizer has no tokens for single bytes, without which llama.cpp cannot read "
            "every text"
        )
    ranks = {"".join(merge.split(" ")): -float(n) for n, merge in reversed([*enumerate(merges)])}
    return Vocabulary(
        model="llama", pre="default", tokens=tokens, kinds=kinds,
        scores=tuple(ranks.get(token, -1e4) for token in tokens),
        space=_space_before(layout, splits), unknown=unknown, notes=tuple(_notes(splits)),
    )  # fmt: skip


def _steps(step: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """The steps of a normalizer or splitter in tokenizer.json, sequences taken apart."""
    inner = (step or {}).get("normalizers", (step or {}).get("pretokenizers"))
    if inner is not None:
        for each in inner:
            yield from _steps(each)
    elif step:
        yield step


def _tokens(
    layout: Mapping[str, Any], size: int, *, byte_level: bool
) -> tuple[tuple[str, ...], tuple[Kind, ...]]:
    model = layout["model"]
    tokens = [f"[PAD{id}]" for id in range(size)]
    kinds = [Kind.UNUSED] * size
    for token, id in model["vocab"].items():
        tokens[id] = token
        kinds[id] = Kind.BYTE if not byte_level and BYTE.fullmatch(token) else Kind.NORMAL
    for added in layout["added_tokens"]:
        id, token = added["id"], added["content"]
        kinds[id] = Kind.CONTROL if added["special"] else Kind.USER_DEFINED
        # llama.cpp looks for these in the text as it is written, spaces not replaced yet.
        tokens[id] = token if added["special"] else token.replace(SPACE, " ")
    if not byte_level and (unknown := model["vocab"].get(model.get("unk_token"))) is not None:
        kinds[unknown] = Kind.UNKNOWN
    return tuple(tokens), tuple(kinds)


def _split_name(layout: Mapping[str, Any], splits: Sequence[Mapping[str, Any]]) -> str:
    """llama.cpp's name for how a text is cut into words before merging."""
    normalizers = [step["type"] for step in _steps(layout.get("normalizer"))]
    found = tuple(_words(splits))
    names = SPLITS.get(found)
    if names is None or not set(normalizers) <= {"NFC"}:
        what = " ".join([*normalizers, *found])
        raise UserError(f"llama.cpp has no name for how this tokenizer cuts a text: {what}")
    plain, whole_words = names
    return (whole_words or plain) if layout["model"].get("ignore_merges") else plain or whole_words


def _words(splits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for step in splits:
        if step["type"] == "Split" and step["behavior"] == "Isolated" and not step["invert"]:
            pattern = step["pattern"].get("Regex", str(step["pattern"]))
            yield DIGITS if pattern == r"\p{N}" else pattern
        elif step["type"] == "Digits" and step["individual_digits"]:
            yield DIGITS
        elif step["type"] == "ByteLevel" and not step["add_prefix_space"]:
            yield from [GPT2] if step["use_regex"] else []
        else:
            yield str(dict(step))


def _space_before(layout: Mapping[str, Any], splits: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a space goes before a text. Raises UserError for steps that llama.cpp lacks."""
    before = False
    for step in (*_steps(layout.get("normalizer")), *splits):
        if step["type"] == "Prepend" and step["prepend"] == SPACE:
            before = True
        elif step["type"] == "Metaspace" and step["replacement"] == SPACE:
            before = before or step.get("prepend_scheme", "always") != "never"
        elif not _replaces_spaces(step):
            raise UserError(f"llama.cpp cannot prepare a text as this tokenizer does: {dict(step)}")
    return before


def _notes(splits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for step in splits:
        if step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never":
            yield "llama.cpp puts a space also before a text that begins with one, unlike here"


def _replaces_spaces(step: Mapping[str, Any]) -> bool:
    """Whether a step only marks spaces, or cuts where no token goes on anyway."""
    pattern = step.get("pattern", {}).get("String")
    if step["type"] == "Replace":
        return bool(pattern == " " and step["content"] == SPACE)
    return bool(step["type"] == "Split" and pattern == " ")
