"""Which language a text is in, by py3langid (Lui and Baldwin 2012)."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest

_CHARACTERS = 2000  # of the text; more changes the answer seldom and costs time


class LanguageFilter:
    """Keeps texts of some languages; needs the package py3langid.

    languages: ISO 639-1 codes. min_probability: that the classifier must give the language.
    Raises UserError for a code that the classifier does not know.
    """

    def __init__(self, languages: Collection[str], *, min_probability: float = 0.5) -> None:
        self.languages = frozenset(languages)
        self.min_probability = min_probability
        self._model = _classifier()
        known = set(self._model.labels)
        for language in sorted(self.languages - known):
            raise UserError(f"unknown language {language!r}; {suggest(language, known)}")

    def reason(self, text: str) -> str | None:
        """Why to drop the text, or None."""
        language, probability = self._model.classify(text[:_CHARACTERS])
        if language not in self.languages:
            return f"language {language}"
        return "language unsure" if probability < self.min_probability else None


@functools.cache  # reading the model takes seconds
def _classifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UserError("languages needs py3langid: pip install nanohydra[hf]") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
