"""What each id stands for in bytes, for any decoder that a `tokenizer.json` may name.

Byte-level vocabularies spell bytes as characters, those of SentencePiece spell a space as U+2581
and rare bytes as `<0x..>`; any other decoder is asked for the text of an id beside another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tokenizers import Tokenizer as Backend

from nanohydra.tokenizer.backend import byte_alphabet

SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_STAND_FOR = {character: byte for byte, character in enumerate(byte_alphabet())}


class Pieces:
    """The bytes of ids, one by one: at the beginning of a text, or inside it.

    Only what stands first may differ: many vocabularies put a space before every text, which
    decoding takes off again.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        steps = list(steps_of(backend.decoder))
        kinds = [step["type"] for step in steps]
        self.byte_level = "ByteLevel" in kinds
        self.byte_fallback = "ByteFallback" in kinds
        spaced = [s for s in steps if s["type"] == "Replace" and s["content"] == " "]
        spaced = [s for s in spaced if s["pattern"].get("String") == SPACE]
        self._spaced = bool(spaced) or "Metaspace" in kinds
        known = {"ByteLevel", "ByteFallback", "Metaspace", "Fuse", "Strip", "Replace"}
        self._generic = not kinds or not set(kinds) <= known or kinds.count("Replace") > len(spaced)
        strips = [s for s in steps if s["type"] == "Strip"]
        self._stripped = sum(s["start"] for s in strips if s["content"] == " ")
        meta = [s for s in steps if s["type"] == "Metaspace"]
        self._first_bare = any(s.get("prepend_scheme", "always") != "never" for s in meta)
        self._cache: dict[int, bytes] = {}
        self._anchor: tuple[int, str] | None = None

    def inside(self, id: int) -> bytes:
        """The bytes of an id behind others; none for an id without a token."""
        if id not in self._cache:
            self._cache[id] = self._bytes(id)
        return self._cache[id]

    def first(self, id: int) -> bytes:
        """The bytes of an id that begins a text."""
        if self._generic:
            return self._backend.decode([id], skip_special_tokens=False).encode()
        data = self.inside(id)
        if self._first_bare:
            name = self._backend.id_to_token(id) or ""
            return name.replace(SPACE, "").encode() if SPACE in name else data
        for _ in range(self._stripped):
            data = data.removeprefix(b" ")
        return data

    def byte_id(self, byte: int) -> int | None:
        """The id of a single byte, where the vocabulary has one."""
        name = byte_alphabet()[byte] if self.byte_level else f"<0x{byte:02X}>"
        return self._backend.token_to_id(name) if self.byte_level or self.byte_fallback else None

    def _bytes(self, id: int) -> bytes:
        name = self._backend.id_to_token(id)
        if name is None:
            return b""
        if self._generic:
            return self._beside_another(id)
        if self.byte_level:
            known = all(character in _STAND_FOR for character in name)
            return bytes(_STAND_FOR[c] for c in name) if known else name.encode()
        if self.byte_fallback and (byte := _BYTE.fullmatch(name)):
            return bytes([int(byte[1], 16)])
        return (name.replace(SPACE, " ") if self._spaced else name).encode()

    def _beside_another(self, id: int) -> bytes:
        if self._anchor is None:
            anchor = next((i for i in self._backend.encode("a", add_special_tokens=False).ids), 0)
            self._anchor = anchor, self._backend.decode([anchor], skip_special_tokens=False)
        anchor, before = self._anchor
        both = self._backend.decode([anchor, id], skip_special_tokens=False)
        return both[len(before) :].encode()


def steps_of(component: Any) -> Iterator[Mapping[str, Any]]:
    """The steps of a normalizer, splitter or decoder of the library, sequences taken apart."""
    if component is not None:
        yield from _flat(json.loads(component.__getstate__()))


def _flat(step: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    inner = [value for key, value in step.items() if key in ("decoders", "normalizers")]
    inner += [step["pretokenizers"]] if "pretokenizers" in step else []
    if not inner:
        yield step
    for each in inner:
        for part in each:
            yield from _flat(part)
