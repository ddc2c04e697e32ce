"""What to read, how to clean it and how to feed it, as data; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Packing = Literal["crop", "pad"]
HoldOut = Literal["auto", "hash", "tail"]


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One place that records come from.

    kind: a name in `SOURCES`, or "auto" to tell it from the file's suffix.
    path: a file, a folder (read recursively) or a glob; for kind "hf" a dataset's name on the
        hub or a local folder of it.
    column: the column that holds the text or the conversation; "" finds it by its usual names.
    separator: for kind "text", what stands between two documents of a file ("\\n\\n" splits at
        blank lines); "" makes each file one document.
    split, subset: which part of a dataset ("hf") or of the primer to read; for kind "dated",
        `subset` is the beginning of the date, such as "2025-06".
    invalid_utf8: put U+FFFD in the place of each invalid byte, or drop the record; counted.
    bad_rows: stop at a row that cannot be read, or drop and count it.
    limit: read at most this many records, 0 = all.
    seed, counts: for kind "primer", its seed and how many examples of each domain.
    tests: for kinds "pycode" and "pydocs", read the library's own tests too.
    name: what reports call this source; "" takes the path, or else the kind.
    """

    kind: str = "auto"
    path: str = ""
    column: str = ""
    separator: str = ""
    split: str = "train"
    subset: str = ""
    invalid_utf8: Literal["replace", "drop"] = "replace"
    bad_rows: Literal["error", "drop"] = "error"
    limit: int = 0
    seed: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    tests: bool = False
    name: str = ""

    @property
    def label(self) -> str:
        """The name for reports."""
        return self.name or self.path or self.kind


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Thresholds of the quality heuristics: Gopher (Rae et al. 2021, tables A1 and A2) and C4
    (Raffel et al. 2020, section 2.2). They are meant for web pages in English; code and short
    stories fail several of them. A share is of words, lines or characters, 0 to 1.
    """

    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_length: float = 3.0
    max_mean_word_length: float = 10.0
    max_symbols_per_word: float = 0.1  # of "#" and of "..." / "…"
    max_bullet_lines: float = 0.9
    max_ellipsis_lines: float = 0.3
    min_alphabetic_words: float = 0.8
    min_stop_words: int = 2  # of: the, be, to, of, and, that, have, with
    max_duplicate_lines: float = 0.3
    max_duplicate_paragraphs: float = 0.3
    max_duplicate_line_characters: float = 0.2
    max_duplicate_paragraph_characters: float = 0.2
    max_top_ngram_characters: tuple[float, ...] = (0.20, 0.18, 0.16)  # 2-, 3-, 4-grams
    max_duplicate_ngram_characters: tuple[float, ...] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
    min_sentences: int = 3  # lines or sentences that end in . ! ? or a quote
    banned_phrases: tuple[str, ...] = ("lorem ipsum",)
    allow_curly_bracket: bool = True  # C4 drops every page with "{", and with it most code


@dataclass(frozen=True, kw_only=True)
class CleanConfig:
    """Which records to drop. By default only exact duplicates.

    exact_duplicates: drop a text that was seen before, apart from white space at its ends.
    near_duplicates: drop a text whose estimated Jaccard similarity to an earlier one is
        `near_threshold` or more, by MinHash-LSH over runs of `near_ngram_words` words.
    languages: ISO 639-1 codes to keep, () = all, at `min_language_probability` or more.
    quality: heuristics for plain documents; conversations pass.
    evaluation: sources of evaluation texts; a record that shares a run of
        `overlap_ngram_words` words with one of them is dropped.
    """

    exact_duplicates: bool = True
    near_duplicates: bool = False
    near_threshold: float = 0.8
    near_ngram_words: int = 5
    near_permutations: int = 128
    languages: tuple[str, ...] = ()
    min_language_probability: float = 0.5
    quality: QualityConfig | None = None
    evaluation: tuple[SourceConfig, ...] = ()
    overlap_ngram_words: int = 13

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        if not 0 < self.near_threshold <= 1:
            raise ValueError(f"near_threshold is {self.near_threshold}; it lies in (0, 1]")
        for name in ("near_ngram_words", "near_permutations", "overlap_ngram_words"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Weights of the named shards until a share `until` of the run (0 to 1) is done."""

    until: float = 1.0
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How records become batches.

    rows_per_batch: rows of one batch over all ranks together.
    packing: "crop" fills every place and may cut a document to fill a row (pretraining);
        "pad" never divides a record and fills what is left with padding (conversations).
    total_batches: length of the run, over as many epochs as that takes, in shuffled order;
        0 = one pass over every record in stored order, whatever the weights (validation).
    weights: share of the tokens that each named shard gives, over the whole run; need not add
        up to 1, and a name that is left out is not drawn. {} = in proportion to their tokens.
    phases: weights that change over the run, in place of `weights`; the last has until=1.
    buffer_size: records to choose from when a row is filled; more wastes less.
    """

    rows_per_batch: int = 16
    row_length: int = 512
    packing: Packing = "crop"
    weights: Mapping[str, float] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    seed: int = 0
    total_batches: int = 0
    buffer_size: int = 512

    def __post_init__(self) -> None:
        """Refuse sizes that cannot work."""
        for name, least in (
            ("rows_per_batch", 1),
            ("row_length", 2),
            ("total_batches", 0),
            ("buffer_size", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.weights and self.phases:
            raise ValueError("give weights or phases, not both")
        if self.all_phases:
            _check_phases(self.all_phases)

    @property
    def all_phases(self) -> tuple[Phase, ...]:
        """The phases; `weights` alone are one that lasts for the run."""
        return self.phases or ((Phase(weights=self.weights),) if self.weights else ())


def _check_phases(phases: tuple[Phase, ...]) -> None:
    last = 0.0
    for phase in phases:
        if not last < phase.until <= 1:
            raise ValueError(f"phase until={phase.until} must lie after {last} and not after 1")
        weights = phase.weights.values()
        if not all(0 <= weight < math.inf for weight in weights) or not sum(weights) > 0:
            raise ValueError(f"weights {dict(phase.weights)} need one above 0 and none below")
        last = phase.until
    if last != 1:
        raise ValueError(f"the last phase ends at {last}; it must have until=1.0")
