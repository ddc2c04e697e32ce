"""Every source: its records, its limits, and what it says about what it cannot read."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import types
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.types import Conversation, Document
from nanohydra.data import SOURCES, SourceConfig, open_source

TEXTS = ["One fish.", "Two fish: «ré» 🐟", 'Red, "blue"\nfish.']


def read(**config):
    """Texts and tally of a source."""
    source = open_source(SourceConfig(**config))
    return [r.text if isinstance(r, Document) else r for r in source.records()], source.tally


@pytest.fixture
def stdlib(tmp_path, monkeypatch) -> Path:
    root = tmp_path / "lib"
    files = {
        "zoo/__init__.py": '"""A zoo.\n\n    Indented.\n"""\n',
        "zoo/cage.py": (
            "class Cage(object):\n    'Holds.'\n"
            "    def open(self, wide: bool = False, *, key) -> int:\n        '''Opens it.'''\n"
            "    def _lock(self): 'hidden'\n    async def wait(self): 'Waits.'\n"
            "def bare(): pass\nclass _Hidden: 'hidden'\n"
        ),
        "latin.py": "# -*- coding: latin-1 -*-\n'''caf\xe9'''\n",
        "plain.py": "x = 1\n",
        "test/test_x.py": "'''a test'''\n",
        "site-packages/other.py": "'''foreign'''\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(root))
    return root


@pytest.fixture
def configs(tmp_path, stdlib) -> dict[str, SourceConfig]:
    """One source of each kind in the table; those of files hold TEXTS."""
    rows = [{"id": n, "story": text} for n, text in enumerate(TEXTS)]
    (tmp_path / "a.txt").write_text("\n---\n".join(TEXTS), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "story"])
        writer.writeheader()
        writer.writerows(rows)
    dated = [{"text": text, "date": f"2025-0{n + 5}-01"} for n, text in enumerate(TEXTS)]
    (tmp_path / "dated.jsonl").write_text("\n".join(map(json.dumps, dated)))
    labelled = [{"sentence": text, "label": "fish"} for text in TEXTS]
    (tmp_path / "labelled.json").write_text(json.dumps(labelled))
    (tmp_path / "hub").mkdir()
    for name in ("a.parquet", "hub/train.parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    return {
        "text": SourceConfig(path=str(tmp_path / "a.txt"), separator="\n---\n"),
        "jsonl": SourceConfig(path=str(tmp_path / "a.jsonl")),
        "csv": SourceConfig(path=str(tmp_path / "a.csv")),
        "dated": SourceConfig(kind="dated", path=str(tmp_path / "dated.jsonl"), subset="2025"),
        "labelled": SourceConfig(kind="labelled", path=str(tmp_path / "labelled.json")),
        "parquet": SourceConfig(path=str(tmp_path / "a.parquet")),
        "hf": SourceConfig(kind="hf", path=str(tmp_path / "hub")),
        "primer": SourceConfig(kind="primer", counts={"facts": 3}),
        "pycode": SourceConfig(kind="pycode"),
        "pydocs": SourceConfig(kind="pydocs"),
    }


@pytest.mark.parametrize("kind", sorted(SOURCES))
def test_the_contract_of_a_source(configs, kind):
    config = configs[kind]
    source = open_source(config)
    records = list(source.records())
    assert records and all(isinstance(r, Document | Conversation) for r in records)
    assert source.tally.kept == len(records)
    assert list(open_source(config).records()) == records, "the order is fixed"
    if kind in ("text", "jsonl", "csv", "parquet", "hf"):
        assert [r.text for r in records] == TEXTS
    from dataclasses import replace

    assert list(open_source(replace(config, limit=2)).records()) == records[:2]


def test_an_unknown_kind_and_a_kind_that_cannot_be_told(tmp_path):
    with pytest.raises(UserError, match="unknown data source 'jsnl'; did you mean 'jsonl'"):
        read(kind="jsnl")
    (tmp_path / "a.bin").touch()
    with pytest.raises(UserError, match="cannot tell the kind"):
        read(path=str(tmp_path / "a.bin"))
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(UserError, match="several kinds"):
        read(path=str(tmp_path))
    assert read(path=str(tmp_path), kind="text")[0] == []


def test_text_files_are_documents(tmp_path):
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\r\n")
    with gzip.open(tmp_path / "b.txt.gz", "wb") as file:
        file.write(b"three")
    (tmp_path / "c.txt.gz").write_bytes(b"")
    (tmp_path / "d.txt").write_text(" \n")
    texts, tally = read(path=str(tmp_path))
    assert texts == ["one\n\ntwo\n", "three"]
    assert tally.dropped == {"empty": 2}
    assert read(path=str(tmp_path), separator="\n\n")[0] == ["one", "two\n", "three"]


def test_a_separator_is_found_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("nanohydra.data.sources.text._CHUNK", 3)
    (tmp_path / "a.txt").write_text("ab<|end|>cd<|end|><|end|> <|end|>ef")
    assert read(path=str(tmp_path), separator="<|end|>")[0] == ["ab", "cd", "ef"]


def test_invalid_utf8_is_replaced_or_dropped_and_counted(tmp_path):
    for name, data in (
        ("a.txt", b"b\xffd"),
        (
            "b.jsonl",
            b'{"text": "b\xffd"}\n{"text": "lone \\ud800"}\n{"text": "fine \\ud83d\\ude00"}',
        ),
        ("c.csv", b"text\nb\xffd\n"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        texts, tally = read(path=str(path))
        assert texts[0] == "b\ufffdd"
        assert tally.noted["invalid UTF-8 replaced"] == (2 if name == "b.jsonl" else 1)
        texts, tally = read(path=str(path), invalid_utf8="drop")
        assert texts == (["fine 😀"] if name == "b.jsonl" else [])
        assert tally.dropped["invalid UTF-8"] == (2 if name == "b.jsonl" else 1)


def test_invalid_utf8_in_parquet_and_in_conversations(tmp_path):
    bad = pa.array([b"ok", b"b\xffd"]).cast(pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, bad.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    texts, tally = read(path=str(tmp_path / "a.parquet"))
    assert texts == ["ok", "b\ufffdd"] and tally.noted["invalid UTF-8 replaced"] == 1
    row = {
        "messages": [
            {"role": "user", "content": "x\ud800\r\n"},
            {
                "role": "assistant",
                "tool_calls": [{"name": "f", "arguments": {"a": ["\udfff"]}}],
            },
        ]
    }
    (tmp_path / "b.jsonl").write_text(json.dumps(row))
    (made,), tally = read(path=str(tmp_path / "b.jsonl"))
    assert made.messages[0].content == "x\ufffd\n"
    assert made.messages[1].tool_calls[0].arguments == {"a": ["\ufffd"]}
    assert tally.noted["invalid UTF-8 replaced"] == 1


def test_json_lines_arrays_and_bad_lines(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"text": "a"},\n {"text": "b"}, 3]')
    with pytest.raises(UserError, match=r"a\.json, item 3: int, not an object; bad_rows='drop'"):
        read(path=str(path))
    assert read(path=str(path), bad_rows="drop")[0] == ["a", "b"]
    path.write_text("[1, 2")
    with pytest.raises(UserError, match="not valid"):
        read(path=str(path))
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"\r\n7\r\n{"text": "c"}\r\n')
    with pytest.raises(UserError, match=r"a\.jsonl, line 3: not valid JSON"):
        read(path=str(path))
    texts, tally = read(path=str(path), bad_rows="drop")
    assert texts == ["a", "c"]
    assert tally.dropped == {"bad row": 2} and tally.noted == {"blank line": 1}
    assert tally.read == 4 and tally.kept == 2
    path.write_bytes(b"")
    assert read(path=str(path))[0] == []


def test_an_unknown_column_names_the_columns_present(configs):
    for kind in ("jsonl", "csv", "parquet", "hf"):
        path = configs[kind].path
        with pytest.raises(UserError, match="no column 'body'; columns present: id, story"):
            read(kind=kind, path=path, column="body")
        assert read(kind=kind, path=path, column="story")[0] == TEXTS


def test_rows_that_differ_from_the_first(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"text": "a"}, {"messages": [{"role": "user", "content": "b"}]}, {"other": "c"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match="line 3: no column of text is known among: other"):
        read(path=str(path))
    made, tally = read(path=str(path), bad_rows="drop")
    assert made[0] == "a" and isinstance(made[1], Conversation)
    assert tally.dropped == {"bad row": 1}


def test_csv_oddities(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b'\xef\xbb\xbfid\ttext\r\n1\t"two\r\nlines"\r\n\r\n2\r\n3\t' + b"x" * 200_000)
    with pytest.raises(UserError, match=r"a\.tsv, line 5: 1 fields under a header of 2"):
        read(path=str(path))
    texts, tally = read(path=str(path), bad_rows="drop")
    assert texts == ["two\nlines", "x" * 200_000]
    assert tally.noted == {"blank line": 1} and tally.dropped == {"bad row": 1}
    (tmp_path / "b.csv").write_bytes(b"")
    texts, tally = read(path=str(tmp_path / "b.csv"))
    assert texts == [] and tally.noted == {"empty file": 1}


def test_a_damaged_parquet_file_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"a\.parquet is damaged or not a Parquet file"):
        read(path=str(path))


def test_parquet_of_conversations_reads_only_the_columns_needed(tmp_path):
    rows = [{"id": 1, "messages": [{"role": "user", "content": "a"}], "x": b"\0" * 10}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (made,), _ = read(path=str(tmp_path / "a.parquet"))
    assert made.messages[0].content == "a"


def test_a_dataset_that_cannot_be_reached_or_read(tmp_path, monkeypatch):
    fake = types.ModuleType("datasets")

    def unreachable(*_: object, **__: object) -> object:
        raise ConnectionError("no route to host")

    def breaks(*_: object, **__: object) -> object:
        yield {"text": "a"}
        raise TimeoutError("gone")

    monkeypatch.setitem(sys.modules, "datasets", fake)
    monkeypatch.setattr(fake, "load_dataset", unreachable, raising=False)
    with pytest.raises(UserError, match="cannot open dataset 'a/b'.*no route to host.*local files"):
        read(kind="hf", path="a/b")
    monkeypatch.setattr(fake, "load_dataset", breaks)
    with pytest.raises(UserError, match="dataset 'a/b' failed at row 1: gone"):
        read(kind="hf", path="a/b")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install nanohydra\[hf\]"):
        read(kind="hf", path="a/b")
    with pytest.raises(UserError, match="needs path="):
        read(kind="hf")


def test_a_split_or_a_column_that_a_dataset_lacks(configs):
    with pytest.raises(UserError, match="cannot open dataset .*split 'tset'"):
        read(kind="hf", path=configs["hf"].path, split="tset")


def test_the_primer_is_chosen_by_split_and_counts():
    records, _ = read(kind="primer", counts={"facts": 4}, seed=1)
    assert len(records) == 4
    with pytest.raises(UserError, match="no split 'valid'; known: train, test"):
        read(kind="primer", split="valid")


def test_the_librarys_code(stdlib):
    texts, tally = read(kind="pycode")
    assert len(texts) == 4 and "'''café'''" in texts[0]
    assert not any("foreign" in text or "a test" in text for text in texts)
    assert len(read(kind="pycode", tests=True)[0]) == 5
    (stdlib / "bad.py").write_bytes(b"x = '\xff'\n")
    with pytest.raises(UserError, match=r"bad\.py"):
        read(kind="pycode")
    assert read(kind="pycode", bad_rows="drop")[1].dropped == {"bad row": 1}


def test_the_librarys_docstrings(stdlib):
    texts, tally = read(kind="pydocs")
    latin, zoo, cage = texts
    assert latin == "Module latin\n============\n\ncafé\n"
    assert zoo == "Module zoo\n==========\n\nA zoo.\n\nIndented.\n"
    assert cage.split("\n\n") == [
        "Module zoo.cage\n===============",
        "class zoo.cage.Cage(object)",
        "Holds.",
        "zoo.cage.Cage.open(self, wide: bool=False, *, key) -> int",
        "Opens it.",
        "async zoo.cage.Cage.wait(self)",
        "Waits.\n",
    ]
    assert tally.noted == {"module without docstrings": 1}


def test_the_real_library_is_there_and_no_module_is_imported():
    before = set(sys.modules)
    texts, _ = read(kind="pydocs", limit=12)
    assert len(texts) == 12 and any("antigravity" in t or "Module" in t for t in texts)
    assert "antigravity" not in set(sys.modules) - before
    assert len(read(kind="pycode", limit=3)[0]) == 3


def test_a_month_of_dated_rows(tmp_path):
    path = tmp_path / "a.jsonl"
    days = ["2025-05-02", "2025-06-30", "2025-06-01", None, "2025-07-01"]
    rows = [{"abstract": f"of {day}", "published": day} for day in days]
    path.write_text("\n".join(map(json.dumps, rows)))
    june = {"kind": "dated", "path": str(path), "subset": "2025-06"}
    assert read(**june)[0] == ["of 2025-06-30", "of 2025-06-01"]
    assert read(**{**june, "limit": 1})[0] == ["of 2025-06-30"]
    with pytest.raises(UserError, match="no date that begins with '2024'"):
        read(**{**june, "subset": "2024"})
    with pytest.raises(UserError, match="needs a subset"):
        read(**{**june, "subset": ""})
    path.write_text('{"text": "x"}')
    with pytest.raises(UserError, match="has no date; known columns: published"):
        read(**june)


def test_labelled_texts_are_asked_and_answered(tmp_path):
    rows = [{"sentence": "It rained. " * 60, "label": "weather"}, {"text": "Goal!", "label": 3}]
    path = tmp_path / "train.json"
    path.write_text(json.dumps(rows))
    (first, second), _ = read(kind="labelled", path=str(tmp_path))
    question, answer = first.messages
    assert (question.role, answer.role, answer.content) == ("user", "assistant", "weather")
    assert question.content.endswith("rained. It\n\nWhich of these: 3, weather?")
    assert len(question.content) < 450  # so that no row is too short for the answer
    assert second.messages[1].content == "3"
    (tmp_path / "labels.json").write_text('["sport", "weather"]')
    records, _ = read(kind="labelled", path=str(tmp_path))
    assert len(records) == 2 and records[1].messages[0].content.endswith("sport, weather?")
    path.write_text('[{"text": "x"}, {"text": "y", "label": "z"}]')
    with pytest.raises(UserError, match=r"item 1: no text and 'label' among its columns: text"):
        read(kind="labelled", path=str(path))
    records, tally = read(kind="labelled", path=str(path), bad_rows="drop")
    assert len(records) == 1 and tally.dropped["bad row"] == 1 and tally.kept == 1
    path.write_text(json.dumps(rows))
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(UserError, match="must be a list of texts"):
        read(kind="labelled", path=str(path))
