"""SentencePiece's `tokenizer.model` as a tokenizer of the `tokenizers` library, with the same ids.

Reads the file's protocol buffer itself, which takes fewer lines than a dependency. BPE merges are
not in the file: they follow from the pieces and their scores.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, processors
from tokenizers import Tokenizer as Backend

from nanohydra.core.errors import UserError
from nanohydra.tokenizer.files import TokenizerFiles
from nanohydra.tokenizer.pieces import SPACE


class Type(IntEnum):
    """What a piece is, in SentencePiece's numbers."""

    NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


UNIGRAM, BPE, WORD, CHARACTER = range(1, 5)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """An entry of the vocabulary; its id is its place."""

    text: str
    score: float
    type: Type = Type.NORMAL


@dataclass(frozen=True, kw_only=True)
class Spec:
    """How a SentencePiece model cuts text; the defaults are those of the file format.

    charsmap: its compiled normalization rules. bos_id, eos_id, pad_id: below 0 if it has none.
    """

    pieces: tuple[Piece, ...]
    kind: int = UNIGRAM
    byte_fallback: bool = False
    charsmap: bytes = b""
    dummy_prefix: bool = True
    remove_extra_spaces: bool = True
    escape_spaces: bool = True
    bos_id: int = 1
    eos_id: int = 2
    pad_id: int = -1


def read_model(path: Path, files: TokenizerFiles) -> tuple[Backend, TokenizerFiles]:
    """The tokenizer of a `tokenizer.model`, and the files beside it with what they lack.

    Raises UserError for a file that is damaged, or of a kind that language models do not use.
    """
    try:
        spec = _read_spec(path.read_bytes())
    except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged or not a SentencePiece model: {error}") from error
    if not spec.pieces or spec.kind == WORD:
        what = "has no pieces" if not spec.pieces else "is a model of whole words"
        raise UserError(f"{path} {what}; a model of kind BPE, unigram or characters is needed")
    return make(spec, files)


def make(spec: Spec, files: TokenizerFiles) -> tuple[Backend, TokenizerFiles]:
    """A tokenizer with the ids of the pieces' places, and its configuration."""
    backend = Backend(_model(spec))
    steps: list[Any] = [normalizers.Precompiled(spec.charsmap)] if spec.charsmap else []
    if spec.remove_extra_spaces:
        steps += [
            normalizers.Replace(Regex(r"\A +| +\z"), ""),
            normalizers.Replace(Regex(" +"), " "),
        ]
    if spec.dummy_prefix:
        steps.append(normalizers.Prepend(SPACE if spec.escape_spaces else " "))
    if spec.escape_spaces:
        steps.append(normalizers.Replace(" ", SPACE))
    backend.normalizer = normalizers.Sequence(steps)
    backend.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        + ([decoders.Strip(" ", 1, 0)] if spec.dummy_prefix else [])
    )
    marks = {p.text: p.type in (Type.CONTROL, Type.UNKNOWN) for p in spec.pieces}
    wanted = (Type.CONTROL, Type.UNKNOWN, Type.USER_DEFINED)
    for piece in spec.pieces:
        if piece.type in wanted:
            token = AddedToken(piece.text, special=marks[piece.text], normalized=False)
            backend.add_special_tokens([token]) if token.special else backend.add_tokens([token])
    named = _named(spec)
    config = {**named, **files.config, "tokenizer_class": "PreTrainedTokenizerFast"}
    config.setdefault("add_bos_token", "bos_token" in named)
    files = replace(files, config=config)
    bos = files.named_tokens.get("bos_token")
    if config["add_bos_token"] and bos is not None and (id := backend.token_to_id(bos)) is not None:
        backend.post_processor = processors.TemplateProcessing(
            single=[bos, "$A"], pair=[bos, "$A", bos, "$B"], special_tokens=[(bos, id)]
        )
    return backend, files


def _named(spec: Spec) -> dict[str, str]:
    ids = {"bos_token": spec.bos_id, "eos_token": spec.eos_id, "pad_token": spec.pad_id}
    found = {
        name: spec.pieces[id].text
        for name, id in ids.items()
        if 0 <= id < len(spec.pieces) and spec.pieces[id].type is Type.CONTROL
    }
    unknown = next((p.text for p in spec.pieces if p.type is Type.UNKNOWN), None)
    return found if unknown is None else {**found, "unk_token": unknown}


def _model(spec: Spec) -> models.Model:
    unknown = next((n for n, p in enumerate(spec.pieces) if p.type is Type.UNKNOWN), None)
    if spec.kind == UNIGRAM:
        vocabulary = [(piece.text, piece.score) for piece in spec.pieces]
        return models.Unigram(vocabulary, unk_id=unknown, byte_fallback=spec.byte_fallback)
    return models.BPE(
        {piece.text: id for id, piece in enumerate(spec.pieces)},
        merges(spec.pieces) if spec.kind == BPE else [],
        unk_token=None if unknown is None else spec.pieces[unknown].text,
        fuse_unk=True,
        byte_fallback=spec.byte_fallback,
    )


def merges(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """Every pair of pieces that joins to a piece, the one with the best score first."""
    scores = {p.text: p.score for p in pieces if p.type is Type.NORMAL}
    pairs = [
        (-scores[whole], len(whole), whole[:cut], whole[cut:])
        for whole in scores
        for cut in range(1, len(whole))
        if whole[:cut] in scores and whole[cut:] in scores
    ]
    return [(left, right) for _, _, left, right in sorted(pairs)]


def _read_spec(data: bytes) -> Spec:
    """ModelProto: pieces in 1, trainer_spec in 2, normalizer_spec in 3."""
    pieces: list[Piece] = []
    spec = Spec(pieces=())
    for field, value in _fields(data):
        if field == 1:
            about = dict(_fields(value))
            text, type = bytes(about[1]).decode(), Type(about.get(3, Type.NORMAL))
            pieces.append(Piece(text=text, score=about.get(2, 0.0), type=type))
        elif field == 2:
            about = dict(_fields(value))
            if about.get(24):
                raise UserError("SentencePiece models with spaces behind words are not supported")
            spec = replace(
                spec,
                kind=about.get(3, spec.kind),
                byte_fallback=bool(about.get(35, False)),
                bos_id=_signed(about.get(41, spec.bos_id)),
                eos_id=_signed(about.get(42, spec.eos_id)),
                pad_id=_signed(about.get(43, spec.pad_id)),
            )
        elif field == 3:
            about = dict(_fields(value))
            spec = replace(
                spec,
                charsmap=bytes(about.get(2, b"")),
                dummy_prefix=bool(about.get(3, True)),
                remove_extra_spaces=bool(about.get(4, True)),
                escape_spaces=bool(about.get(5, True)),
            )
    return replace(spec, pieces=tuple(pieces))


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a protocol buffer's fields: integers, floats and bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(data, place)
            yield field, value
        elif wire == 2:
            size, place = _varint(data, place)
            if place + size > len(data):
                raise ValueError("it ends in the middle of a field")
            yield field, data[place : place + size]
            place += size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            yield field, struct.unpack_from("<d" if wire == 1 else "<f", data, place)[0]
            place += size
        else:
            raise ValueError(f"a field of wire type {wire}")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number is too long")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
