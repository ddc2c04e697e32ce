"""A text cut into passages of whole sentences that overlap, each with its place in the text.

Knows nothing of what passages are for. A sentence is cut only if it alone is longer than a passage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nanohydra.core.errors import UserError
from nanohydra.memory.types import Passage

# After these a full stop is not the end of a sentence (compared without the stop, in lower case);
# after the second kind it is not if a number follows.
ABBREVIATIONS = frozenset(
    """mr mrs ms dr prof st sr jr gen col sgt capt lt rev hon gov sen rep vs etc al eds cf ca approx
    dept est inc ltd co corp e.g i.e u.s u.k ph.d a.m p.m""".split()
)
NUMBERED = frozenset(
    """no nos vol p pp fig figs art sec ch ed jan feb mar apr jun jul aug sep sept oct nov
    dec""".split()
)
# A stop with what closes after it and the white space before the next sentence; the stops of
# Chinese and Japanese need no space; an empty line, or a line that begins a list entry, a heading
# or a table row, begins a new sentence as well.
BOUNDARY = re.compile(
    r"""(?P<stop>[.!?…]+)["'”’»)\]]*\s+ | [。！？]+[」』”’）]*\s* | \s*\n\s*\n\s* |
    [ \t]*\n(?=[ \t]*(?:[-*•#|>]|\d{1,3}[.)][ \t]))""",
    re.VERBOSE,
)
LAST_WORD = re.compile(r"[^\s(\[\"'“‘«]+$")


@dataclass(frozen=True, kw_only=True)
class ChunkConfig:
    """How long passages are, in characters; whole sentences of up to `overlap` are repeated."""

    max_characters: int = 800
    overlap: int = 160

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.max_characters:
            raise UserError(
                f"overlap={self.overlap} must be at least 0 and less than "
                f"max_characters={self.max_characters}"
            )


def split_sentences(text: str) -> Iterator[tuple[int, int]]:
    """The spans of the sentences, without the white space between them."""
    start = 0
    for match in BOUNDARY.finditer(text):
        if match["stop"] and not _ends_sentence(text, match):
            continue
        yield from _trimmed(text, start, match.end())
        start = match.end()
    yield from _trimmed(text, start, len(text))


def split_passages(text: str, config: ChunkConfig | None = None) -> list[Passage]:
    """Passages that together hold every sentence, in order; none for a blank text."""
    config = config or ChunkConfig()
    passages: list[Passage] = []
    held: list[tuple[int, int]] = []  # the sentences of the passage in the making

    def finish() -> None:
        start, end = held[0][0], held[-1][1]
        passages.append(Passage(text=text[start:end], start=start, end=end))

    for start, end in _pieces(text, config.max_characters):
        if held and end - held[0][0] > config.max_characters:
            finish()
            last = held[-1][1]
            held = [s for s in held if last - s[0] <= config.overlap]
            while held and end - held[0][0] > config.max_characters:
                held.pop(0)  # the overlap gives way to the sentence that comes
        held.append((start, end))
    if held:
        finish()
    return passages


def _pieces(text: str, longest: int) -> Iterator[tuple[int, int]]:
    """The sentences; one longer than `longest` in parts, cut at white space where there is some."""
    for start, end in split_sentences(text):
        while end - start > longest:
            cut = start + longest
            # a cut in the first half would leave crumbs: better to cut a word
            spaces = [m.start() for m in re.finditer(r"\s", text[start + longest // 2 : cut + 1])]
            if spaces:
                cut = start + longest // 2 + spaces[-1]
            yield from _trimmed(text, start, cut)
            start = cut
        yield from _trimmed(text, start, end)


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether a stop ends a sentence: not after "Dr." or "J.", nor before a small letter."""
    following = text[match.end() : match.end() + 1]
    if "\n\n" in match.group():
        return True
    if match["stop"] != ".":
        return not following.islower()
    before = LAST_WORD.search(text, max(0, match.start() - 40), match.start())
    word = before.group() if before else ""
    initial = len(word) == 1 and word.isupper() and word != "I"
    numbered = word.lower() in NUMBERED and following.isdigit()
    return not (following.islower() or initial or numbered or word.lower() in ABBREVIATIONS)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span without white space at its ends, or nothing if it is blank."""
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    right = len(piece.rstrip())
    if left < right:
        yield start + left, start + right
