"""Text of ids that arrive one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nanohydra.tokenizer import StreamDecoder, Tokenizer

IDS = st.lists(st.integers(0, 399))


@given(IDS, st.booleans())
def test_pushes_and_flush_equal_decode(bpe: Tokenizer, ids: list[int], skip: bool) -> None:
    stream = StreamDecoder(bpe, skip_special=skip)
    for _ in range(2):  # the second time shows that flush leaves a fresh decoder
        text = "".join(stream.push(id) for id in ids) + stream.flush()
        assert text == bpe.decode(ids, skip_special=skip)
        cut = len(ids) // 3
        assert text == stream.push_all(ids[:cut]) + stream.push_all(ids[cut:]) + stream.flush()


@given(st.text(min_size=1, max_size=5))
def test_nothing_shown_is_ever_half_a_character(bpe: Tokenizer, text: str) -> None:
    stream = StreamDecoder(bpe)
    shown = ""
    for id in bpe.encode_bytes(text.encode()):
        shown += stream.push(id)
        assert text.startswith(shown)
    assert shown == text and stream.flush() == ""


def test_an_incomplete_character_is_held_back(bpe: Tokenizer) -> None:
    ids = bpe.encode_bytes("€".encode()[:2])
    stream = StreamDecoder(bpe)
    assert [stream.push(id) for id in ids] == [""] * len(ids)
    assert stream.flush() == "\ufffd"
    assert stream.flush() == ""
