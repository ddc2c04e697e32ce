"""Plain text files: each file one document, or cut into documents at a separator."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from nanohydra.data.reading import find_files, open_text
from nanohydra.data.sources import SUFFIXES
from nanohydra.data.sources.base import Row, RowSource

_CHUNK = 1 << 20


class TextSource(RowSource):
    """Documents of .txt, .md and .rst files, or of any file named."""

    def rows(self) -> Iterator[Row]:
        """A row of one column for each document; pieces of white space alone are passed over."""
        for path in find_files(self.config.path, SUFFIXES["text"]):
            with open_text(path) as stream:
                chunks = iter(partial(stream.read, _CHUNK), "")
                for text in _split(chunks, self.config.separator):
                    yield str(path), {"text": text}


def _split(chunks: Iterator[str], separator: str) -> Iterator[str]:
    """Parts between separators, of a text that comes in chunks; at least one part."""
    if not separator:
        yield "".join(chunks)
        return
    rest = ""
    for chunk in chunks:
        *parts, rest = (rest + chunk).split(separator)
        yield from (part for part in parts if part.strip())
    if rest.strip():
        yield rest
