"""Memory: found at once, cited, isolated by owner, forgotten, and silent when nothing is near."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from nanohydra.core.errors import UserError
from nanohydra.memory import Hit, Memory, MemoryConfig, Source, load_embedder
from nanohydra.memory.embedders import Embedder, Vectors


def fact(id: str, text: str, *, owner: str = "me", title: str = "") -> Source:
    return Source(id=id, owner=owner, title=title, text=text, kind="fact")


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.source_id for hit in hits]


def test_a_fact_is_found_and_cited(memory: Memory) -> None:
    before = time.time()
    text = "Melka Dorn was born in Tivara. " + "The shop of Ila Ver opens at nine. " * 30
    assert memory.add(fact("a", text, title="People\nof Tivara")) > 1
    hit = memory.search("Where was Melka Dorn born?", owner="me")[0]
    assert "born in Tivara" in hit.text and hit.text == text[hit.start : hit.end]
    assert (hit.source_id, hit.title, hit.kind, hit.keyword) == (
        "a", "People of Tivara", "fact", True,
    )  # fmt: skip
    assert hit.similarity is not None and 0.5 < hit.score <= 1 and before <= hit.added
    assert len(memory.search("Melka Dorn shop Ila Ver", owner="me", limit=1)) == 1


def test_nothing_near_is_nothing(memory: Memory) -> None:
    assert memory.search("Where was Melka Dorn born?", owner="me") == []
    for number, name in enumerate(["Melka Dorn", "Ila Ver", "Oro Sund"]):
        memory.add(fact(str(number), f"{name} was born in Tivara."))
    for query in ("Where was Zorvan Keth born?", "What is 3 plus 4?", "Tell me a joke", "", " ?! "):
        assert memory.search(query, owner="me") == [], query
    assert ids(memory.search("Where was Ila Ver born?", owner="me"))[0] == "1"


def test_an_exact_name_leads(memory: Memory) -> None:
    for number in range(60):
        memory.add(fact(f"n{number}", f"The report on engine number {number} says that it runs."))
    memory.add(fact("x", "A remark that mentions QX-7714 among many other words of no use at all."))
    assert ids(memory.search("what does the report say on QX-7714", owner="me"))[0] == "x"


def test_owners_never_see_each_other(memory: Memory) -> None:
    memory.add(fact("a", "Melka Dorn was born in Tivara.", owner="ana"))
    memory.add(fact("b", "Melka Dorn was born in Lumo.", owner="ben"))
    assert ids(memory.search("Where was Melka Dorn born?", owner="ana")) == ["a"]
    assert ids(memory.search("Where was Melka Dorn born?", owner="ben")) == ["b"]
    assert memory.search("Where was Melka Dorn born?", owner="eve") == []
    assert memory.count() == 2 and memory.count("ana") == 1 and memory.count("eve") == 0
    assert [s.id for s in memory.sources("ana")] == ["a"] and memory.sources("eve") == []
    with pytest.raises(UserError, match="choose another id"):
        memory.add(fact("a", "stolen", owner="ben"))
    assert "Tivara" in memory.search("Where was Melka Dorn born?", owner="ana")[0].text


def test_add_again_replaces(memory: Memory) -> None:
    memory.add(fact("a", "Melka Dorn was born in Tivara."))
    memory.add(fact("a", "Melka Dorn was born in Lumo."))
    assert [h.text for h in memory.search("Where was Melka Dorn born?", owner="me")] == [
        "Melka Dorn was born in Lumo."
    ]
    assert memory.count() == 1 and memory.pending() == 0


def test_what_is_removed_is_gone_also_from_the_file(memory: Memory, tmp_path: Path) -> None:
    memory.add(fact("keep", "Ila Ver was born in Lumo."))
    memory.add(fact("a", "Melka Dorn was born in Tivaralanda.", title="Secrettitle"))
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Tivaralanda" in stored and b"tivaralanda" in stored
    assert memory.remove("a") and not memory.remove("a")
    assert memory.search("Where was Melka Dorn born?", owner="me") == []
    assert ids(memory.search("Where was Ila Ver born?", owner="me")) == ["keep"]
    assert memory.count() == 1
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir()).lower()
    assert b"tivaralanda" not in stored and b"secrettitle" not in stored


def test_strange_texts_and_queries(remember: Callable[[str, str], list[Hit]]) -> None:
    text = 'Melka\0 Dorn <|end|> was\ud800 born\x1b[2J in \uffffTivara \U0001f600; it\'s "so".'
    query = "\0 \ud800 (\"' OR ^) * AND NOT {-} Where was Melka Dorn born?"
    (hit,) = remember(text, query)
    assert hit.end - hit.start == len(hit.text) == len(text)
    assert "<|end|>" in hit.text and "\U0001f600" in hit.text and "\0" not in hit.text
    assert remember(text, "please " * 5000 + "Where was Melka Dorn born?") != []
    assert remember(text, "Where was Melka Dorn born? " + "please " * 5000) != []


def test_refusals(memory: Memory) -> None:
    with pytest.raises(UserError, match="'Empty' has no text to remember"):
        memory.add(fact("a", " \n\0 ", title="Empty"))
    assert memory.search("near NEAR(a b) col:x", owner="me") == []
    with pytest.raises(UserError, match="the limit is 5,000,000"):
        memory.add(fact("a", "a" * 5_000_001))
    assert memory.count() == 0


class Other:
    """An embedder of another name, which can be held back in the background."""

    dimension = 512
    name = "hashing-other"

    def __init__(self, *, held: bool = False) -> None:
        self.inner: Embedder = load_embedder("hashing")
        self.go = threading.Event()
        if not held:
            self.go.set()

    def encode(self, texts: Sequence[str]) -> Vectors:
        if threading.current_thread().name == "memory":
            self.go.wait(20)
        return self.inner.encode(texts)

    def is_common(self, word: str) -> bool:
        return self.inner.is_common(word)


class Counting(Other):
    """Counts the texts of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.counts.append(len(texts))
        return super().encode(texts)


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_long_text_is_found_by_words_while_it_is_embedded(tmp_path: Path) -> None:
    embedder = Other(held=True)
    memory = Memory(tmp_path / "a.db", embedder, MemoryConfig(eager_seconds=0.0))
    text = "Nothing of note happened on that day in the town. " * 300 + "Melka Dorn left Tivara."
    assert memory.add(fact("a", text)) > 15
    assert memory.pending() > 0
    (hit, *_) = memory.search("When did Melka Dorn leave Tivara?", owner="me")
    assert "Melka Dorn left" in hit.text and hit.similarity is None and hit.keyword
    embedder.go.set()
    wait_until(lambda: memory.pending() == 0)
    assert memory.search("Melka Dorn left Tivara", owner="me")[0].similarity is not None
    memory.close()


