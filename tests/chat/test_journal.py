"""The journal: what goes in comes out, also for several threads and processes; damage is told."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanohydra.chat import Journal, StoredMessage, UnknownConversation
from nanohydra.chat.database import SCHEMA_VERSION
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message, ToolCall

ASK = Message(role="user", content="How many apples are in 37 boxes of 24?")
CALL = ToolCall(id="call_1", name="calculator", arguments={"expression": "37 * 24"})
CALLING = Message(role="assistant", content="Let me see.", tool_calls=(CALL,))
RESULT = Message(role="tool", content="888", tool_call_id="call_1")
TOLD = StoredMessage(
    message=Message(role="assistant", content="There are 888."), meta={"tokens_per_s": 41.5}
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "folder" / "journal.sqlite")
    yield journal
    journal.close()


def texts(journal: Journal, id: str) -> list[str]:
    return [stored.message.content for stored in journal.get(id).messages]


def test_messages_come_back_as_they_were(journal: Journal) -> None:
    id = journal.create(settings={"system": "be kind", "temperature": 0.5}).id
    journal.append(id, [ASK, CALLING])
    journal.append(id, [RESULT, TOLD])
    found = journal.get(id)
    assert [stored.message for stored in found.messages] == [ASK, CALLING, RESULT, TOLD.message]
    assert found.messages[3].meta == {"tokens_per_s": 41.5} and found.messages[0].meta == {}
    assert found.settings == {"system": "be kind", "temperature": 0.5}
    assert found.created <= found.updated
    other = Journal(journal.path)
    assert other.get(id) == found
    other.close()


def test_the_first_question_becomes_the_title(journal: Journal) -> None:
    id = journal.create().id
    assert journal.get(id).title == ""
    journal.append(id, [Message(role="system", content="s"), ASK])
    assert journal.get(id).title == ASK.content
    journal.append(id, [Message(role="user", content="more")])
    assert journal.get(id).title == ASK.content
    journal.rename(id, "Apples")
    journal.append(id, [ASK])
    assert journal.get(id).title == "Apples"
    long = journal.create().id
    journal.append(long, [Message(role="user", content="\n  word " * 30)])
    assert journal.get(long).title == "word"
    journal.append(longer := journal.create().id, [Message(role="user", content="word " * 30)])
    title = journal.get(longer).title
    assert len(title) <= 61 and title.endswith("word…")


def test_the_latest_come_first(journal: Journal) -> None:
    ids = [journal.create(title=f"number {n}").id for n in range(5)]
    journal.append(ids[1], [ASK])
    assert [each.id for each in journal.recent()] == [ids[n] for n in (1, 4, 3, 2, 0)]
    assert [each.num_messages for each in journal.recent(limit=2)] == [1, 0]
    assert [each.id for each in journal.recent(limit=2, offset=3)] == [ids[2], ids[0]]


def test_editing_replaces_what_follows(journal: Journal) -> None:
    id = journal.create().id
    journal.append(id, [ASK, CALLING, RESULT, TOLD])
    journal.replace_from(id, 2, [Message(role="tool", content="889", tool_call_id="call_1")])
    assert texts(journal, id) == [ASK.content, "Let me see.", "889"]
    journal.replace_from(id, 0, [])
    assert texts(journal, id) == []
    with pytest.raises(UserError, match="position 1 is not in the conversation of 0"):
        journal.replace_from(id, 1, [ASK])


def test_meta_and_settings(journal: Journal) -> None:
    id = journal.create().id
    journal.append(id, [ASK, TOLD])
    journal.set_meta(id, 1, {"rating": 1})
    assert journal.get(id).messages[1].meta == {"rating": 1}
    with pytest.raises(UserError, match="position 2"):
        journal.set_meta(id, 2, {})
    journal.set_settings(id, {"seed": 3})
    assert journal.get(id).settings == {"seed": 3}


def test_search(journal: Journal) -> None:
    boxes = journal.create().id
    journal.append(boxes, [ASK, TOLD])
    street = journal.create(title="Straße 100%").id
    journal.append(street, [Message(role="user", content="Wo ist die ÄPFEL_Straße? " + "x " * 99)])

    def found(query: str) -> list[str]:
        return [each.id for each in journal.search(query)]

    assert found("APPLES") == [boxes]
    assert found("boxes 888") == [boxes]
    assert found("boxes 889") == []
    assert found("äpfel_str") == [street]
    assert found("STRASSE") == [street]
    assert found("100%") == [street] and found("%") == [street] and found("_") == [street]
    assert found("'; DROP TABLE messages; --") == []
    assert found("  ") == found("") == [street, boxes]
    (summary,) = journal.search("apples")
    assert "apples" in summary.snippet and summary.num_messages == 2
    (summary,) = journal.search("äpfel")
    assert "ÄPFEL" in summary.snippet and summary.snippet.endswith("…")
    assert len(summary.snippet) < 90
    assert journal.search("100%")[0].snippet == ""


def test_deleting(journal: Journal) -> None:
    id, other = journal.create().id, journal.create().id
    journal.append(id, [ASK])
    journal.append(other, [TOLD])
    journal.delete(id)
    assert [each.id for each in journal.recent()] == [other]
    with sqlite3.connect(journal.path) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("get", ()),
        ("append", ([ASK],)),
        ("replace_from", (0, [])),
        ("rename", ("x",)),
        ("set_settings", ({},)),
        ("set_meta", (0, {})),
        ("delete", ()),
    ],
)
def test_an_unknown_id(journal: Journal, method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(UnknownConversation, match="'nobody'"):
        getattr(journal, method)("nobody", *arguments)
    with pytest.raises(UnknownConversation):
        journal.export(["nobody"])


def test_export_and_import(journal: Journal, tmp_path: Path) -> None:
    first, second = journal.create(settings={"seed": 1}).id, journal.create(title="two").id
    journal.append(first, [ASK, CALLING, RESULT, TOLD])
    body = json.loads(json.dumps(journal.export()))
    assert len(journal.export([second])["conversations"]) == 1
    other = Journal(tmp_path / "other.sqlite")
    assert other.import_(body) == [first, second]
    assert other.get(first) == journal.get(first) and other.get(second) == journal.get(second)
    again = other.import_(body)  # ids that are taken become new ones
    assert not set(again) & {first, second}
    assert other.get(again[0]).messages == journal.get(first).messages
    assert len(other.recent()) == 4
    other.close()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda b: b.update(format="x"), "no export of conversations"),
        (lambda b: b.update(version=99), "version 99"),
        (lambda b: b.update(conversations={}), "conversations must be a list"),
        (lambda b: b["conversations"].append(3), r"conversations\[1\] must be an object"),
        (lambda b: b["conversations"][0].pop("messages"), r"\[0\].messages must be a list"),
        (lambda b: b["conversations"][0].update(title=3), r"\[0\].title must be text"),
        (lambda b: b["conversations"][0].update(created="x"), r"\[0\].created must be a number"),
        (
            lambda b: b["conversations"][0]["messages"][0].update(role="wizard"),
            r"messages\[0\].role is 'wizard'; known",
        ),
        (
            lambda b: b["conversations"][0]["messages"][1]["tool_calls"][0].pop("name"),
            r"messages\[1\].tool_calls\[0\].name must be text",
        ),
    ],
)
def test_a_broken_import_changes_nothing(journal: Journal, change: Any, problem: str) -> None:
    id = journal.create().id
    journal.append(id, [ASK, CALLING])
    body = json.loads(json.dumps(journal.export()))
    change(body)
    with pytest.raises(UserError, match=problem):
        journal.import_(body)
    with pytest.raises(UserError, match="no export"):
        journal.import_([body])
    assert len(journal.recent()) == 1


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(), st.text())
def test_any_text_is_kept_and_found(journal: Journal, title: str, content: str) -> None:
    content += "\ud800 \x00"
    id = journal.create(title=title).id
    journal.append(id, [Message(role="user", content=content)])
    assert texts(journal, id) == [content]
    if word := next(iter(title.split()), ""):
        assert id in [each.id for each in journal.search(word, limit=10_000)]


def test_threads_write_at_once(journal: Journal) -> None:
    id = journal.create().id
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                journal.append(id, [Message(role="user", content=f"{number}-{step}")])
                journal.recent()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(texts(journal, id)) == sorted(f"{n}-{s}" for n in range(4) for s in range(10))


PROCESS = """
import sys
from pathlib import Path
from nanohydra.chat import Journal
from nanohydra.core.types import Message
journal = Journal(Path(sys.argv[1]))
for number in range(10):
    journal.create(title=f"{sys.argv[2]} {number}")
