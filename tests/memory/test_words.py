"""Words of queries: what counts, what is a name, and that nothing is an operator of FTS5."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanohydra.memory.words import MAX_WORDS, query_words


def test_plain_words_go_unless_there_are_no_others() -> None:
    assert [w.text for w in query_words("Where does Melka live?")] == ["melka", "live"]
    assert [w.text for w in query_words("to be or not to be")] == ["to", "be", "or", "not"]
    assert query_words("?! _ '") == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("Where was Zorvan Keth born?", ["zorvan", "keth"]),
        ("Bread is what?", []),  # a capital at the beginning says nothing
        ("Hm. Bread? Ask Melka's aunt", ["melka"]),
        ("room b12 of the iPhone", ["b12", "iphone"]),
        ("NASA asks", ["nasa"]),
        ("where was zorvan keth born", []),
    ],
)
def test_names(query: str, names: list[str]) -> None:
    assert [w.text for w in query_words(query) if w.name] == names


def test_a_long_query_is_bounded() -> None:
    assert len(query_words(" ".join(f"word{i}" for i in range(10_000)))) == MAX_WORDS


table = sqlite3.connect(":memory:", check_same_thread=False)
table.execute("CREATE VIRTUAL TABLE t USING fts5(text, tokenize='porter unicode61')")
table.execute("INSERT INTO t VALUES ('a text about o''brien and NEAR things')")


@given(st.text(max_size=60) | st.text(alphabet="\"'*()^:-+{}ANDORNEAR \0_", max_size=40))
def test_no_query_is_a_syntax_error(query: str) -> None:
    words = query_words(query)
    if words:
        match = " OR ".join(word.match for word in words).encode("utf-8", "replace").decode()
        table.execute("SELECT count(*) FROM t WHERE t MATCH ?", (match,)).fetchone()


def test_quotes_and_apostrophes_find() -> None:
    (word,) = query_words("o’brien")
    assert table.execute("SELECT count(*) FROM t WHERE t MATCH ?", (word.match,)).fetchone() == (1,)
