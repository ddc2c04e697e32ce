"""A chat template run as transformers runs it: in a sandbox, with its filters, within limits.

Templates come with models, so they are nobody's trusted code: they cannot reach Python or change
what they are given, and they end after seconds or some megabytes. Marks what stands in
`{% generation %}`. Knows nothing of messages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import TemplateError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nanohydra.core.errors import UserError

MAX_SOURCE, MAX_TEXT, MAX_SECONDS = 1_000_000, 32_000_000, 10.0
MAX_REPEAT, MAX_RANGE = 1_000_000, 100_000
MARKS = "generation_marks"  # the variable with the two texts around what the assistant writes


class Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`: the assistant's own words."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as a call of `around` with its contents."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("around", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def around(self, context: Context, caller: Callable[[], str]) -> str:
        """The contents between the marks, where the caller of the template gave some."""
        begin, end = context.get(MARKS) or ("", "")
        return f"{begin}{caller()}{end}"


class Sandbox(ImmutableSandboxedEnvironment):
    """Also bounds what one operation can make."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse products of texts and powers that would fill the memory."""
        if operator == "**" and max(abs(left), abs(right)) > 1000:
            raise SecurityError("a power is too large")
        for one, other in ((left, right), (right, left)):
            repeats = isinstance(one, str | list | tuple) and isinstance(other, int)
            if repeats and len(one) * other > MAX_REPEAT:
                raise SecurityError("a repeated text is too long")
        return super().call_binop(context, operator, left, right)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _environment() -> Sandbox:
    sandbox = Sandbox(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    sandbox.filters["tojson"] = _tojson
    sandbox.globals["raise_exception"] = _raise
    sandbox.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return sandbox


class Numbers(Sequence[int]):
    """`range` for templates: no longer than the limit, and it watches the time."""

    def __init__(self, end: float, *bounds: int) -> None:
        self._end, self._numbers = end, range(*bounds)
        if len(self._numbers) > MAX_RANGE:
            raise SecurityError(f"a range of {len(self._numbers):,} numbers is too long")

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: Any) -> Any:
        _check_time(self._end)
        return self._numbers[place]


class Template:
    """A compiled chat template. Raises UserError for one that is no valid Jinja.

    variables: the names that it expects from outside. marks_generation: whether it says itself
    which words are the assistant's.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        if len(source) > MAX_SOURCE:
            raise UserError(f"the chat template has {len(source):,} characters, too many to trust")
        sandbox = _environment()
        try:
            tree = sandbox.parse(source)
            self.variables = frozenset(meta.find_undeclared_variables(tree))
            self._template = sandbox.from_string(source)
        except (TemplateError, RecursionError) as error:
            raise UserError(f"the model's chat template is not valid: {error}") from error
        calls = (call.call.node for call in tree.find_all(nodes.CallBlock))
        extension = f"{Generation.__module__}.{Generation.__qualname__}"
        self.marks_generation = any(
            isinstance(node, nodes.ExtensionAttribute) and node.identifier == extension
            for node in calls
        )

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text. Raises UserError with the template's own words if it refuses the input."""
        end = time.monotonic() + MAX_SECONDS
        bounded = partial(Numbers, end)
        parts, size = [], 0
        try:
            for part in self._template.generate({"range": bounded, **variables}):
                parts.append(part)
                size += len(part)
                _check_time(end)
                if size > MAX_TEXT:
                    raise SecurityError(f"its text is longer than {MAX_TEXT:,} characters")
        except TemplateError as error:
            raise UserError(f"the model's chat template refuses this: {error}") from error
        except Exception as error:  # a template can fail in any way that Python can
            why = f"{type(error).__name__}: {error}"
            raise UserError(f"the model's chat template cannot render this: {why}") from error
        return "".join(parts)


def _check_time(end: float) -> None:
    if time.monotonic() > end:
        raise SecurityError(f"it takes longer than {MAX_SECONDS:g} seconds")
