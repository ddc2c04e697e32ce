"""Which tokens a grammar lets come next, through llguidance.

Knows the vocabulary as bytes only. A grammar is compiled once and then copied for each sequence.
The end of the text is a token of its own here, put behind the vocabulary, so that the ids which
end a request stay the caller's business.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nanohydra.core.errors import UserError
from nanohydra.core.tokens import TokenTable
from nanohydra.engine.grammar import Grammar

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MAX_COMPILED = 64
# Enough to indent by eight levels. Without a bound a model can write spaces until it is cut off.
WHITESPACE = r"[ \n\r\t]{0,20}"


class Constraint:
    """One text on its way through a grammar."""

    def __init__(self, matcher: LLMatcher, table: TokenTable, end_ids: Sequence[int]) -> None:
        self._matcher = matcher
        self._table = table
        self._end_ids = end_ids
        self.ended = False
        self.problem: str | None = None

    def forbidden(self, width: int) -> NDArray[np.bool_]:
        """Of the first `width` ids, those that may not come next."""
        forbidden = np.zeros(width, dtype=np.bool_)
        if self.ended:
            return forbidden
        size = len(self._table.tokens)
        mask = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(mask, bitorder="little")
        forbidden[:size] = allowed[: min(size, width)] == 0
        forbidden[size:] = True
        may_end = bool(allowed[size])
        for id in self._end_ids:
            if id < width and (may_end or id not in self._table.special_ids):
                forbidden[id] = not may_end
        if self._matcher.is_error():
            self.problem = _first_lines(self._matcher.get_error())
            forbidden[:] = True
        return forbidden

    def accept(self, id: int) -> None:
        """The text goes on with this token."""
        if self.ended:
            return
        if id in self._end_ids and not self._matcher.validate_tokens([id]):
            self.ended = True
        elif not self._matcher.consume_token(id):
            self.problem = _first_lines(self._matcher.get_error())
        elif not self._end_ids:
            self.ended = self._matcher.is_stopped()

    def count_valid(self, ids: Sequence[int]) -> int:
        """How many of these tokens may come next, one after the other."""
        return 0 if self.ended else self._matcher.validate_tokens(list(ids))

    def fork(self) -> Constraint:
        """A copy that goes its own way."""
        copy = Constraint(self._matcher.deep_copy(), self._table, self._end_ids)
        copy.ended, copy.problem = self.ended, self.problem
        return copy


class GrammarCompiler:
    """Compiles grammars for one vocabulary and keeps the last ones. Safe from any thread."""

    def __init__(self, table: TokenTable) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[Grammar, LLMatcher] = OrderedDict()

    def start(self, grammar: Grammar, stop_ids: Iterable[int] = ()) -> Constraint:
        """The beginning of a text, which one of stop_ids, or of the table's own, ends.

        Raises UserError for a grammar that does not compile, with the reason.
        """
        end_ids = tuple(stop_ids) or self._table.end_ids
        with self._lock:
            matcher = self._compiled.get(grammar)
        if matcher is None:
            matcher = self._compile(grammar)  # not under the lock: it can take a second
        with self._lock:
            self._compiled[grammar] = matcher
            self._compiled.move_to_end(grammar)
            while len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
            return Constraint(matcher.deep_copy(), self._table, end_ids)

    def _compile(self, grammar: Grammar) -> LLMatcher:
        from llguidance import LLMatcher, LLParserLimits, LLTokenizer

        with self._lock:
            if self._tokenizer is None:
                vocabulary: Any = _Vocabulary(self._table)
                self._tokenizer = LLTokenizer(vocabulary, eos_token=vocabulary.eos_token_id)
        try:
            source = _source(grammar)
        except ValueError as error:
            raise _refusal(grammar, str(error)) from error
        limits = LLParserLimits(verbose_errors=False)
        matcher = LLMatcher(self._tokenizer, source, log_level=0, limits=limits)
        if matcher.is_error():
            raise _refusal(grammar, matcher.get_error())
        return matcher


class _Vocabulary:
    """The table in the form that llguidance asks for, with one more token for the end."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, table: TokenTable) -> None:
        self.eos_token_id = len(table.tokens)
        self.tokens = [*table.tokens, b""]
        self.special_token_ids = sorted({*table.special_ids, self.eos_token_id})
        self._table = table
        self._ids: dict[bytes, int] = {}
        self._longest = 0

    def __call__(self, text: str | bytes) -> list[int]:
        """The ids that spell a text that the grammar forces."""
        data = text.encode() if isinstance(text, str) else text
        if self._table.encode is not None:
            ids = self._table.encode(data.decode("utf-8", "replace"))
            if b"".join(self.tokens[id] for id in ids) == data:
                return ids
        return self._spell(data)

    def _spell(self, data: bytes) -> list[int]:
        """The longest token that fits, again and again, as far as there is one."""
        if not self._ids:
            ordinary = [id for id in range(self.eos_token_id) if id not in self._table.special_ids]
            self._ids = {self.tokens[id]: id for id in reversed(ordinary) if self.tokens[id]}
            self._longest = max(map(len, self._ids), default=0)
        ids: list[int] = []
        while data:
            sizes = range(min(len(data), self._longest), 0, -1)
            size = next((size for size in sizes if data[:size] in self._ids), None)
            if size is None:
                break
            ids.append(self._ids[data[:size]])
            data = data[size:]
        return ids


def _source(grammar: Grammar) -> str:
    from llguidance import LLMatcher

    if grammar.kind == "regex":
        return LLMatcher.grammar_from_regex(grammar.text)
    if grammar.kind == "lark":
        return LLMatcher.grammar_from_lark(grammar.text)
    if grammar.kind == "choice":
        choices = (json.dumps(each, ensure_ascii=False) for each in json.loads(grammar.text))
        return LLMatcher.grammar_from_lark(f"start: {' | '.join(choices)}")
    schema = grammar.text if grammar.kind == "json_schema" else '{"type": "object"}'
    options: Any = {"whitespace_pattern": WHITESPACE} if schema.lstrip().startswith("{") else None
    return LLMatcher.grammar_from_json_schema(schema, defaults=options)


def _refusal(grammar: Grammar, reason: str) -> UserError:
    return UserError(f"the grammar {grammar.kind} can not be used: {_first_lines(reason)}")


def _first_lines(reason: str) -> str:
    """Without the parser's inner state."""
    return reason.split("\n<state>")[0].strip()
