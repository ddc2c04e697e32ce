"""Conversations of several owners in one journal: each finds its own, and no trace of others."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanohydra.chat import Journal, UnknownConversation
from nanohydra.core.types import Message

HELLO = [Message(role="user", content="the heron is mine")]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda journal, id: journal.get(id),
        lambda journal, id: journal.append(id, HELLO),
        lambda journal, id: journal.replace_from(id, 0, HELLO),
        lambda journal, id: journal.set_meta(id, 0, {}),
        lambda journal, id: journal.rename(id, "x"),
        lambda journal, id: journal.set_settings(id, {}),
        lambda journal, id: journal.delete(id),
        lambda journal, id: journal.export([id]),
    ],
)
def test_a_foreign_id_is_an_unknown_one(journal: Journal, ask: Callable[..., Any]) -> None:
    ana, ben = journal.of("ana"), journal.of("ben")
    id = ana.create().id
    ana.append(id, HELLO)
    before = ana.export()
    said = []
    for each in (id, "0" * 32):
        for other in (ben, journal):
            with pytest.raises(UnknownConversation) as raised:
                ask(other, each)
            said.append(str(raised.value).replace(each, "ID"))
    assert len(set(said)) == 1
    assert ana.export() == before


def test_lists_show_ones_own(journal: Journal) -> None:
    ids = {}
    for owner in ("ana", "ben", "local"):
        ids[owner] = journal.of(owner).create().id
        journal.of(owner).append(ids[owner], HELLO)
    for owner, id in ids.items():
        own = journal.of(owner)
        assert [each.id for each in own.recent()] == [id]
        assert [each.id for each in own.search("heron")] == [id]
        assert [each["id"] for each in own.export()["conversations"]] == [id]


def test_an_import_is_the_importers_and_tells_nothing(journal: Journal) -> None:
    ana, ben = journal.of("ana"), journal.of("ben")
    ana.append(ana.create().id, HELLO)
    exported = ana.export()
    (taken,) = ben.import_(exported)
    exported["conversations"][0]["id"] = "0" * 32
    (free,) = ben.import_(exported)
    assert taken != ana.recent()[0].id and free != "0" * 32  # a new id, taken or not
    assert len(ben.recent()) == 2 and len(ana.recent()) == 1
    assert journal.import_(exported) == ["0" * 32]  # the default owner's keep theirs, as ever


def test_an_older_journal_belongs_to_the_default_owner(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    Journal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE conversations DROP COLUMN owner")
        connection.execute("INSERT INTO conversations VALUES ('a', 'Old', 1.0, 2.0, '{}')")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    for _ in range(2):  # once brought up to date, it stays so
        journal = Journal(path)
        assert [each.title for each in journal.recent()] == ["Old"]
        assert journal.of("ana").recent() == []
        journal.close()
