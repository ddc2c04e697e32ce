"""Tokens that come together give the answer that they give one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanohydra.chat import ChatParams
from nanohydra.chat.continuation import Continuation
from nanohydra.chat.reading import AnswerReader
from nanohydra.chat.reply import RoundReader
from nanohydra.core.types import FinishReason
from nanohydra.engine import Event
from nanohydra.tokenizer import Tokenizer

TEXTS = ["héllo ", "🙂", " a", "b", "<|assistant|>", "\n", "€uro"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([*TEXTS, "hello there"] * 20, vocab_size=300)


def reader(kind: str, tokenizer: Tokenizer, params: ChatParams) -> AnswerReader:
    if kind == "chat":
        return RoundReader(tokenizer, params)
    return Continuation(tokenizer, tokenizer.encode("x"), params, 1000)


def events(ids: list[int], reason: FinishReason | None) -> list[Event]:
    made = [Event(request_id="r", token_id=id) for id in ids]
    if reason is not None and made:
        made[-1] = Event(request_id="r", token_id=ids[-1], finish_reason=reason)
    return made


@given(
    ids=st.lists(st.integers(0, 310), min_size=1, max_size=30),
    size=st.integers(2, 30),
    reason=st.sampled_from(["stop", "length", "error", None]),
    kind=st.sampled_from(["chat", "text"]),
    ignore_eos=st.booleans(),
)
def test_together_is_one_by_one(
    tokenizer: Tokenizer,
    ids: list[int],
    size: int,
    reason: FinishReason | None,
    kind: str,
    ignore_eos: bool,
) -> None:
    """The slow way is that of a stop string, here one that no text can contain."""
    made, found = events(ids, reason), []
    for step, stop in ((1, ("\0never",)), (1, ()), (size, ())):
        answer = reader(
            kind, tokenizer, ChatParams(stop=stop, ignore_eos=ignore_eos, stop_ids=(7,))
        )
        shown = ""
        for at in range(0, len(made), step):
            shown += answer.take(made[at : at + step]).text
        assert answer.text == shown
        found.append((shown, answer.num_tokens, answer.finish_reason, answer.error))
    assert found[0] == found[1] == found[2]


def test_what_comes_after_the_end_is_left_out(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("hello")
    made = events(ids, "length") + events(ids, None)
    for kind in ("chat", "text"):
        answer = reader(kind, tokenizer, ChatParams())
        assert answer.take(made).text == "hello"
        assert (answer.num_tokens, answer.finish_reason) == (len(ids), "length")
