"""How likely tokens were, in the two shapes of the OpenAI API: of chats and of completions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nanohydra.chat import Token

LEAST = -9999.0  # what clients get for a probability of 0, as JSON has no infinity


def finite(logprob: float) -> float:
    """A number that JSON can hold."""
    return max(logprob, LEAST)


def text_of(data: bytes) -> str:
    """A token as text; half a character becomes U+FFFD, and `bytes` beside it stay exact."""
    return data.decode("utf-8", "replace")


def chat_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    """`logprobs` of a choice of a chat."""
    content = [
        {
            **one(token.data, token.logprob),
            "top_logprobs": [one(data, logprob) for data, logprob in token.top],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def one(data: bytes, logprob: float) -> dict[str, Any]:
    """A token with its probability."""
    return {"token": text_of(data), "logprob": finite(logprob), "bytes": list(data)}


def text_logprobs(tokens: Sequence[Token], offset: int = 0) -> dict[str, Any]:
    """`logprobs` of a choice of a completion, whose text begins at a place.

    The first token of an echoed prompt has none: nothing stands before it.
    """
    value: dict[str, list[Any]] = {
        "tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": [],
    }  # fmt: skip
    for token in tokens:
        text = text_of(token.data)
        first = math.isnan(token.logprob)
        value["tokens"].append(text)
        value["token_logprobs"].append(None if first else finite(token.logprob))
        rivals = {text_of(data): finite(logprob) for data, logprob in token.top}
        rivals.setdefault(text, finite(token.logprob))
        value["top_logprobs"].append(None if first else rivals)
        value["text_offset"].append(offset)
        offset += len(text)
    return value
