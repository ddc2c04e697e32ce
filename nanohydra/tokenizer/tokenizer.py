"""Text to ids and back with any `tokenizer.json`; a text never yields a special id.

Follows the format of Hugging Face. Those made here are byte-level BPE or single characters, and
have the special tokens of special.py. How conversations are laid out is the business of chat.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, sha256
from nanohydra.tokenizer import backend as library
from nanohydra.tokenizer.config import TokenizerConfig, check_vocab_size
from nanohydra.tokenizer.files import (
    GPT2_CONFIG,
    GPT2_FILES,
    SENTENCEPIECE,
    TOKENIZER,
    TokenizerFiles,
)
from nanohydra.tokenizer.markers import Markers, PieceEncoder
from nanohydra.tokenizer.pieces import Pieces
from nanohydra.tokenizer.special import BOS, END, PAD, SPECIAL_TOKENS

if TYPE_CHECKING:
    from nanohydra.tokenizer.chat import ChatFormat

_ESCAPED = re.compile("([\udc80-\udcff]+)")
_UNKNOWN = "\U0010fffe"  # a code point that no vocabulary has


class Tokenizer:
    """Build one with `train`, `characters`, `build` or `load`, not with the constructor.

    native: has the special tokens of this project, and so its chat layout.
    kind: "bpe", "characters", or what the file calls its model ("unigram", "wordpiece", ...).
    files: what stood beside tokenizer.json.
    """

    def __init__(self, backend: Backend, *, files: TokenizerFiles | None = None) -> None:
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self.files = files or TokenizerFiles()
        self.native = all(backend.token_to_id(name) is not None for name in SPECIAL_TOKENS)
        self.kind = library.kind_of(backend, native=self.native)
        if self.native:
            # A text is never searched for special tokens. The flag is not part of tokenizer.json.
            backend.encode_special_tokens = True
            self._special = {name: backend.token_to_id(name) or 0 for name in SPECIAL_TOKENS}
            self._all_special = frozenset(backend.get_added_tokens_decoder())
        else:
            _add_listed(backend, self.files)
            self._special = {}
            added = backend.get_added_tokens_decoder()
            self._all_special = frozenset(id for id, token in added.items() if token.special)
        self._markers = Markers(backend.id_to_token(id) or "" for id in self._all_special)
        self._pieces = Pieces(backend)
        # A loop over the alphabet is the characters' fast path and names what is missing.
        self._id_of_character = {
            self.token(id).decode(): id
            for id in range(self.vocab_size if self.kind == "characters" else 0)
            if id not in self._all_special
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
        """Read the tokenizer of a folder: `tokenizer.json`, or SentencePiece's or GPT-2's files.

        The path of one of the first two will do. Raises UserError naming the file if it is
        missing or damaged.
        """
        path = Path(folder)
        if path.is_dir() or path.suffix not in (".json", ".model"):
            whole = (path / name for name in (TOKENIZER, SENTENCEPIECE))
            path = next((each for each in whole if each.is_file()), path / TOKENIZER)
        gpt2 = [path.parent / name for name in GPT2_FILES]
        if not path.is_file() and not all(each.is_file() for each in gpt2):
            raise UserError(f"no tokenizer at {path}; `nanohydra tokenizer train` makes one")
        files = TokenizerFiles.read(path.parent)
        if path.suffix == ".model":
            from nanohydra.tokenizer.sentencepiece import read_model

            backend, files = read_model(path, files)
            return cls(backend, files=files)
        try:
            if not path.is_file():
                files = replace(files, config={**GPT2_CONFIG, **files.config})
                return cls(library.read_gpt2(*gpt2), files=files)
            backend = Backend.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare Exception for what it cannot parse
            raise UserError(f"{path} is damaged or not a tokenizer file: {error}") from error
        return cls(backend, files=files)

    def save(self, folder: str | Path) -> None:
        """Write the files that transformers loads as they are, the chat template among them."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / TOKENIZER) as path:
            path.write_text(self._backend.to_str(pretty=True), encoding="utf-8")
        self.settings.write(folder)

    @property
    def settings(self) -> TokenizerFiles:
        """What `save` writes beside tokenizer.json."""
        if not self.native:
            return self.files
        from nanohydra.tokenizer.template import CHAT_TEMPLATE

        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": END,
            "pad_token": PAD,
            "additional_special_tokens": list(SPECIAL_TOKENS[3:]),
            "clean_up_tokenization_spaces": False,
            "model_max_length": 1_000_000_000,
            "chat_template": CHAT_TEMPLATE,
        }
        return TokenizerFiles(config=config)

    @cached_property
    def chat(self) -> ChatFormat:
        """How conversations are laid out for the model, and what its replies mean."""
        from nanohydra.tokenizer.formats import chat_format

        return chat_format(self)

    @cached_property
    def vocab_size(self) -> int:
        """One more than the highest id, special tokens included."""
        if self.native:
            return self._backend.get_vocab_size()
        return max(self._backend.get_vocab().values(), default=-1) + 1

    @property
    def bos_id(self) -> int | None:
        """The token that may begin a text; None where the model has none."""
        return self._named("bos_token", BOS)

    @property
    def pad_id(self) -> int | None:
        """Fills rows; carries no loss. None where the model has none."""
        return self._named("pad_token", PAD)

    @property
    def end_id(self) -> int | None:
        """Ends every turn of a conversation made here; other models' `eos_token`, or None."""
        return self._named("eos_token", END)

    @cached_property
    def prefix_ids(self) -> tuple[int, ...]:
        """What the model expects before every text: mostly its bos, and often nothing."""
        if self.native:
            return (self._special[BOS],)
        around = self._backend.encode("a", add_special_tokens=True).ids
        inside = self._backend.encode("a", add_special_tokens=False).ids
        return tuple(around[: _find(around, inside)])

    @property
    def start_id(self) -> int:
        """What the first token of a text is predicted from: bos, or eos where there is none."""
        known = (*self.prefix_ids[-1:], self.bos_id, self.end_id, 0)
        return next(id for id in known if id is not None)

    @property
    def token_num_bytes(self) -> list[int]:
        """UTF-8 bytes that each id stands for, 0 for special tokens; for bits per byte."""
        ids = range(self.vocab_size)
        return [0 if id in self._all_special else len(self._pieces.inside(id)) for id in ids]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the ids: vocabulary, merges, special tokens, splitting."""
        identity = library.identity(self._backend, native=self.native)
        return sha256(json.dumps(identity, sort_keys=True).encode())

    @property
    def special_names(self) -> tuple[str, ...]:
        """The texts of all special tokens."""
        return tuple(self.token(id).decode() for id in sorted(self._all_special))

    @cached_property
    def added_names(self) -> tuple[str, ...]:
        """The texts of all tokens beside the vocabulary proper, special or not."""
        added = self._backend.get_added_tokens_decoder()
        return tuple(added[id].content for id in sorted(added))

    def token_id(self, name: str) -> int | None:
        """The id of a token by its exact name; None if there is none."""
        return self._backend.token_to_id(name)

    def special_id(self, name: str) -> int:
        """The id of one of SPECIAL_TOKENS."""
        assert name in self._special, f"{name!r} is not a special token"
        return self._special[name]

    def is_special(self, id: int) -> bool:
        """Whether the id is a marker and not text."""
        return id in self._all_special

    def token(self, id: int) -> bytes:
        """The bytes of one id; a special token gives its name. Raises UserError out of range."""
        if not 0 <= id < self.vocab_size:
            raise UserError(f"token id {id} is outside the vocabulary of {self.vocab_size}")
        if id in self._all_special:
            return (self._backend.id_to_token(id) or "").encode()
        return self._pieces.inside(id)

    def encode(self, text: str) -> list[int]:
        """Ids of a text. Markers such as `<|user|>` in it are ordinary characters.

        Lone surrogates, which UTF-8 cannot express, become U+FFFD. Raises UserError for a
        character that a tokenizer of kind "characters" does not have.
        """
        if self.kind == "characters":
            return [self._character_id(character) for character in text]
        text = _valid(text)
        ids = list(self._backend.encode(text, add_special_tokens=False).ids)
        if self.native or self._forbidden.isdisjoint(ids):
            return ids
        return self.encode_pieces(self._markers.cut(text))[0]

    def encode_spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """As `encode`, with where in the text each id's characters begin and end."""
        return self.encode_pieces(self._markers.cut(_valid(text)))

    def encode_pieces(
        self, pieces: Sequence[str], *, markers: bool = False
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of a text that is cut where nothing may be joined, and the span of each id.

        markers: special tokens in the pieces are meant as such; else none comes out.
        """
        ids, spans = self._piece_encoder.encode(pieces)
        if not markers and not self._forbidden.isdisjoint(ids):
            # Normalization can make a marker out of other characters: then each one stands alone.
            ids, spans = self._piece_encoder.encode(list("".join(pieces)))
            kept = [n for n, id in enumerate(ids) if id not in self._forbidden]
            ids, spans = [ids[n] for n in kept], [spans[n] for n in kept]
        return ids, spans

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As `encode`, for many texts at once, in parallel."""
        if self.kind == "characters":
            return [self.encode(text) for text in texts]
        encodings = self._backend.encode_batch_fast(
            [_valid(text) for text in texts], add_special_tokens=False
        )
        allow = [self.native or self._forbidden.isdisjoint(each.ids) for each in encodings]
        pairs = zip(texts, encodings, allow, strict=True)
        return [list(each.ids) if plain else self.encode(text) for text, each, plain in pairs]

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Text of the ids; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids, skip_special=skip_special).decode("utf-8", "replace")

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes, UTF-8 or not; `decode_bytes` gives the same bytes back.

        Equals `encode` on valid UTF-8. Raises UserError for invalid bytes with a tokenizer that
        has no tokens for single bytes.
        """
        text = data.decode("utf-8", "surrogateescape")  # one lone surrogate per invalid byte
        ids: list[int] = []
        for piece in _ESCAPED.split(text):
            if not _ESCAPED.match(piece):
                ids += self.encode(piece)
                continue
            for byte in piece.encode("utf-8", "surrogateescape"):
                id = self._pieces.byte_id(byte)
                if id is None:
                    kind = f"of {self.kind}" if self.kind == "characters" else self.kind
                    raise UserError(f"a tokenizer {kind} cannot hold the raw bytes in {data!r}")
                ids.append(id)
        return ids

    def decode_bytes(
        self, ids: Iterable[int], *, skip_special: bool = True, continues: bool = False
    ) -> bytes:
        """The exact bytes of the ids. Raises UserError for an id outside the vocabulary.

        continues: the ids stand behind others, so that a space before the first one is kept.
        """
        pieces: list[bytes] = []
        for id in ids:
            if id in self._all_special:
                pieces += [] if skip_special else [self.token(id)]
            elif pieces or continues:
                pieces.append(self.token(id))
            elif 0 <= id < self.vocab_size:
                pieces.append(self._pieces.first(id))
            else:
                self.token(id)  # raises
        return b"".join(pieces)

    @cached_property
    def _piece_encoder(self) -> PieceEncoder:
        return PieceEncoder(self._backend)

    @cached_property
    def _forbidden(self) -> frozenset[int]:
        """Special ids that no text may give; that of unknown characters is no marker."""
        return self._all_special - set(self._backend.encode(_UNKNOWN, add_special_tokens=False).ids)

    def _named(self, key: str, own: str) -> int | None:
        if self.native:
            return self._special[own]
        name = self.files.named_tokens.get(key)
        return None if name is None else self._backend.token_to_id(name)

    def _character_id(self, character: str) -> int:
        id = self._id_of_character.get(character)
        if id is None:
            raise UserError(
                f"character {character!r} (U+{ord(character):04X}) is not among the "
                f"{len(self._id_of_character)} of this tokenizer; "
                "leave it out, or use a tokenizer of kind 'bpe'"
            )
        return id


def _add_listed(backend: Backend, files: TokenizerFiles) -> None:
    """Make known as markers what the files list beside tokenizer.json, as transformers does."""
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    for id, token in files.added_tokens():
        place = backend.token_to_id(token.content)
        if token.content not in known and place in (None, id):
            backend.add_special_tokens([token]) if token.special else backend.add_tokens([token])
            known.add(token.content)
    for name in files.special_names():
        if name not in known and backend.token_to_id(name) is not None:
            backend.add_special_tokens([AddedToken(name, special=True, normalized=False)])
            known.add(name)


def _find(ids: Sequence[int], inner: Sequence[int]) -> int:
    """Where the inner ids begin among the ids; 0 if they are not there."""
    size = len(inner)
    return next((n for n in range(len(ids)) if list(ids[n : n + size]) == list(inner)), 0)


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
