"""The grammar of calls accepts what the template itself writes, and nothing that is no call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanohydra.chat import Grammar, Offer
from nanohydra.chat.call_grammar import call_grammar
from nanohydra.chat.events import ChatParams
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message, ToolCall
from nanohydra.engine.sampling.constraint import Constraint, GrammarCompiler
from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.table import token_table
from tests.tokenizer.families import FAMILIES

SCHEMA = {
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/City"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
    "$defs": {"City": {"type": "string", "maxLength": 20}},
}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "now"}},
]
ASKED = (Message(role="user", content="How is it?"),)
CALL = ToolCall(id="call_1", name="weather", arguments={"city": 'Łódź, "x"', "days": 3})
NOW = ToolCall(id="call_2", name="now", arguments={})
WITH_CALLS = ["hermes", "llama3", "mistral"]


def family_of(format: str, folder: Path) -> Tokenizer:
    for name, family in FAMILIES.items():
        tokenizer = Tokenizer.load(family.write(folder / name))
        if tokenizer.chat.calls is not None and tokenizer.chat.calls.name == format:
            return tokenizer
    pytest.fail(f"no family spells calls as {format}")


def reply_ids(tokenizer: Tokenizer, *calls: ToolCall, content: str = "") -> list[int]:
    reply = Message(role="assistant", content=content, tool_calls=calls)
    rendered = tokenizer.chat.render_reply(ASKED, reply, tools=TOOLS)
    return [id for id, loss in zip(rendered.ids, rendered.mask, strict=True) if loss]


def begin(tokenizer: Tokenizer, grammar: Grammar | None) -> Constraint:
    assert grammar is not None
    compiler = GrammarCompiler(token_table(tokenizer))
    return compiler.start(grammar, tokenizer.chat.stop_ids)


def accepts(tokenizer: Tokenizer, grammar: Grammar | None, ids: list[int]) -> bool:
    constraint = begin(tokenizer, grammar)
    for id in ids:
        if constraint.forbidden(tokenizer.vocab_size)[id]:
            return False
        constraint.accept(id)
    return constraint.ended


@pytest.mark.parametrize("format", WITH_CALLS)
def test_the_template_and_the_grammar_agree(format: str, tmp_path: Path) -> None:
    tokenizer = family_of(format, tmp_path)
    chat = tokenizer.chat
    required = call_grammar(chat, TOOLS, choice="required", parallel=True)
    ids = reply_ids(tokenizer, CALL)
    assert accepts(tokenizer, required, ids), tokenizer.decode(ids, skip_special=False)
    named = call_grammar(chat, TOOLS, choice="weather", parallel=False)
    assert accepts(tokenizer, named, ids)
    assert not accepts(tokenizer, named, reply_ids(tokenizer, NOW))
    broken = ToolCall(id="call_1", name="weather", arguments={"city": "x", "days": "three"})
    for wrong in (reply_ids(tokenizer, broken), reply_ids(tokenizer, content="Fine.")):
        assert not accepts(tokenizer, required, wrong)


@pytest.mark.parametrize("format", ["hermes", "mistral"])
def test_several_calls_only_where_they_may_be(format: str, tmp_path: Path) -> None:
    tokenizer = family_of(format, tmp_path)
    ids = reply_ids(tokenizer, CALL, NOW)
    for parallel in (True, False):
        grammar = call_grammar(tokenizer.chat, TOOLS, choice="required", parallel=parallel)
        assert accepts(tokenizer, grammar, ids) == parallel


@pytest.mark.parametrize("format", WITH_CALLS)
def test_strict_calls_beside_free_text(format: str, tmp_path: Path) -> None:
    tokenizer = family_of(format, tmp_path)
    assert call_grammar(tokenizer.chat, TOOLS, choice="auto", parallel=True) is None
    strict = json.loads(json.dumps(TOOLS))
    strict[0]["function"]["strict"] = True
    grammar = call_grammar(tokenizer.chat, strict, choice="auto", parallel=True)
    for good in (reply_ids(tokenizer, CALL), reply_ids(tokenizer, content="It is fine.\n\nYes.")):
        assert accepts(tokenizer, grammar, good)
    broken = ToolCall(id="call_1", name="weather", arguments={"city": 5})
    assert not accepts(tokenizer, grammar, reply_ids(tokenizer, broken))


@pytest.mark.parametrize(
    "said",
    [Grammar.json_schema({"const": 7}), Grammar.choice(["7"]), Grammar(kind="regex", text="7")],
)
def test_a_shaped_answer_beside_tools(said: Grammar, tmp_path: Path) -> None:
    tokenizer = family_of("hermes", tmp_path)
    grammar = call_grammar(tokenizer.chat, TOOLS, choice="auto", parallel=True, text=said)
    assert accepts(tokenizer, grammar, reply_ids(tokenizer, content="7"))
    assert accepts(tokenizer, grammar, reply_ids(tokenizer, CALL))
    assert not accepts(tokenizer, grammar, reply_ids(tokenizer, content="8"))


def test_what_cannot_be_offered_is_refused(tmp_path: Path) -> None:
    own = Tokenizer.train(["hello there"], vocab_size=270).chat
    offer = Offer(tools=tuple(TOOLS))
    with pytest.raises(UserError, match="trained with"):
        offer.apply(ChatParams(), own)
    hermes = family_of("hermes", tmp_path).chat
    with pytest.raises(UserError, match="beside tools"):
        offer.apply(ChatParams(grammar=Grammar(kind="lark", text='start: "x"')), hermes)
    with pytest.raises(UserError, match="weather"):
        Offer(tools=tuple(TOOLS), choice="wether")
    with pytest.raises(UserError, match="a name of its own"):
        Offer(tools=(*TOOLS, TOOLS[0]))
