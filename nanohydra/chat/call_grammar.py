"""The grammar of tool calls, in the spelling of the model: forced, or at least well formed.

Every function's arguments are a JSON schema of their own, so that references in it find their
definitions. The dialect is llguidance's of Lark; how a grammar is enforced it does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.engine import Grammar
from nanohydra.tokenizer import ChatFormat, ChatTool

SPACING = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
CALL_ID = r'id: ", \"id\": \"" /[a-zA-Z0-9]{9}/ "\""'
ANYTHING = r"/(.|\n)*/"


def call_grammar(
    chat: ChatFormat,
    tools: Sequence[ChatTool],
    *,
    choice: str,
    parallel: bool,
    text: Grammar | None = None,
) -> Grammar | None:
    """What a reply with such tools must look like; None where it is free.

    choice: "auto", "required" or a function's name. text: the grammar of an answer that calls
    nothing. With "auto", calls of functions with `strict` have to be well formed, the rest is free.
    """
    functions = [tool["function"] for tool in tools]
    strict = any(function.get("strict") for function in functions)
    if choice == "auto" and not strict and text is None:
        return None
    if choice not in ("auto", "required"):
        functions = [each for each in functions if each["name"] == choice]
    spelling = Spelling(chat)
    rules = spelling.rules(functions, parallel=parallel and choice in ("auto", "required"))
    if choice != "auto":
        start = "start: calls"
    elif text is not None:
        start = f"start: calls | said\nsaid: {lark_of(text)}"
    else:
        start = spelling.free_start()
    return Grammar(kind="lark", text="\n".join([start, *rules]))


class Spelling:
    """How one model's calls are written, as grammar rules."""

    def __init__(self, chat: ChatFormat) -> None:
        assert chat.calls is not None
        self.chat, self.format = chat, chat.calls
        self.begin, self.end = self._mark(chat.calls.begin), self._mark(chat.calls.end)

    def rules(self, functions: Sequence[dict[str, Any]], *, parallel: bool) -> list[str]:
        """Rules for `calls`: one or more of these functions."""
        name = self.format.name
        if name == "hermes":
            calls = _repeated(f'{self.begin} "\\n" object "\\n" {self.end}', '"\\n"', parallel)
        elif name == "mistral" and self._arguments_marked():
            calls = _repeated(f"{self.begin} object", "", parallel)
        elif name == "mistral":
            many = ' (", " object)*' if parallel else ""
            # Its vocabulary puts a space before every text, and its template writes another.
            calls = [f'calls: {self.begin} " "? " "? "[" object{many} "]"', CALL_ID]
        elif name == "llama3":
            calls = ["calls: object"]  # its templates write one call a turn
        else:
            calls = _repeated(f"{self.begin} object", "", parallel)
        rules = [f"call_{n}: {self._call(each, n)}" for n, each in enumerate(functions)]
        names = " | ".join(f"call_{n}" for n in range(len(functions)))
        schemas = [
            f"arguments_{n}: %json {json.dumps(schema_of(each))}"
            for n, each in enumerate(functions)
        ]
        return [*calls, f"object: {names}", *rules, *schemas]

    def free_start(self) -> str:
        """Text without a call, or with calls at its end."""
        if self.format.bare:
            return "start: calls | said\nsaid: /([^{](.|\\n)*)?/"
        if self.begin.startswith("<["):  # a token, which no text can produce
            return f"start: said calls?\nsaid: {ANYTHING}"
        mark = re.escape(self.format.begin).replace("/", r"\/")
        return f"start: SAID calls?\nSAID: {ANYTHING} & ~/(.|\\n)*{mark}(.|\\n)*/"

    def _call(self, function: dict[str, Any], number: int) -> str:
        name = str(function["name"])
        if self.format.name == "nanohydra":
            return f"{_literal(name + ' ')} arguments_{number}"
        if self.format.name == "mistral" and self._arguments_marked():
            return f"{_literal(name)} {self._mark('[ARGS]')} arguments_{number}"
        key = "parameters" if self.format.name == "llama3" else "arguments"
        head = _literal(f'{{"name": {json.dumps(name)}, "{key}": ')
        id = " id?" if self.format.short_ids else ""
        return f'{head} arguments_{number}{id} "}}"'

    def _arguments_marked(self) -> bool:
        return self.chat.tokenizer.token_id("[ARGS]") is not None

    def _mark(self, mark: str) -> str:
        tokenizer = self.chat.tokenizer
        id = tokenizer.token_id(mark) if mark in tokenizer.added_names else None
        return _literal(mark) if id is None else f"<[{id}]>"


def schema_of(function: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a function's arguments, spaced as models learn to write them."""
    schema = function.get("parameters")
    schema = schema if isinstance(schema, dict) and schema else {"type": "object"}
    return {**schema, "x-guidance": SPACING}


def lark_of(grammar: Grammar) -> str:
    """A grammar as the right side of a Lark rule. Raises UserError for one that is Lark itself."""
    if grammar.kind == "json_schema":
        return f"%json {grammar.text}"
    if grammar.kind == "json_object":
        return '%json {"type": "object"}'
    if grammar.kind == "choice":
        return " | ".join(map(_literal, json.loads(grammar.text)))
    if grammar.kind == "regex":
        return "/{}/".format(grammar.text.replace("/", r"\/"))
    raise UserError("a grammar cannot stand beside tools; leave one of the two out")


def _repeated(call: str, between: str, parallel: bool) -> list[str]:
    many = f" ({between} one)*" if parallel else ""
    return [f"calls: one{many}", f"one: {call}"]


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""
