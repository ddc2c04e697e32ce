"""The chat layout: ids, loss mask, the inverse, and equality with transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message, ToolCall
from nanohydra.tokenizer import SPECIAL_TOKENS, Tokenizer, parse_assistant, render


def call(name: str, /, **arguments: Any) -> ToolCall:
    """A tool call whose id plays no part in the layout."""
    return ToolCall(id="call_0", name=name, arguments=arguments)


NESTED = {"b": [1, 2.5, None, True], "a": {"ż": '"quoted" <b>\'&\n\u2028'}, "empty": {}}
CONVERSATIONS = {
    "one turn": [Message(role="user", content="Hello")],
    "system and turns": [
        Message(role="system", content="You are a cat."),
        Message(role="user", content="  Who are you?\n"),
        Message(role="assistant", content="A cat.\n\n"),
        Message(role="user", content="Zażółć 2026"),
        Message(role="assistant", content=""),
    ],
    "tool": [
        Message(role="user", content="12 * 34?"),
        Message(role="assistant", tool_calls=(call("calculator", expression="12 * 34"),)),
        Message(role="tool", content="408", tool_call_id="call_0"),
        Message(role="assistant", content="408"),
    ],
    "two calls with text": [
        Message(
            role="assistant",
            content="Let me look.",
            tool_calls=(call("search", **NESTED), call("now"), call("calc", _raw="calc {bad")),
        ),
        Message(role="tool", content="<result>\n é"),
        Message(role="tool", content=""),
    ],
}


def as_dicts(messages: list[Message], *, openai: bool) -> list[dict[str, Any]]:
    """The messages as transformers takes them, calls bare or in the OpenAI wrapping."""
    result = []
    for message in messages:
        item: dict[str, Any] = {"role": message.role, "content": message.content}
        calls = [{"name": c.name, "arguments": dict(c.arguments)} for c in message.tool_calls]
        if calls:
            item["tool_calls"] = [{"function": c} for c in calls] if openai else calls
        result.append(item)
    return result


def transformers_tokenizer(folder: Path) -> Any:
    """What transformers makes of a saved folder."""
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_layout(bpe: Tokenizer) -> None:
    rendered = render(bpe, CONVERSATIONS["tool"], add_generation_prompt=True)
    assert bpe.decode(rendered.ids, skip_special=False) == (
        "<|bos|><|user|>12 * 34?<|end|>"
        '<|assistant|><|call|>calculator {"expression": "12 * 34"}<|end|>'
        "<|tool|>408<|end|><|assistant|>408<|end|><|assistant|>"
    )


def test_loss_falls_on_what_the_assistant_writes(bpe: Tokenizer) -> None:
    rendered = render(bpe, CONVERSATIONS["tool"], add_generation_prompt=True)
    kept = [id for id, loss in zip(rendered.ids, rendered.mask, strict=True) if loss]
    assert bpe.decode(kept, skip_special=False) == (
        '<|call|>calculator {"expression": "12 * 34"}<|end|>408<|end|>'
    )
    for id, loss in zip(rendered.ids, rendered.mask, strict=True):
        assert not (loss and bpe.is_special(id)) or id in (bpe.end_id, bpe.special_id("<|call|>"))


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "tool", "assistant"]), st.text())))
def test_text_never_adds_a_marker(bpe: Tokenizer, turns: list[tuple[Any, str]]) -> None:
    hostile = "".join(SPECIAL_TOKENS)
    messages = [Message(role=role, content=text + hostile) for role, text in turns]
    rendered = render(bpe, messages)
    assert sum(bpe.is_special(id) for id in rendered.ids) == 1 + 2 * len(turns)
    assert len(rendered.ids) == len(rendered.mask)


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("openai", [False, True])
def test_equals_transformers(
    bpe: Tokenizer, bpe_folder: Path, name: str, prompt: bool, openai: bool
) -> None:
    other = transformers_tokenizer(bpe_folder)
    messages = CONVERSATIONS[name]
    rendered = render(bpe, messages, add_generation_prompt=prompt)
    result = other.apply_chat_template(
        as_dicts(messages, openai=openai),
        add_generation_prompt=prompt,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert result["input_ids"] == rendered.ids
    assert [bool(m) for m in result["assistant_masks"]] == rendered.mask


def test_arguments_as_a_json_string_equal_a_mapping(bpe: Tokenizer, bpe_folder: Path) -> None:
    other = transformers_tokenizer(bpe_folder)
    function = {"name": "search", "arguments": json.dumps(NESTED, ensure_ascii=False)}
    result = other.apply_chat_template(
        [{"role": "assistant", "content": None, "tool_calls": [{"function": function}]}],
        tokenize=True,
        return_dict=True,
    )
    message = Message(role="assistant", tool_calls=(call("search", **NESTED),))
    assert result["input_ids"] == render(bpe, [message]).ids


def test_saved_folder_in_transformers(
    tokenizer: Tokenizer, texts: list[str], tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    other = transformers_tokenizer(tmp_path)
    assert len(other) == tokenizer.vocab_size
    assert (other.bos_token_id, other.pad_token_id, other.eos_token_id) == (0, 1, 2)
    assert set(SPECIAL_TOKENS) <= set(other.all_special_tokens)
    assert other.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(8))
    for text in texts:
        plain = text.replace("|", "")
        ids = tokenizer.encode(plain)
        assert other(plain, add_special_tokens=False)["input_ids"] == ids
        assert other(plain)["input_ids"] == ids
        assert other.decode([0, *ids, 2], skip_special_tokens=True) == plain


@pytest.mark.parametrize("name", ["system and turns", "tool", "two calls with text"])
def test_parse_is_the_inverse(bpe: Tokenizer, name: str) -> None:
    for message in CONVERSATIONS[name]:
        if message.role == "assistant":
            ids = render(bpe, [message]).ids[1:]
            for part in (ids, ids[1:], ids[1:-1], [*ids, *bpe.encode("more")]):
                parsed = parse_assistant(bpe, part)
                assert render(bpe, [parsed]).ids[1:] == ids
                assert parsed.content == message.content
                assert [c.name for c in parsed.tool_calls] == [c.name for c in message.tool_calls]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.text(), st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=3))
def test_any_arguments_survive(bpe: Tokenizer, text: str, arguments: list[dict[str, Any]]) -> None:
    calls = tuple(
        ToolCall(id=f"call_{n}", name="tool", arguments=a) for n, a in enumerate(arguments)
    )
    message = Message(role="assistant", content=text, tool_calls=calls)
    assert parse_assistant(bpe, render(bpe, [message]).ids[2:]) == message


@pytest.mark.parametrize("text", ["calc {bad", "calc", "calc [1]", "calc 3", "", 'calc {"a": 1} x'])
def test_a_malformed_call_is_kept(bpe: Tokenizer, text: str) -> None:
    ids = [bpe.special_id("<|call|>"), *bpe.encode(text), bpe.end_id]
    message = parse_assistant(bpe, ids)
    (parsed,) = message.tool_calls
    assert parsed.arguments["_raw"] == text and "JSON" in parsed.arguments["_error"]
    assert render(bpe, [message]).ids[2:] == ids


@given(st.lists(st.integers(0, 399)))
def test_parsing_never_fails(bpe: Tokenizer, ids: list[int]) -> None:
    assert parse_assistant(bpe, ids).role == "assistant"


def test_wrong_messages_are_refused(bpe: Tokenizer) -> None:
    with pytest.raises(UserError, match="unknown role 'robot'"):
        render(bpe, [Message(role="robot", content="x")])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'user' message has tool calls"):
        render(bpe, [Message(role="user", tool_calls=(call("now"),))])
