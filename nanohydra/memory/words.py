"""Words of queries: which of them say what is sought, and a safe FTS5 query for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MAX_WORDS = 48
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# Words of grammar and of asking, which tell no passage from another.
PLAIN = frozenset(
    """a an the this that these those it its he she they we you i me my mine your yours our his her
    their them us him and or but if of in on at to for from with by about as into over under is are
    was were be been being am do does did done has have had can could will would shall should may
    might must not no yes what which who whom whose when where why how much many any some there
    here now then please tell say know want like remember remind let give so too also just than
    s t m re ve ll d""".split()
)


@dataclass(frozen=True)
class Word:
    """A word of a query. name: it is written as a name or a number is, or it is no common word."""

    text: str
    name: bool

    @property
    def match(self) -> str:
        """A query of FTS5 for this word alone; nothing in it can be read as an operator."""
        return f'"{self.text}"'


def query_words(query: str, is_common: Callable[[str], bool] = lambda _: True) -> list[Word]:
    """The distinct words of a query that are not plain, at most MAX_WORDS; all, if all are plain.

    A digit makes a name, a capital letter too, but not at the beginning of a sentence; and so does
    not being common, as most people type names in small letters.
    """
    found: dict[str, Word] = {}
    plain: dict[str, Word] = {}
    end = 0
    first = True
    for match in WORD.finditer(query):
        first = first or bool(re.search(r"[.!?:\n]", query[end : match.start()]))
        end = match.end()
        text = re.sub(r"['’]s$", "", match.group())
        name = any(c.isdigit() for c in text) or (
            any(c.isupper() for c in (text[1:] if first else text))
        )
        first = False
        key = text.lower()
        name = name or not is_common(key)
        target = plain if key in PLAIN else found
        if key not in target or (name and not target[key].name):
            target[key] = Word(key.replace("’", "'"), name)
    return list((found or plain).values())[:MAX_WORDS]
