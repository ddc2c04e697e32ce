"""All the filters of a CleanConfig in turn, cheap ones first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from nanohydra.core.types import Document, Record
from nanohydra.data.clean.duplicates import ExactDuplicates, NearDuplicates
from nanohydra.data.clean.language import LanguageFilter
from nanohydra.data.clean.overlap import Overlap
from nanohydra.data.clean.quality import QualityFilter
from nanohydra.data.config import CleanConfig, SourceConfig
from nanohydra.data.records import record_text
from nanohydra.data.sources import open_source


class Cleaner:
    """Decides record by record; remembers what it has seen, over all sources.

    overlap: the check against evaluation sets, or None.
    """

    def __init__(self, config: CleanConfig) -> None:
        self.config = config
        self.overlap: Overlap | None = None
        self._document_checks: list[Callable[[str], str | None]] = []
        self._checks: list[Callable[[str], str | None]] = []
        if config.quality:
            self._document_checks.append(QualityFilter(config.quality).reason)
        if config.exact_duplicates:
            self._checks.append(ExactDuplicates().reason)
        if config.languages:
            language = LanguageFilter(
                config.languages, min_probability=config.min_language_probability
            )
            self._checks.append(language.reason)
        if config.evaluation:
            self.overlap = Overlap(
                _evaluation_texts(config.evaluation), ngram_words=config.overlap_ngram_words
            )
            self._checks.append(self.overlap.reason)
        if config.near_duplicates:
            near = NearDuplicates(
                threshold=config.near_threshold,
                ngram_words=config.near_ngram_words,
                num_perm=config.near_permutations,
            )
            self._checks.append(near.reason)

    def reason(self, record: Record) -> str | None:
        """Why to drop the record, or None to keep it."""
        text = record_text(record)
        checks = self._checks
        if isinstance(record, Document):
            checks = self._document_checks + checks
        return next((why for why in (check(text) for check in checks) if why), None)


def _evaluation_texts(sources: Sequence[SourceConfig]) -> Iterator[str]:
    for config in sources:
        yield from map(record_text, open_source(config).records())
