"""The `tokenizer.bin` of llama2.c: pieces with scores, cut and merged as SentencePiece's BPE.

Layout, little endian: uint32 length of the longest piece; then for every id a float32 score, an
int32 length and that many bytes. The ids 0, 1 and 2 are unknown, begin and end of text.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from nanohydra.core.errors import UserError
from nanohydra.tokenizer.files import TokenizerFiles
from nanohydra.tokenizer.pieces import SPACE
from nanohydra.tokenizer.sentencepiece import BPE, Piece, Spec, Type, make
from nanohydra.tokenizer.tokenizer import Tokenizer

NAMES = ("<unk>", "<s>", "</s>")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def read_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.bin`, which `save` then writes as `tokenizer.json`.

    Raises UserError for a file that is missing, truncated or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        entries = _read(path.read_bytes())
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{path} is damaged or not a tokenizer of llama2.c: {error}") from error
    pieces = []
    for id, (text, score) in enumerate(entries):
        if id < len(NAMES):
            type = Type.UNKNOWN if id == 0 else Type.CONTROL
            pieces.append(Piece(text=NAMES[id], score=score, type=type))
        else:
            type = Type.BYTE if _BYTE.fullmatch(text) else Type.NORMAL
            pieces.append(Piece(text=text.replace(" ", SPACE), score=score, type=type))
    spec = Spec(
        pieces=tuple(pieces),
        kind=BPE,
        byte_fallback=any(piece.type is Type.BYTE for piece in pieces),
        remove_extra_spaces=False,
    )
    backend, files = make(spec, TokenizerFiles())
    return Tokenizer(backend, files=files)


def _read(data: bytes) -> list[tuple[str, float]]:
    (longest,) = struct.unpack_from("<I", data)
    entries: list[tuple[str, float]] = []
    place = 4
    while place < len(data):
        score, size = struct.unpack_from("<fi", data, place)
        place += 8
        if not 0 <= size <= longest or place + size > len(data):
            raise ValueError(f"piece {len(entries)} has the length {size}")
        entries.append((data[place : place + size].decode(), score))
        place += size
    if len(entries) <= len(NAMES):
        raise ValueError("it has no pieces")
    return entries
