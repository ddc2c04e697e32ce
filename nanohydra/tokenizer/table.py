"""A tokenizer's vocabulary as plain bytes, for grammars over tokens."""

from __future__ import annotations

from nanohydra.core.errors import UserError
from nanohydra.core.tokens import TokenTable
from nanohydra.tokenizer.tokenizer import Tokenizer


def token_table(tokenizer: Tokenizer) -> TokenTable:
    """The bytes of every id, the special ones, and the one that ends a text."""
    tokens = tuple(tokenizer.token(id) for id in range(tokenizer.vocab_size))

    def encode(text: str) -> list[int]:
        """Ids of a text behind others, before which no vocabulary puts a space."""
        for before in ("", "a", "\n"):
            try:
                ids = tokenizer.encode(before + text)[len(tokenizer.encode(before)) :]
            except UserError:  # a character that a tokenizer of characters lacks
                continue
            if b"".join(tokens[id] for id in ids) == text.encode():
                return ids
        return []

    return TokenTable(
        tokens=tokens,
        special_ids=frozenset(id for id in range(len(tokens)) if tokenizer.is_special(id)),
        end_ids=() if tokenizer.end_id is None else (tokenizer.end_id,),
        encode=encode,
    )