"""


def test_processes_make_and_fill_one_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(path), name]) for name in "ab"
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    journal = Journal(path)
    assert len(journal.recent()) == 20
    journal.close()


def damaged(path: Path) -> None:
    """A journal whose pages are overwritten in the middle."""
    journal = Journal(path)
    for _ in range(30):
        journal.append(journal.create().id, [Message(role="user", content="words " * 300)])
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = bytearray(path.read_bytes())
    data[4096 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4096)
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    damaged(path)
    path.write_bytes(path.read_bytes()[:5000])


def no_database(path: Path) -> None:
    path.write_bytes(b"these are my notes " * 100)


@pytest.mark.parametrize("make", [damaged, cut_short, no_database])
def test_a_damaged_file_is_named_and_kept(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "journal.sqlite"
    make(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="damaged and was left as it is") as raised:
        Journal(path)
    assert str(path) in str(raised.value) and "move it away" in str(raised.value)
    assert path.read_bytes() == before


def test_files_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.sqlite"
    newer = tmp_path / "newer.sqlite"
    for path, statement in [
        (foreign, "CREATE TABLE notes (text)"),
        (newer, f"PRAGMA user_version = {SCHEMA_VERSION + 1}"),
    ]:
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()
    before = foreign.read_bytes(), newer.read_bytes()
    with pytest.raises(UserError, match="another program"):
        Journal(foreign)
    with pytest.raises(UserError, match="newer nanohydra"):
        Journal(newer)
    assert (foreign.read_bytes(), newer.read_bytes()) == before
    with pytest.raises(UserError, match="cannot use"):
        Journal(tmp_path)
    with pytest.raises(UserError, match="cannot use"):
        Journal(newer / "inside.sqlite")


def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "with ? and # in its name.sqlite"
    path.touch()
    journal = Journal(path)
    journal.create()
    journal.close()
    assert path.stat().st_size > 0


def test_a_file_that_breaks_while_it_is_used(journal: Journal) -> None:
    journal.create()
    journal.close()
    no_database(journal.path)
    with pytest.raises(UserError, match="damaged"):
        journal.recent()


def test_a_locked_file_is_told(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanohydra.chat.database.Database.busy_seconds", 0.05)
    impatient = Journal(journal.path)
    holder = sqlite3.connect(journal.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert impatient.recent() == []  # readers go on
    with pytest.raises(UserError, match="locked by another program"):
        impatient.create()
    holder.execute("ROLLBACK")
    holder.close()
    impatient.create()
    impatient.close()
