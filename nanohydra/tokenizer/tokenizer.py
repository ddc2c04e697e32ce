"""Text to ids and back: byte-level BPE, or single characters; never yields a special id.

Follows the `tokenizer.json` format of Hugging Face. Knows nothing of conversations, see
template.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer as Backend

from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, sha256, write_json
from nanohydra.tokenizer import backend as library
from nanohydra.tokenizer.config import TokenizerConfig, check_vocab_size
from nanohydra.tokenizer.special import BOS, END, PAD, SPECIAL_TOKENS

Kind = Literal["bpe", "characters"]
_ESCAPED = re.compile("([\udc80-\udcff]+)")


class Tokenizer:
    """Build one with `train`, `characters`, `build` or `load`, not with the constructor."""

    def __init__(self, backend: Backend, *, where: str = "tokenizer") -> None:
        # User text is never searched for special tokens. The flag is not part of tokenizer.json.
        backend.encode_special_tokens = True
        self._backend = backend
        self.kind: Kind = "bpe" if library.kind_of(backend, where) == "bpe" else "characters"
        self._special = {}
        for name in SPECIAL_TOKENS:
            id = backend.token_to_id(name)
            if id is None:
                raise UserError(
                    f"{where}: the vocabulary has no special token {name!r}; "
                    "only tokenizers made by nanohydra have the chat layout"
                )
            self._special[name] = id
        self._all_special = frozenset(backend.get_added_tokens_decoder()) | frozenset(
            self._special.values()
        )
        self._bytes = library.token_bytes(backend, self.kind)
        # A loop over the alphabet is the characters' fast path and names what is missing.
        self._id_of_character = {
            piece.decode(): id
            for id, piece in enumerate(self._bytes)
            if self.kind == "characters" and id not in self._all_special
        }

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
        """Learn byte-level BPE merges; deterministic in the order of `texts`.

        The result is smaller than `vocab_size` (>= 264) when the texts run out of pairs.
        Raises UserError for a vocabulary too small or an empty corpus.
        """
        check_vocab_size(vocab_size)
        return cls(library.train_bpe(_not_empty(texts), vocab_size))

    @classmethod
    def characters(cls, texts: Iterable[str]) -> Tokenizer:
        """One token per distinct character of the texts. Raises UserError if there are none."""
        return cls(library.collect_characters(_not_empty(texts)))

    @classmethod
    def build(cls, config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
        """The tokenizer that the configuration names, from these texts."""
        if config.kind == "characters":
            return cls.characters(texts)
        return cls.train(texts, vocab_size=config.vocab_size)

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """Read `tokenizer.json` of a folder (or that file itself).

        Raises UserError naming the file if it is missing, damaged or of another kind.
        """
        path = Path(folder)
        path = path / "tokenizer.json" if path.is_dir() or path.suffix != ".json" else path
        if not path.is_file():
            raise UserError(f"no tokenizer at {path}; `nanohydra tokenizer train` makes one")
        try:
            backend = Backend.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare Exception for what it cannot parse
            raise UserError(f"{path} is damaged or not a tokenizer file: {error}") from error
        return cls(backend, where=str(path))

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers loads as they are."""
        from nanohydra.tokenizer.template import CHAT_TEMPLATE

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / "tokenizer.json") as path:
            path.write_text(self._backend.to_str(pretty=True), encoding="utf-8")
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": BOS,
                "eos_token": END,
                "pad_token": PAD,
                "additional_special_tokens": list(SPECIAL_TOKENS[3:]),
                "clean_up_tokenization_spaces": False,
                "model_max_length": 1_000_000_000,
                "chat_template": CHAT_TEMPLATE,
            },
        )

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included; ids are 0..vocab_size-1."""
        return len(self._bytes)

    @property
    def bos_id(self) -> int:
        """Begins every record."""
        return self._special[BOS]

    @property
    def pad_id(self) -> int:
        """Fills rows; carries no loss."""
        return self._special[PAD]

    @property
    def end_id(self) -> int:
        """Ends every turn of a conversation."""
        return self._special[END]

    @property
    def token_num_bytes(self) -> list[int]:
        """UTF-8 bytes that each id stands for, 0 for special tokens; for bits per byte."""
        return [0 if id in self._all_special else len(b) for id, b in enumerate(self._bytes)]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the ids: vocabulary, merges, special tokens, splitting."""
        return sha256(json.dumps(library.identity(self._backend), sort_keys=True).encode())

    def special_id(self, name: str) -> int:
        """The id of one of SPECIAL_TOKENS."""
        assert name in self._special, f"{name!r} is not a special token"
        return self._special[name]

    def is_special(self, id: int) -> bool:
        """Whether the id is a marker and not text."""
        return id in self._all_special

    def token(self, id: int) -> bytes:
        """The bytes of one id; a special token gives its name. Raises UserError out of range."""
        if not 0 <= id < len(self._bytes):
            raise UserError(f"token id {id} is outside the vocabulary of {len(self._bytes)}")
        return self._bytes[id]

    def encode(self, text: str) -> list[int]:
        """Ids of a text. Markers such as `<|user|>` in it are ordinary characters.

        Lone surrogates, which UTF-8 cannot express, become U+FFFD. Raises UserError for a
        character that a tokenizer of kind "characters" does not have.
        """
        if self.kind == "characters":
            return [self._character_id(character) for character in text]
        return list(self._backend.encode(_valid(text), add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As `encode`, for many texts at once, in parallel."""
        if self.kind == "characters":
            return [self.encode(text) for text in texts]
        encodings = self._backend.encode_batch_fast(
            [_valid(text) for text in texts], add_special_tokens=False
        )
        return [list(encoding.ids) for encoding in encodings]

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Text of the ids; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids, skip_special=skip_special).decode("utf-8", "replace")

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes, UTF-8 or not; `decode_bytes` gives the same bytes back.

        Equals `encode` on valid UTF-8. Raises UserError for invalid bytes with kind "characters".
        """
        text = data.decode("utf-8", "surrogateescape")  # one lone surrogate per invalid byte
        ids: list[int] = []
        for piece in _ESCAPED.split(text):
            if not _ESCAPED.match(piece):
                ids += self.encode(piece)
            elif self.kind == "bpe":
                ids += map(self._byte_id, piece.encode("utf-8", "surrogateescape"))
            else:
                raise UserError(f"a tokenizer of characters cannot hold the raw bytes in {data!r}")
        return ids

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = True) -> bytes:
        """The exact bytes of the ids. Raises UserError for an id outside the vocabulary."""
        pieces = (self.token(id) for id in ids if not (skip_special and id in self._all_special))
        return b"".join(pieces)

    def _character_id(self, character: str) -> int:
        id = self._id_of_character.get(character)
        if id is None:
            raise UserError(
                f"character {character!r} (U+{ord(character):04X}) is not among the "
                f"{len(self._id_of_character)} of this tokenizer; "
                "leave it out, or use a tokenizer of kind 'bpe'"
            )
        return id

    def _byte_id(self, byte: int) -> int:
        id = self._backend.token_to_id(library.byte_alphabet()[byte])
        assert id is not None
        return id


def _not_empty(texts: Iterable[str]) -> Iterator[str]:
    empty = True
    for text in texts:
        empty = empty and not text
        yield _valid(text)
    if empty:
        raise UserError("there is no text to make a tokenizer from; check the data source")


def _valid(text: str) -> str:
    """The text with lone surrogates replaced, because UTF-8 and the library refuse them."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
