"""The shared file: several threads and processes at once, others' tables, damage, versions."""

from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from nanohydra.core.errors import UserError
from nanohydra.memory import Memory, Source, load_embedder
from nanohydra.memory.catalog import COUNTING, MATCHING


def add_many(path: Path, who: str, count: int) -> int:
    """In another process: add facts, remove every second, and search in between."""
    memory = Memory(path, load_embedder("hashing"))
    for number in range(count):
        text = f"Fact {number} of {who} is that the word is {who}word{number}."
        memory.add(Source(id=f"{who}{number}", owner="all", title="", text=text))
        hits = memory.search(f"what of {who}word{number}", owner="all")
        assert hits[0].source_id == f"{who}{number}"
        if number % 2:
            memory.remove(f"{who}{number}")
    left = memory.count("all")
    memory.close()
    return left


def test_several_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    here = Memory(path, load_embedder("hashing"))
    here.add(Source(id="mine", owner="all", title="", text="Melka Dorn was born in Tivara."))
    assert here.search("Melka Dorn", owner="all")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(add_many, [(path, "ana", 10), (path, "ben", 10)])
    assert here.count("all") == 11
    assert here.search("what of anaword4", owner="all")[0].source_id == "ana4"
    assert here.search("what of benword4", owner="all")[0].similarity is not None
    assert not [h for h in here.search("what of anaword5", owner="all") if "word5" in h.text]
    here.close()


def test_several_threads_at_once(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "a.db", load_embedder("hashing"))

    def run(number: int) -> bool:
        memory.add(Source(id=str(number), owner="all", title="", text=f"It is word{number}x."))
        found = memory.search(f"word{number}x", owner="all")[0].source_id == str(number)
        return found and (number % 3 > 0 or memory.remove(str(number)))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(40)))
    assert memory.count() == 26
    memory.close()


def test_other_tables_stay_and_a_failed_add_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE lessons (id TEXT)")
        other.execute("PRAGMA user_version = 7")
        other.execute("INSERT INTO lessons VALUES ('a')")
        other.commit()
        memory = Memory(path, load_embedder("hashing"))
        memory.add(Source(id="a", owner="me", title="", text="Some text."))
        assert other.execute("PRAGMA user_version").fetchone() == (7,)
        assert other.execute("SELECT * FROM lessons").fetchall() == [("a",)]
        tables = other.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        assert all(n.startswith(("memory_", "sqlite_")) or n == "lessons" for (n,) in tables)
        other.execute("DROP TABLE memory_passages")
        other.commit()
    with pytest.raises(UserError, match="cannot use .*memory_passages"):
        memory.add(Source(id="b", owner="me", title="", text="Some text."))
    assert [source.id for source in memory.sources("me")] == ["a"]
    memory.close()


def test_damage_newer_versions_and_bad_paths(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"not a database at all" * 100)
    with pytest.raises(UserError, match="damaged"):
        Memory(damaged, load_embedder("hashing"))
    assert damaged.read_bytes().startswith(b"not a database")
    with pytest.raises(UserError, match="cannot use"):
        Memory(damaged / "inside" / "a.db", load_embedder("hashing"))
    path = tmp_path / "newer.db"
    Memory(path, load_embedder("hashing")).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE memory_settings SET value = '99' WHERE key = 'schema'")
        connection.commit()
    with pytest.raises(UserError, match="newer nanohydra"):
        Memory(path, load_embedder("hashing"))


def test_vectors_of_a_wrong_size_are_passed_over(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "a.db", load_embedder("hashing"))
    memory.add(Source(id="a", owner="me", title="", text="Melka Dorn was born in Tivara."))
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("UPDATE memory_embeddings SET vector = x'00112233'")
        connection.commit()
    (hit,) = memory.search("Where was Melka Dorn born?", owner="me")
    assert hit.similarity is None
    memory.close()


@pytest.mark.parametrize("query", [MATCHING, COUNTING])
def test_the_words_lead_the_query(query: object, tmp_path: Path) -> None:
    """Led by the owner's passages, one search takes a hundred times as long."""
    Memory(tmp_path / "a.db", load_embedder("hashing")).close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        steps = connection.execute(
            f"EXPLAIN QUERY PLAN {query}", {"match": '"a"', "owner": "me", "limit": 3}
        ).fetchall()
    scans = [step[3] for step in steps if "memory_" in step[3]]
    assert "memory_words" in scans[0] and "PRIMARY KEY" in scans[1]
