"""Stop strings: found across any borders, the earliest first, and never shown in part."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.chat.stops import StopStrings


def run(pieces: list[str], stops: list[str]) -> tuple[str, bool, list[str]]:
    strings = StopStrings(stops)
    shown = [strings.push(piece) for piece in pieces]
    shown.append(strings.flush())
    return "".join(shown), strings.hit, shown


@pytest.mark.parametrize(
    ("pieces", "stops", "text", "hit"),
    [
        (["hello"], [], "hello", False),
        (["one STOP two"], ["STOP"], "one ", True),
        (["one S", "TO", "P two", " three"], ["STOP"], "one ", True),
        (["one ST", "OCK"], ["STOP"], "one STOCK", False),
        (["one STO"], ["STOP"], "one STO", False),
        (["aab"], ["ab"], "a", True),
        (["a", "a", "b"], ["ab"], "a", True),
        (["xaxay"], ["y", "axay"], "x", True),
        (["abcd"], ["bcd", "c"], "ab", True),
        (["ab", "c"], ["bcd", "c"], "ab", True),
        (["ab", "c"], ["c", "bc"], "a", True),
        (["Ä\n", "\nB"], ["\n\n"], "Ä", True),
        (["stop"], ["stop"], "", True),
    ],
)
def test_examples(pieces: list[str], stops: list[str], text: str, hit: bool) -> None:
    assert run(pieces, stops)[:2] == (text, hit)


@settings(deadline=None)
@given(
    st.lists(st.text(alphabet="abc", max_size=4), max_size=12),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=5), max_size=3),
)
def test_cut_at_the_first_stop_whatever_the_pieces(pieces: list[str], stops: list[str]) -> None:
    shown, hit, _ = run(pieces, stops)
    text = "".join(pieces)
    assert (shown, hit) == run([text], stops)[:2] == run(list(text), stops)[:2]
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert hit == bool(found)
    assert shown == (text[: min(found)[1]] if found else text)


@settings(deadline=None)
@given(st.text(alphabet="ab", max_size=30), st.text(alphabet="ab", min_size=1, max_size=4))
def test_only_the_beginning_of_a_stop_is_held_back(text: str, stop: str) -> None:
    strings = StopStrings([stop])
    shown = ""
    for end, character in enumerate(text, start=1):
        shown += strings.push(character)
        if strings.hit:
            return
        held = text[len(shown) : end]
        assert len(held) < len(stop) and stop.startswith(held)
