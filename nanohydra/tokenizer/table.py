"""A tokenizer's vocabulary as plain bytes, for grammars over tokens."""

from __future__ import annotations

from nanohydra.core.tokens import TokenTable
from nanohydra.tokenizer.tokenizer import Tokenizer


def token_table(tokenizer: Tokenizer) -> TokenTable:
    """The bytes of every id, the special ones, and the one that ends a text."""
    tokens = tuple(tokenizer.token(id) for id in range(tokenizer.vocab_size))

    def encode(text: str) -> list[int]:
        """Ids whose bytes are the text's, which a space put before every text would break."""
        ids = tokenizer.encode(text)
        if b"".join(tokens[id] for id in ids) == text.encode():
            return ids
        return tokenizer.encode_pieces(["\n" + text])[0][len(tokenizer.encode("\n")) :]

    return TokenTable(
        tokens=tokens,
        special_ids=frozenset(id for id in range(len(tokens)) if tokenizer.is_special(id)),
        end_ids=() if tokenizer.end_id is None else (tokenizer.end_id,),
        encode=encode,
    )
