"""Tool calls while they are written: the name as soon as it is known, then the arguments' text.

The pieces of the arguments are the model's own characters, so that joined they are its JSON. Reads
every spelling of calls.py; what is between the marks is handed in, see reader.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

ARGUMENTS = ("arguments", "parameters")
_NAMED = re.compile(r"\s*([\w.-]+)\s*(?:\[ARGS\])?\s*\{")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallPiece:
    """A piece of call number `index` of the turn; its first one has the name."""

    index: int
    name: str = ""
    arguments: str = ""


class CallStream:
    """The calls of one turn. `feed` it all that stands between the marks, as far as it is known."""

    def __init__(self) -> None:
        self.num_calls = 0
        self._scanners: list[CallScanner] = []
        self._lengths: list[int] = []

    def feed(self, raw_calls: Sequence[str]) -> list[CallPiece]:
        """What is new in the texts between the marks, of which only the last one grows."""
        pieces: list[CallPiece] = []
        for number in range(max(0, len(self._scanners) - 1), len(raw_calls)):
            if number == len(self._scanners):
                self._scanners.append(CallScanner())
                self._lengths.append(0)
            text = raw_calls[number][self._lengths[number] :]
            self._lengths[number] += len(text)
            for name, arguments in self._scanners[number].feed(text):
                self.num_calls += bool(name)
                index = self.num_calls - 1
                pieces.append(CallPiece(index=index, name=name, arguments=arguments))
        return pieces


class CallScanner:
    """One text between marks: `NAME {...}`, or objects with a name and arguments, also in a list.

    A single pass over the characters, which keeps track of brackets and strings and nothing else:
    what is no JSON gives no piece, or pieces that are no JSON either.
    """

    def __init__(self) -> None:
        self._begun = ""  # until it is clear which spelling it is
        self._known = False
        self._open: list[str] = []  # the brackets around the place
        self._keys: list[str] = []  # the last key in each of them
        self._word: str | None = None  # the string that is being read
        self._escaped = False
        self._at_key = False
        self._inside: int | None = None  # how many brackets were open before the arguments
        self._name = ""
        self._held = ""  # arguments that came before the name
        self._has_arguments = False
        self._new: list[tuple[str, str]] = []
        self._text = ""  # new characters of the arguments

    def feed(self, text: str) -> list[tuple[str, str]]:
        """Names and pieces of arguments, in order."""
        if not self._known:
            text, self._begun = self._begun + text, ""
            text = self._decide(text)
        for character in text:
            self._read(character)
        self._give(self._text)
        new, self._new, self._text = self._new, [], ""
        return new

    def _decide(self, text: str) -> str:
        """The text that is left to read, once the spelling is known."""
        if text.lstrip()[:1] in ("{", "["):
            self._known = True
        elif found := _NAMED.match(text):
            self._known = True
            self._begin(found[1])
            self._inside = 0
            return text[found.end() - 1 :]
        else:
            self._begun = text
            return ""
        return text

    def _read(self, character: str) -> None:
        if self._inside is not None:
            self._text += character
        if self._word is not None:
            self._read_string(character)
        elif character == '"':
            self._word = character
        elif character in "{[":
            self._enter(character)
        elif character in "}]":
            self._leave()
        elif character in ":,":
            self._at_key = character == "," and self._open[-1:] == ["{"]

    def _read_string(self, character: str) -> None:
        assert self._word is not None
        self._word += character
        if self._escaped or character == "\\":
            self._escaped = not self._escaped
        elif character == '"':
            word, self._word = self._word, None
            if self._inside is None and self._open:
                self._take(_unquote(word))

    def _take(self, word: str) -> None:
        """A key, or the value of one."""
        if self._at_key:
            self._keys[-1] = word
        elif self._is_call():
            if self._keys[-1] == "name":
                self._begin(word)
            elif self._keys[-1] in ARGUMENTS:  # JSON inside a string
                self._has_arguments = True
                self._give(word)

    def _enter(self, bracket: str) -> None:
        if self._inside is None and self._is_call() and self._keys[-1] in ARGUMENTS:
            self._inside = len(self._open)
            self._has_arguments = True
            self._text += bracket
        self._open.append(bracket)
        self._keys.append("")
        self._at_key = bracket == "{"

    def _leave(self) -> None:
        if not self._open:
            return
        whole = self._inside is None and self._is_call() and self._keys[-2:-1] != ["function"]
        self._open.pop()
        self._keys.pop()
        self._at_key = False
        if self._inside == len(self._open):
            self._give(self._text)
            self._text, self._inside = "", None
        elif whole:
            if self._name and not self._has_arguments:
                self._give("{}")
            self._name, self._has_arguments = "", False

    def _is_call(self) -> bool:
        """Whether the innermost bracket is that of a call, or of the function in it."""
        depth = self._open[1:] if self._open[:1] == ["["] else self._open
        keys = self._keys[len(self._open) - len(depth) :]
        return depth == ["{"] or (depth == ["{", "{"] and keys[0] == "function")

    def _begin(self, name: str) -> None:
        if name and not self._name:
            self._name = name
            self._new.append((name, ""))
            held, self._held = self._held, ""
            self._give(held)

    def _give(self, arguments: str) -> None:
        if not self._name:
            self._held += arguments
        elif arguments:
            self._new.append(("", arguments))
        self._text = ""


def _unquote(word: str) -> str:
    try:
        return str(json.loads(word, strict=False))
    except ValueError:
        return word[1:-1]
