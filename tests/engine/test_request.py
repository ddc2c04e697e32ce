"""Requests: what is out of range is refused with the value in the message."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nanohydra.core.errors import UserError
from nanohydra.engine import Event, Request, SamplingParams
from nanohydra.engine.grammar import Grammar


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("max_tokens", 0),
        ("min_tokens", -1),
        ("min_tokens", 257),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", math.nan),
        ("presence_penalty", 2.1),
        ("frequency_penalty", math.nan),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", {1: 100.5}),
        ("logit_bias", {1: math.nan}),
        ("allowed_ids", ()),
        ("allowed_ids", (3, -4)),
        ("top_logprobs", -1),
        ("top_logprobs", 21),
    ],
)
def test_params_out_of_range(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=field):
        SamplingParams(**{field: value})


@pytest.mark.parametrize(("field", "value"), [("n", 0), ("deadline", math.nan)])
def test_requests_out_of_range(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=field):
        Request(id="a", prompt_ids=(1,), params=SamplingParams(), **{field: value})


def test_params_can_be_hashed() -> None:
    assert len({SamplingParams(seed=1), SamplingParams(seed=1), SamplingParams(seed=2)}) == 2


def test_events_say_little_by_default() -> None:
    event = Event(request_id="a", token_id=3)
    assert event.index == 0 and event.top_logprobs == ()


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("yaml", "a", "yaml"),
        ("json_object", "{}", "takes no text"),
        ("regex", "", "is empty"),
        ("json_schema", "{", "not JSON"),
        ("json_schema", "3", "object"),
        ("choice", "[]", "at least one"),
        ("choice", '"yes"', "list"),
        ("choice", '["yes", ""]', "string"),
    ],
)
def test_grammars_that_can_not_be(kind: Any, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Grammar(kind=kind, text=text)
