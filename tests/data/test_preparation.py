"""Preparing: sources to shards, every record accounted for, held out alike in every run."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.types import Conversation, Document, Message
from nanohydra.data import CleanConfig, Loader, LoaderConfig, SourceConfig, open_split, prepare
from nanohydra.data.hold_out import FEW, assign
from nanohydra.tokenizer import Tokenizer

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no folder of public samples")
WORDS = "a fish sees the red moon over our small house and then goes to sleep".split()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([" ".join(WORDS)] * 3, vocab_size=300)


def stories(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [f"{n}: " + " ".join(rng.choices(WORDS, k=rng.randint(5, 30))) for n in range(count)]


def jsonl(path: Path, texts: list[str]) -> SourceConfig:
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return SourceConfig(path=str(path))


def decoded(tokenizer: Tokenizer, shards) -> list[str]:
    return [tokenizer.decode(shards[i][0].tolist()) for i in range(len(shards))]


def test_documents_and_conversations_become_shards(tmp_path, tokenizer):
    rows = [
        {
            "messages": [
                {"role": "user", "content": "moon"},
                {"role": "assistant", "content": "red"},
            ]
        },
        {"messages": [{"role": "user", "content": "no answer"}]},
    ]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    texts = stories(40)
    sources = {
        "stories": jsonl(tmp_path / "stories.jsonl", [*texts, texts[3], " "]),
        "chat": SourceConfig(path=str(tmp_path / "chat.jsonl")),
    }
    seen = []
    report = prepare(
        sources, CleanConfig(), tokenizer, tmp_path / "out", lambda *counts: seen.append(counts)
    )
    train = open_split(tmp_path / "out", "train", fingerprint=tokenizer.fingerprint)
    assert decoded(tokenizer, train["stories"]) == texts
    ids, mask = train["stories"][0]
    assert ids[0] == tokenizer.bos_id and mask.tolist() == [False] + [True] * (len(ids) - 1)
    ids, mask = train["chat"][0]
    assert tokenizer.decode(ids[mask].tolist(), skip_special=False) == "red<|end|>"
    assert open_split(tmp_path / "out", "valid") == {}
    story, chat = report["sources"]
    assert (story["read"], story["kept"]) == (42, 40)
    assert story["dropped"] == {"exact duplicate": 1, "empty": 1}
    assert chat["dropped"] == {"no target": 1}
    assert report["splits"]["train"]["stories"]["tokens"] == train["stories"].num_tokens
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert train["stories"].manifest["source"] == story
    assert seen[-1][1] == sum(shards.num_tokens for shards in train.values())
    batch = next(Loader(train, LoaderConfig(row_length=64, packing="pad", total_batches=1)))
    assert batch.num_targets > 0


def test_held_out_records_are_the_same_in_every_run_and_order(tmp_path, tokenizer):
    texts = stories(300)
    valid = []
    for name, order in (("a", texts), ("b", texts[::-1])):
        source = {"stories": jsonl(tmp_path / f"{name}.jsonl", order)}
        prepare(source, CleanConfig(), tokenizer, tmp_path / name, valid_fraction=0.1)
        parts = {
            split: decoded(tokenizer, open_split(tmp_path / name, split)["stories"])
            for split in ("train", "valid")
        }
        assert sorted(parts["train"] + parts["valid"]) == sorted(texts)
        assert 15 <= len(parts["valid"]) <= 50
        valid.append(set(parts["valid"]))
    assert valid[0] == valid[1]


def test_the_tail_of_one_long_text_is_held_out(tmp_path, tokenizer):
    text = " ".join(stories(50))
    (tmp_path / "book.txt").write_text(text)
    source = {"book": SourceConfig(path=str(tmp_path / "book.txt"))}
    prepare(source, CleanConfig(), tokenizer, tmp_path / "out", valid_fraction=0.1)
    train, valid = (
        decoded(tokenizer, open_split(tmp_path / "out", split)["book"])
        for split in ("train", "valid")
    )
    assert train + valid == [text[: int(len(text) * 0.9)], text[int(len(text) * 0.9) :]]


def test_how_records_are_assigned():
    few = [Document(text="x" * 10)] * (FEW - 1)
    assert [split for split, _ in assign(few, fraction=0.5)] == ["train", "valid"] * (FEW - 1)
    many = [Document(text=f"{n}") for n in range(400)]
    found = list(assign(many, fraction=0.5))
    assert [record for _, record in found] == many
    assert 150 < sum(split == "valid" for split, _ in found) < 250
    chats = [Conversation(messages=(Message(role="user", content=f"{n}"),)) for n in range(9)]
    found = list(assign(chats, fraction=0.01))
    assert [record for _, record in found] == chats, "a conversation is never cut"
    assert [split for split, _ in found].count("valid") == 1, "one at least"
    held = {r.text for split, r in assign(many[:100], fraction=0.07) if split == "valid"}
    assert len(held) == 7, "a small corpus gives exactly the share"
    again = assign(many[99::-1], fraction=0.07)
    assert {r.text for split, r in again if split == "valid"} == held
    assert [split for split, _ in assign(chats[:1], fraction=0.5)] == ["train"]
    assert [s for s, _ in assign(many, fraction=0)] == ["train"] * 400
    assert [s for s, _ in assign(many, fraction=1)] == ["valid"] * 400


def test_heldout_sources_are_kept_from_training(tmp_path, tokenizer):
    texts = stories(40)
    report = prepare(
        {"all": jsonl(tmp_path / "all.jsonl", texts)},
        CleanConfig(),
        tokenizer,
        tmp_path / "out",
        heldout={"test": jsonl(tmp_path / "test.jsonl", texts[:5])},
    )
    assert decoded(tokenizer, open_split(tmp_path / "out", "valid")["test"]) == texts[:5]
    assert decoded(tokenizer, open_split(tmp_path / "out", "train")["all"]) == texts[5:]
    assert [source["heldout"] for source in report["sources"]] == [True, False]


def test_nothing_left_is_an_error_and_leaves_nothing(tmp_path, tokenizer):
    (tmp_path / "empty.txt").touch()
    out = tmp_path / "out"
    for source, what in (
        (SourceConfig(path=str(tmp_path / "empty.txt")), "1 records read, dropped: 1 empty"),
        (jsonl(tmp_path / "blank.jsonl", []), "0 records read; check"),
    ):
        with pytest.raises(UserError, match=f"nothing is left of source 'x'.*{what}"):
            prepare({"x": source}, CleanConfig(), tokenizer, out, valid_fraction=0.5)
    with pytest.raises(UserError, match="no record was held out"):
        source = jsonl(tmp_path / "b.jsonl", stories(50))
        prepare({"x": source}, CleanConfig(), tokenizer, out, valid_fraction=1e-9, hold_out="hash")
    with pytest.raises(UserError, match="source name '../x' becomes a folder"):
        prepare({"../x": source}, CleanConfig(), tokenizer, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.jsonl", "blank.jsonl", "empty.txt"]


def test_only_prepared_data_is_replaced(tmp_path, tokenizer):
    source = {"x": jsonl(tmp_path / "x.jsonl", stories(5))}
    with pytest.raises(UserError, match="holds other files"):
        prepare(source, CleanConfig(), tokenizer, tmp_path)
    with pytest.raises(UserError, match="is a file"):
        prepare(source, CleanConfig(), tokenizer, tmp_path / "x.jsonl")
    for count in (5, 7):
        source = {"x": jsonl(tmp_path / "x.jsonl", stories(count))}
        prepare(source, CleanConfig(), tokenizer, tmp_path / "out")
        assert len(open_split(tmp_path / "out", "train")["x"]) == count
    with pytest.raises(UserError, match="is not prepared data"):
        open_split(tmp_path, "train")
    other = Tokenizer.train(["other text altogether"], vocab_size=270)
    with pytest.raises(UserError, match="made with another tokenizer"):
        open_split(tmp_path / "out", "train", fingerprint=other.fingerprint)


@needs_samples
def test_real_stories_lose_nothing(tmp_path):
    source = SourceConfig(path=str(SAMPLES / "text/tinystories_heldout.jsonl.gz"), limit=120)
    from nanohydra.data import open_source

    texts = [record.text for record in open_source(source).records()]
    tokenizer = Tokenizer.train(texts, vocab_size=512)
    clean = CleanConfig(near_duplicates=True, languages=("en",))
    report = prepare({"stories": source}, clean, tokenizer, tmp_path / "out", valid_fraction=0.1)
    (account,) = report["sources"]
    assert account["read"] == 120 == account["kept"] + sum(account["dropped"].values())
    assert account["kept"] > 110
    train = open_split(tmp_path / "out", "train")
    assert set(decoded(tokenizer, train["stories"])) <= set(texts)
    for shards in train.values():
        shards.verify()
    loader = Loader(train, LoaderConfig(row_length=128))
    total = sum(int((batch.segments_BT >= 0).sum()) for batch in loader)
    assert total == train["stories"].num_tokens - loader.counts.get("dropped tokens", 0)
