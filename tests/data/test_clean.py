"""Filters: what each drops, what it keeps, and under which name."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.types import Conversation, Document, Message
from nanohydra.data import CleanConfig, Cleaner, QualityConfig, SourceConfig, open_source
from nanohydra.data.clean import NearDuplicates, Overlap, QualityFilter

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no folder of public samples")

WORDS = """time year people way day man thing woman life child world school state family student
country problem hand part place case week company system program question work number night
home water room mother area money story fact month lot right study book eye job""".split()


FRAMES = """Some {} of that {} went away with her {} in the {}.
It was to be a {} for every {} and no {} wanted any {}.
They have never found out which {} broke their {} near this {} or {}.
Because my {} grew, our {} became much more than one {} under a {}.
Where did your {} hide those {} before another {} saw an old {}?
Nobody could say whether his {} or its {} had made such {} into {}!
We told them about each {}, although few {} knew why {} needed {}.
When all {} are gone, will you bring back both {}, then {} and {}?
After three {} he built himself half the {} from only {} by {}.
Let us be quiet until {} comes here, since too many {} hate {} at {}.
She often gave us {} while someone sold {}, lost {} or forgot {}.
If there were less {}, most of what {} says might help {} and {}.""".splitlines()


def prose(seed: int, num_sentences: int = 12) -> str:
    """Varied sentences that together pass every default threshold."""
    rng = random.Random(seed)
    frames = [FRAMES[(seed + n) % len(FRAMES)] for n in range(num_sentences)]
    return " ".join(frame.format(*rng.sample(WORDS, 4)) for frame in frames)


def reasons(config: CleanConfig, texts: list[str]) -> list[str | None]:
    cleaner = Cleaner(config)
    return [cleaner.reason(Document(text=text)) for text in texts]


def test_exact_duplicates_ignore_outer_space_and_are_found_over_sources():
    assert reasons(CleanConfig(), ["a b", "a  b", " a b\n"]) == [None, None, "exact duplicate"]
    assert reasons(CleanConfig(exact_duplicates=False), ["a", "a"]) == [None, None]
    cleaner = Cleaner(CleanConfig())
    chat = Conversation(messages=(Message(role="user", content="a"),))
    assert [cleaner.reason(chat), cleaner.reason(chat)] == [None, "exact duplicate"]


def test_near_duplicates_by_similarity():
    words = prose(0, 60).split()

    def changed(count: int) -> str:
        copy = list(words)
        for place in random.Random(1).sample(range(len(copy)), count):
            copy[place] = "changed"
        return " ".join(copy)

    near = NearDuplicates(threshold=0.8, ngram_words=5, num_perm=256)
    assert near.reason(" ".join(words)) is None
    assert near.reason(changed(3)) == "near duplicate"  # 3 words lie in 15 of 835 runs
    assert near.reason(changed(300)) is None
    assert near.reason(prose(2, 60)) is None
    assert near.reason("two words") is None
    assert near.reason("two words") == "near duplicate"
    assert reasons(CleanConfig(near_duplicates=True), [prose(0), prose(0) + " End."]) == [
        None,
        "near duplicate",
    ]


def test_languages():
    texts = [
        "The quick brown fox jumps over the lazy dog while the farmer watches from the house.",
        "Der Bauer sieht von seinem Haus aus zu, wie der Fuchs über den faulen Hund springt.",
        "Le renard brun saute par-dessus le chien paresseux pendant que le fermier regarde.",
    ]
    config = CleanConfig(languages=("en", "de"))
    assert reasons(config, texts) == [None, None, "language fr"]
    sure = CleanConfig(languages=("en",), min_language_probability=1.1)
    assert reasons(sure, texts[:1]) == ["language unsure"]
    with pytest.raises(UserError, match="unknown language 'english'"):
        Cleaner(CleanConfig(languages=("english",)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (prose(1), None),
        ("Too short a text.", "too few words"),
        (prose(1) * 20, "duplicate 5-grams"),
        (" ".join(["incomprehensibilities"] * 60), "mean word length"),
        (prose(1).replace(" the ", " # ").replace(" or ", " # # # # # # # # # # "), "symbols"),
        (
            " ".join(w if i % 3 else "1234" for i, w in enumerate(prose(1).split())),
            "words without letters",
        ),
        (" ".join(WORDS * 2), "too few stop words"),
        ("\n".join(f"- {prose(i, 1)}" for i in range(12)), "bullet lines"),
        ("\n".join(prose(i, 1)[:-1] + "..." for i in range(6)), "lines ending in an ellipsis"),
        (prose(1).translate(str.maketrans(".?!", ",,,")), "too few sentences"),
        (prose(1) + " Lorem Ipsum dolor.", "banned phrase"),
        ("\n".join([*(prose(i, 1) for i in range(8)), *[prose(9, 1)] * 8]), "duplicate lines"),
        (
            "\n".join([prose(i, 1) for i in range(8)] + [prose(3, 6)] * 2),
            "characters in duplicate lines",
        ),
        (prose(1).replace(". ", ".\n") + "\n\nJust so then." * 3, "duplicate paragraphs"),
    ],
)
def test_quality_thresholds(text, why):
    found = QualityFilter(QualityConfig()).reason(text)
    assert found == (f"quality: {why}" if why else None)


def test_quality_options():
    config = QualityConfig(min_words=1, min_sentences=1, min_stop_words=0, min_alphabetic_words=0.0)
    check = QualityFilter(replace(config, allow_curly_bracket=False))
    assert check.reason("Just leave.") is None
    assert check.reason("int main() { return zero. }") == "quality: curly bracket"
    top = QualityFilter(QualityConfig(max_duplicate_ngram_characters=(), max_duplicate_lines=1.0))
    assert top.reason(prose(1) + " hello there" * 40) == "quality: top 2-gram"


def test_quality_is_for_documents_alone():
    cleaner = Cleaner(CleanConfig(quality=QualityConfig()))
    chat = Conversation(messages=(Message(role="user", content="Hi"),))
    assert cleaner.reason(chat) is None
    assert cleaner.reason(Document(text="Hi")) == "quality: too few words"


def test_overlap_with_evaluation_texts():
    question = " ".join(WORDS[:20])
    short = " ".join(WORDS[20:29])  # 9 words: matched as a whole
    overlap = Overlap([question, short, "too short"], ngram_words=13)
    assert (overlap.num_texts, overlap.num_too_short) == (2, 1)
    why = "overlaps an evaluation set"
    assert overlap.reason("Before. " + " ".join(WORDS[3:16]).upper() + "!! After") == why
    assert overlap.reason(" ".join(WORDS[3:15]) + " other " + " ".join(WORDS[16:20])) is None
    assert overlap.reason("x " + short + " y") == why
    assert overlap.reason(" ".join(WORDS[20:28])) is None


def test_overlap_reads_its_sources(tmp_path):
    (tmp_path / "eval.jsonl").write_text(
        json.dumps({"question": " ".join(WORDS[:15]), "answer": "none"})
    )
    config = CleanConfig(evaluation=(SourceConfig(path=str(tmp_path / "eval.jsonl")),))
    texts = ["see: " + " ".join(WORDS[:14]), " ".join(WORDS[20:40])]
    assert reasons(config, texts) == ["overlaps an evaluation set", None]


@needs_samples
def test_the_quality_filter_keeps_most_of_real_web_text():
    source = open_source(SourceConfig(path=str(SAMPLES / "text/c4_sample.jsonl.gz")))
    cleaner = Cleaner(CleanConfig(quality=QualityConfig(), languages=("en",)))
    found = [cleaner.reason(record) for record in source.records()]
    assert 0.7 < found.count(None) / len(found) < 0.95
    assert len(set(found)) >= 4


@needs_samples
def test_a_leaked_evaluation_question_is_found():
    path = SAMPLES / "eval/gsm8k_test.jsonl.gz"
    with gzip.open(path, "rt") as file:
        leaked = json.loads(next(file))["question"]
    cleaner = Cleaner(CleanConfig(evaluation=(SourceConfig(path=str(path), limit=50),)))
    assert cleaner.overlap is not None and cleaner.overlap.num_texts == 50
    assert cleaner.reason(Document(text=f"A page. {leaked} More.")) == "overlaps an evaluation set"
    source = open_source(SourceConfig(path=str(SAMPLES / "text/c4_sample.jsonl.gz"), limit=100))
    assert all(cleaner.reason(record) is None for record in source.records())