def test_another_embedder_embeds_what_is_there(tmp_path: Path) -> None:
    first = Memory(tmp_path / "a.db", load_embedder("hashing"))
    first.add(fact("a", "Melka Dorn was born in Tivara."))
    second = Memory(tmp_path / "a.db", Other())
    wait_until(lambda: second.pending() == 0)
    assert second.search("Where was Melka Dorn born?", owner="me")[0].similarity is not None
    second.add(fact("b", "Ila Ver was born in Lumo."))
    assert first.pending() == 1  # found by its words; embedded when that embedder is back
    assert ids(first.search("Ila Ver born Lumo", owner="me")) == ["b"]
    first.close()
    second.close()


def test_a_restart_finds_the_same(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "a.db", load_embedder("hashing"))
    for number in range(20):
        memory.add(fact(str(number), f"Part number {number} of Melka Dorn's engine is of brass."))
    memory.remove("7")
    before = memory.search("part 11 of Melka Dorn's engine", owner="me")
    memory.close()
    again = Memory(str(tmp_path / "a.db"), load_embedder("hashing"))
    assert again.search("part 11 of Melka Dorn's engine", owner="me") == before != []
    again.close()


def test_an_engine_of_sqlalchemy_names_the_file(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    memory = Memory(engine, load_embedder("hashing"))
    memory.add(fact("a", "Melka Dorn was born in Tivara."))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM memory_passages")) == 1
    memory.close()
    engine.dispose()
    with pytest.raises(UserError, match="needs an SQLite file"):
        Memory(sa.create_engine("sqlite://"), load_embedder("hashing"))


def test_several_texts_are_remembered_together_or_none_is(memory: Memory) -> None:
    texts = [fact(str(n), f"Part number {n} of the engine is made in Tivara.") for n in range(40)]
    long = fact("long", "Ila Ver was born in Lumo. " * 200)
    assert memory.add_all([*texts, long])[:40] == [1] * 40
    assert ids(memory.search("Who was born in Lumo?", owner="me", limit=1)) == ["long"]
    with pytest.raises(UserError, match="no text to remember"):
        memory.add_all([fact("new", "Melka Dorn was born in Bermere."), fact("blank", " ")])
    with pytest.raises(UserError, match="already"):
        memory.add_all([fact("new", "Melka Dorn was born in Bermere."), fact("1", "x", owner="b")])
    assert "new" not in ids(memory.search("Who was born in Bermere?", owner="me"))
    assert len(memory.sources("me")) == 41
    assert memory.add_all([]) == []


def test_a_batch_is_bounded_by_its_characters(tmp_path: Path) -> None:
    embedder = Counting()
    memory = Memory(tmp_path / "a.db", embedder, MemoryConfig(eager_seconds=1e9))
    memory.add_all([fact(str(n), "A part of brass. " * 20) for n in range(9)])
    assert embedder.counts == [5, 4]  # of 339 characters each
    memory.add_all([fact(f"fact {n}", "A part of brass.") for n in range(40)])
    assert embedder.counts == [5, 4, 32, 8]
    memory.close()
