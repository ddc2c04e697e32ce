"""What a generated text must look like: a JSON schema, a regular expression, a grammar, a choice.

Imports no torch. Only describes; `sampling/` compiles it against the tokens of a model.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nanohydra.core.errors import UserError

GrammarKind = Literal["json_schema", "json_object", "regex", "lark", "choice"]


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """A language that the whole output has to be in, up to and without its end token.

    kind: "json_schema", text is the schema as JSON; "json_object", any JSON object, no text;
    "regex", matched from the first character to the last, in Rust's syntax; "lark", llguidance's
    dialect of Lark; "choice", text is a JSON list of strings.
    Raises UserError for a kind that does not exist or a text that can not be of its kind.
    """

    kind: GrammarKind
    text: str = ""

    def __post_init__(self) -> None:
        kinds = typing.get_args(GrammarKind)
        if self.kind not in kinds:
            raise UserError(f"a grammar can not be {self.kind!r}, only {', '.join(kinds)}")
        if self.kind == "json_object":
            if self.text:
                raise UserError("a grammar json_object takes no text; give a json_schema instead")
        elif not self.text:
            raise UserError(f"the grammar {self.kind} is empty; give its text")
        if self.kind == "json_schema":
            if not isinstance(self._parsed(), dict | bool):
                raise UserError("a JSON schema is an object or a truth value")
        elif self.kind == "choice":
            choices = self._parsed()
            if not isinstance(choices, list) or not choices:
                raise UserError("a choice is a list of at least one string")
            if not all(isinstance(choice, str) and choice for choice in choices):
                raise UserError("every choice must be a string that is not empty")

    def _parsed(self) -> Any:
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise UserError(f"the grammar {self.kind} is not JSON: {error}") from error

    @classmethod
    def json_schema(cls, schema: object) -> Grammar:
        """From a schema as `json.loads` gives it. Raises UserError as the class does."""
        return cls(kind="json_schema", text=json.dumps(schema))

    @classmethod
    def choice(cls, choices: Sequence[str]) -> Grammar:
        """One of these texts. Raises UserError as the class does."""
        return cls(kind="choice", text=json.dumps(list(choices)))
