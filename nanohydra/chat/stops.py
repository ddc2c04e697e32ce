"""Stop strings in a stream of text: found across pieces, and never shown, not even in part."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Passes text on until the first stop string; holds back what could become one.

    Of several the one that is complete first counts, and of those the longest, so that the text
    shown does not depend on how it was cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = tuple(stops)
        self.hit = False
        self._held = ""

    def push(self, text: str) -> str:
        """The part of the text so far that may be shown now; nothing after a hit."""
        if self.hit or not self.stops:
            return "" if self.hit else text
        text = self._held + text
        found = [(at + len(stop), at) for stop in self.stops if (at := text.find(stop)) >= 0]
        if found:
            self.hit = True
            self._held = ""
            return text[: min(found)[1]]
        keep = max(self._overlap(text, stop) for stop in self.stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, once it is clear that no more text comes."""
        held, self._held = self._held, ""
        return held

    @staticmethod
    def _overlap(text: str, stop: str) -> int:
        """The length of the longest end of the text that begins the stop string."""
        for size in range(min(len(text), len(stop) - 1), 0, -1):
            if stop.startswith(text[len(text) - size :]):
                return size
        return 0
