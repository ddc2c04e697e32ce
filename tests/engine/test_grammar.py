"""Grammars: whatever the model, the text obeys, and it ends only where it may."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.core.errors import UserError
from nanohydra.core.tokens import TokenTable
from nanohydra.engine import Grammar, SamplingParams
from nanohydra.engine.sampler import Sampler
from nanohydra.engine.sampling import GrammarCompiler
from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.table import token_table

TEXTS = ['{"name": "Ann", "list": [1, 2.5, true, null], "yes": -3}', "Łódź 敏捷 a b c \n\t \\"]
WIDTH = 330  # beyond the vocabulary: ids that only pad it


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS * 3, vocab_size=320)


@cache
def table() -> TokenTable:
    return token_table(tokenizer())


@cache
def sampler() -> Sampler:
    return Sampler(WIDTH, 0, torch.device("cpu"), table())


def write(grammar: Grammar, seed: int, *, max_tokens: int = 400, **options: Any) -> str | None:
    """The text of a model of random logits that likes to end things; None if it was cut off."""
    end = table().end_ids[0]
    params = SamplingParams(grammar=grammar, seed=seed, stop_ids=(end,), temperature=2.0, **options)
    state = sampler().start(params, ())
    generator = torch.Generator().manual_seed(seed)
    closing = [table().tokens.index(bytes([byte])) for byte in b'"}],:']
    ids: list[int] = []
    for _ in range(max_tokens):
        logits = torch.randn(1, WIDTH, generator=generator) * 3
        logits[0, closing] += 6
        logits[0, end] += 12
        sampled = sampler().sample(logits, [state])
        assert sampled.logprobs.isfinite().all(), state.problem
        token = int(sampled.tokens[0])
        sampler().accept(state, token)
        if token == end:
            return tokenizer().decode_bytes(ids).decode()  # never half a character
        ids.append(token)
    return None


NUMBERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["integer", "number"])},
    optional={"minimum": st.integers(-9, 0), "maximum": st.integers(1, 20)},
)
STRINGS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={"minLength": st.integers(0, 2), "maxLength": st.integers(2, 6)},
)
PLAIN = (
    NUMBERS
    | STRINGS
    | st.just({"type": "boolean"})
    | st.just({"type": "null"})
    | st.just({"type": "string", "pattern": "^[a-c]+x?$"})
    | st.fixed_dictionaries({"const": st.text(max_size=4) | st.integers(-99, 99)})
    | st.fixed_dictionaries(
        {"enum": st.lists(st.text(max_size=3) | st.booleans(), min_size=1, max_size=3)}
    )
)


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    arrays = st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner, "maxItems": st.integers(1, 3)},
        optional={"minItems": st.integers(0, 1)},
    )
    properties = st.dictionaries(st.text(max_size=4), inner, max_size=3)
    objects = st.builds(
        lambda fields, more: {
            "type": "object",
            "properties": fields,
            "required": list(fields)[:2],
            "additionalProperties": more,
        },
        properties,
        st.just(False) | PLAIN,
    )
    return (
        arrays | objects | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)})
    )


SCHEMAS = st.recursive(PLAIN, larger, max_leaves=6)


@settings(max_examples=80, deadline=None)
@given(SCHEMAS, st.integers(0, 2**31))
def test_documents_are_valid(schema: dict[str, Any], seed: int) -> None:
    text = write(Grammar.json_schema(schema), seed)
    if text is not None:
        jsonschema.validate(json.loads(text), schema)


def test_most_documents_are_complete() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "ages": {"type": "array", "items": {"type": "integer"}},
            "inner": {"type": "object", "properties": {"ok": {"type": "boolean"}}},
        },
        "required": ["name", "ages"],
        "additionalProperties": False,
    }
    texts = [write(Grammar.json_schema(schema), seed) for seed in range(20)]
    documents = [json.loads(text) for text in texts if text is not None]
    assert len(documents) > 15
    for document in documents:
        jsonschema.validate(document, schema)


def test_any_object() -> None:
    texts = [write(Grammar(kind="json_object"), seed) for seed in range(10)]
    complete = [text for text in texts if text is not None]
    assert len(complete) > 5
    assert all(isinstance(json.loads(text), dict) for text in complete)


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z]{2,5}",
        r"\d{4}-\d{2}-\d{2}",
        "(yes|no|perhaps)(, (yes|no))*",
        "[^a]b?",
        "(ab|a)(c|bcd)",
        "Ł(ó|敏){3}",
        "a?",
    ],
)
def test_expressions_match_the_whole_text(pattern: str) -> None:
    texts = {write(Grammar(kind="regex", text=pattern), seed) for seed in range(8)}
    for text in texts - {None}:
        assert text is not None and re.fullmatch(pattern, text)
    assert texts != {None}


def test_one_of_the_choices() -> None:
    choices = {"yes", "no", 'It\'s "ok"\n', "Łódź 敏", "back\\slash"}
    longer = "no way"  # this model ends at "no" nearly always
    found = {write(Grammar.choice([*sorted(choices), longer]), seed) for seed in range(60)}
    assert found - {longer} == choices


def test_a_lark_grammar_with_a_marker() -> None:
    call = tokenizer().special_id("<|call|>")
    grammar = Grammar(kind="lark", text=f'start: "x" <[{call}]> "y"')
    constraint = sampler().start(SamplingParams(grammar=grammar), ()).constraint
    assert constraint is not None
    for expected in (b"x", b"<|call|>", b"y"):
        (id,) = (~constraint.forbidden(WIDTH)).nonzero()[0].tolist()
        assert table().tokens[id] == expected
        constraint.accept(id)


def test_the_end_comes_only_where_the_grammar_may_end() -> None:
    plain, end = table().tokens.index(b"b"), table().end_ids[0]
    grammar = Grammar(kind="regex", text="ab+")
    # An ordinary token that stops the request may not cut the text short either.
    params = SamplingParams(grammar=grammar, stop_ids=(end, plain), temperature=0)
    state = sampler().start(params, ())
    logits = torch.zeros(1, WIDTH)
    logits[0, [plain, end]] = 9.0
    first = int(sampler().sample(logits, [state]).tokens[0])
    assert table().tokens[first].startswith(b"a")
    other = sampler().start(SamplingParams(grammar=grammar, stop_ids=(end,), temperature=0), ())
    for token in (table().tokens.index(b"a"), plain):
        assert end != int(sampler().sample(logits, [other]).tokens[0])
        sampler().accept(other, token)
    logits[0, end] = 10.0
    assert int(sampler().sample(logits, [other]).tokens[0]) == end


def test_without_a_stop_token_the_grammar_ends_the_text() -> None:
    bare = TokenTable(
        tokens=tuple(bytes([byte]) for byte in range(256)), special_ids=frozenset(), end_ids=()
    )
    alone = Sampler(256, 0, torch.device("cpu"), bare)
    state = alone.start(SamplingParams(grammar=Grammar(kind="regex", text="abc?")), ())
    seen = []
    for token in b"abc":
        seen.append(state.ended)
        alone.accept(state, token)
    assert seen == [False] * 3 and state.ended


@pytest.mark.parametrize("encode", [None, lambda text: [0] * len(text)])
def test_any_vocabulary_will_do(encode: Any) -> None:
    """One that encodes nothing or wrongly, has a token twice, and lacks a letter."""
    few = TokenTable(
        tokens=(b"ab", b"a", b"b", b"", b"ab", b"<s>"),
        special_ids=frozenset([5]),
        end_ids=(5,),
        encode=encode,
    )
    compiler = GrammarCompiler(few)
    constraint = compiler.start(Grammar(kind="regex", text="(ab)+a?"))
    allowed = set((~constraint.forbidden(7)).nonzero()[0].tolist())
    assert allowed and allowed <= {0, 1, 4}
    for id in (0, 1, 5):
        assert not constraint.ended and not constraint.forbidden(7)[id]
        constraint.accept(id)
    assert constraint.problem is None and constraint.ended
    stuck = compiler.start(Grammar(kind="regex", text="axb"))
    if not stuck.forbidden(7).all():
        stuck.accept(1)
        assert stuck.forbidden(7).all()


def test_min_tokens_gives_way_where_the_grammar_ends() -> None:
    assert write(Grammar.choice(["no"]), 0, min_tokens=30) == "no"


def test_guesses_stop_where_the_grammar_forbids_them() -> None:
    tokens = table().tokens
    state = sampler().start(SamplingParams(grammar=Grammar(kind="regex", text="abab")), ())
    a, b, c = (tokens.index(bytes([byte])) for byte in b"abc")
    assert sampler().count_possible(state, [a, b, c, a]) == 2
    states = sampler().ahead(state, [a, b])
    allowed = [int((~s.constraint.forbidden(WIDTH)).sum()) for s in states if s.constraint]
    assert len(allowed) == 3 and min(allowed) > 0
    # The state itself has not moved.
    assert sampler().count_possible(state, [a, b, a, b]) == 4


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("regex", "[a", "unclosed"),
        ("regex", "(?=a)b", "look-around"),
        ("lark", "start: FOO", "FOO"),
        ("json_schema", '{"type": "obj"}', "obj"),
        ("json_schema", '{"type": "string", "format": "nope"}', "nope"),
        ("json_schema", '{"$ref": "http://somewhere/else"}', "somewhere"),
        ("json_schema", "false", "nsatisfiable"),
        ("json_schema", '{"type": "array", "uniqueItems": true}', "uniqueItems"),
    ],
)
def test_bad_grammars_are_refused_with_the_reason(kind: Any, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        sampler().check(SamplingParams(grammar=Grammar(kind=kind, text=text)))
    assert kind in str(caught.value) and "<state>" not in str(caught.value)


def test_a_grammar_needs_a_vocabulary() -> None:
    with pytest.raises(UserError, match="vocabulary"):
        Sampler(8, 0, torch.device("cpu")).check(SamplingParams(grammar=Grammar.choice(["a"])))


def test_compiled_grammars_are_kept_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanohydra.engine.sampling.constraint.MAX_COMPILED", 2)
    compiler = GrammarCompiler(table())
    for word in "abcab":
        compiler.start(Grammar.choice([word]))
    assert list(compiler._compiled) == [Grammar.choice(["a"]), Grammar.choice(["b"])]


def test_any_json_where_the_schema_is_true() -> None:
    text = write(Grammar(kind="json_schema", text="true"), 3)
    assert text is not None
    json.loads(text)
