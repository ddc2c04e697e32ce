"""What an answer must look like, in the words of OpenAI (`response_format`) and of vLLM.

A request may say it in one way only. Knows nothing of how a grammar is enforced.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nanohydra.chat import Grammar
from nanohydra.core.errors import UserError
from nanohydra.server.errors import ApiError

if TYPE_CHECKING:
    from nanohydra.server.sampling import SamplingFields


class JsonSchema(BaseModel):
    """A named schema, as OpenAI has it. `strict` or not, the answer obeys it."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    body: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """The form of the answer: free text, any JSON object, or one of a schema."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def grammar(self) -> Grammar | None:
        """The grammar, or None for free text."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return Grammar(kind="json_object")
        if self.json_schema is None or self.json_schema.body is None:
            message = "response_format: a json_schema needs a name and a schema"
            raise ApiError(400, message, param="response_format", code="invalid_value")
        return Grammar.json_schema(self.json_schema.body)


class Structure(BaseModel):
    """vLLM's `structured_outputs`."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)
    schema_: Annotated[dict[str, Any] | str | None, Field(alias="json")] = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None


def one_grammar(
    body: SamplingFields, response_format: ResponseFormat | None = None
) -> Grammar | None:
    """The one grammar of a request, if it has any. Raises ApiError for two, or a wrong one."""
    form = body.structured_outputs or Structure()
    given = {
        "response_format": response_format is not None and response_format.grammar(),
        "structured_outputs.json": from_json(form.schema_),
        "structured_outputs.regex": made("regex", form.regex),
        "structured_outputs.choice": made("choice", form.choice),
        "structured_outputs.grammar": made("lark", form.grammar),
        "structured_outputs.json_object": form.json_object and Grammar(kind="json_object"),
        "guided_json": from_json(body.guided_json),
        "guided_regex": made("regex", body.guided_regex),
        "guided_choice": made("choice", body.guided_choice),
        "guided_grammar": made("lark", body.guided_grammar),
    }
    found = {name: grammar for name, grammar in given.items() if grammar}
    if len(found) > 1:
        message = f"only one of {' and '.join(found)} can shape an answer"
        raise ApiError(400, message, param=[*found][1], code="invalid_value")
    return next(iter(found.values()), None) or None


def from_json(schema: dict[str, Any] | str | None) -> Grammar | None:
    """A schema as an object, or as JSON text."""
    if schema is None:
        return None
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return made("json_schema", text)


def made(kind: Literal["json_schema", "regex", "lark", "choice"], value: Any) -> Grammar | None:
    """A grammar, where there is a value for it."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return Grammar(kind=kind, text=text)
    except UserError as error:
        raise ApiError(400, str(error), code="invalid_grammar") from None
