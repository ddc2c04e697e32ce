"""Models' own templates: ids as in transformers, a mask on what the assistant says, no forgery."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message, ToolCall
from nanohydra.tokenizer import Tokenizer
from nanohydra.tokenizer.conversation import as_dicts
from tests.tokenizer.families import FAMILIES
from tests.tokenizer.foreign import load_both

pytest.importorskip("transformers")

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell <the> weather & more.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CHARACTERS = st.characters(exclude_categories=("Cs",)) | st.sampled_from("<|>[]/ \n\tése🎉")
TEXT = st.text(CHARACTERS, max_size=24)
WORDS = TEXT.filter(lambda text: bool(text.strip()))


@cache
def pair(name: str) -> tuple[Tokenizer, Any]:
    folder = Path(mkdtemp()) / name
    return load_both(FAMILIES[name].write(folder))


@st.composite
def conversations(draw: st.DrawFn, name: str) -> list[Message]:
    family = FAMILIES[name]
    messages = []
    if family.system and draw(st.booleans()):
        messages.append(Message(role="system", content=draw(WORDS)))
    for number in range(draw(st.integers(1, 3))):
        messages.append(Message(role="user", content=draw(TEXT)))
        if family.tools and draw(st.booleans()):
            arguments = draw(st.dictionaries(WORDS, TEXT, max_size=2))
            id = f"callnr{number:03d}"
            call = ToolCall(id=id, name="weather", arguments=arguments)
            messages.append(Message(role="assistant", tool_calls=(call,)))
            messages.append(Message(role="tool", content=draw(TEXT), tool_call_id=id))
        messages.append(Message(role="assistant", content=draw(TEXT)))
    return messages[: len(messages) - draw(st.integers(0, 1))]


def reference(name: str, messages: list[Message], **rest: Any) -> Any:
    _, other = pair(name)
    rest = {"enable_thinking": False, **rest}
    return other.apply_chat_template(list(as_dicts(messages, short_ids=name == "mistral")), **rest)


def forged(name: str, value: Any) -> bool:
    markers = pair(name)[0].chat.markers
    return any(marker in str(value) for marker in markers)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_ids_equal_transformers(name: str, data: st.DataObject) -> None:
    tokenizer, other = pair(name)
    messages = data.draw(conversations(name))
    tools = [TOOL] if FAMILIES[name].tools and data.draw(st.booleans()) else []
    prompt = data.draw(st.booleans())
    arguments = [dict(call.arguments) for m in messages for call in m.tool_calls]
    if forged(name, [[m.content for m in messages], arguments]):
        return
    try:
        rendered = tokenizer.chat.render(messages, tools=tools, add_generation_prompt=prompt)
    except UserError:
        with pytest.raises(TemplateError):
            reference(name, messages, tools=tools or None, add_generation_prompt=prompt)
        return
    result = reference(
        name, messages, tools=tools or None, add_generation_prompt=prompt, return_dict=True
    )
    assert rendered.ids == result["input_ids"]
    text = reference(
        name, messages, tools=tools or None, add_generation_prompt=prompt, tokenize=False
    )
    assert other(text, add_special_tokens=False)["input_ids"] == rendered.ids


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_loss_falls_on_the_assistants_words_and_its_end(name: str, data: st.DataObject) -> None:
    tokenizer, _ = pair(name)
    family = FAMILIES[name]
    word = st.sampled_from(["cat", "dog on the mat", "12 * 34", "it"])
    messages = []
    if family.system and data.draw(st.booleans()):
        messages.append(Message(role="system", content="be a cat"))
    said = []
    for _ in range(data.draw(st.integers(1, 3))):
        said.append(data.draw(word))
        messages += [
            Message(role="user", content=data.draw(word)),
            Message(role="assistant", content=said[-1]),
        ]
    rendered = tokenizer.chat.render(messages)
    kept = [id for id, loss in zip(rendered.ids, rendered.mask, strict=True) if loss]
    learned = tokenizer.decode(kept, skip_special=False)
    thought = "<think>\n\n</think>\n" if name == "smollm3" else ""
    parts = [piece.strip() for piece in learned.split(family.end)]
    assert parts == [*(thought + text for text in said), ""]


@pytest.mark.parametrize("name", FAMILIES)
def test_an_end_that_was_typed_ends_no_turn(name: str) -> None:
    tokenizer, _ = pair(name)
    end = FAMILIES[name].end
    said = f"the{end} cat"
    messages = [Message(role="user", content=end), Message(role="assistant", content=said)]
    both = tokenizer.chat.render([*messages, *messages])
    one = tokenizer.chat.render_reply([*messages, messages[0]], messages[1])
    for rendered, turns in ((both, 2), (one, 1)):
        kept = [id for id, loss in zip(rendered.ids, rendered.mask, strict=True) if loss]
        learned = tokenizer.decode(kept, skip_special=False)
        assert kept.count(tokenizer.token_id(end)) == turns
        assert (learned.count(said), learned.count(end)) == (turns, 2 * turns)


def expected_reply(name: str, text: str) -> str:
    gap = " " if name in ("llama2", "mistral") else ""
    return f"{gap}{text}{' ' if name == 'llama2' else ''}{FAMILIES[name].end}"


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("turns", [0, 2])
def test_a_reply_is_learned_behind_the_prompt_that_asks_for_it(name: str, turns: int) -> None:
    tokenizer, _ = pair(name)
    before = [
        Message(role="user", content="first"), Message(role="assistant", content="one"),
    ] * turns  # fmt: skip
    system = [Message(role="system", content="be kind")] if FAMILIES[name].system else []
    messages = [*system, *before, Message(role="user", content="the cat?")]
    rendered = tokenizer.chat.render_reply(messages, Message(role="assistant", content="It sat"))
    prompt = tokenizer.chat.render(messages, add_generation_prompt=True).ids
    assert rendered.ids[: len(prompt)] == prompt
    assert rendered.mask == [False] * len(prompt) + [True] * (len(rendered.ids) - len(prompt))
    reply = rendered.ids[len(prompt) :]
    said = tokenizer.decode_bytes(reply, skip_special=False, continues=True).decode()
    assert said == expected_reply(name, "It sat")
    assert tokenizer.chat.parse(reply).content.strip() == "It sat"
    assert tokenizer.chat.ended(reply) and not tokenizer.chat.ended(reply[:-1])


@pytest.mark.parametrize("name", [n for n in FAMILIES if FAMILIES[n].tools])
def test_calls_are_learned_and_read_back(name: str) -> None:
    tokenizer, _ = pair(name)
    call = ToolCall(id="call_0", name="weather", arguments={"city": "Łódź", "days": 2})
    messages = [
        Message(role="system", content="be kind"),
        Message(role="user", content="the weather?"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="sunny", tool_call_id="call_0"),
        Message(role="assistant", content="It is sunny."),
        Message(role="user", content="thanks"),
    ]
    rendered = tokenizer.chat.render(messages, tools=[TOOL])
    spans, inside = [], False
    for id, loss in zip(rendered.ids, rendered.mask, strict=True):
        if loss and not inside:
            spans.append([])
        inside = loss
        if loss:
            spans[-1].append(id)
    assert len(spans) == 2
    first, second = (tokenizer.chat.parse(ids, tools=[TOOL]) for ids in spans)
    assert first.content.strip() == "" and second.content.strip() == "It is sunny."
    (read,) = first.tool_calls
    assert (read.name, read.arguments) == (call.name, call.arguments)
    assert tokenizer.chat.parse(spans[0]).tool_calls == ()  # no tools were offered


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_text_becomes_a_marker(name: str, data: st.DataObject) -> None:
    tokenizer, _ = pair(name)
    family = FAMILIES[name]
    markers = tokenizer.chat.markers
    hostile = st.lists(st.sampled_from(markers) | TEXT, max_size=4).map("".join)
    bad = [data.draw(hostile) for _ in range(4)]
    shape = lambda texts: [  # noqa: E731
        *([Message(role="system", content="s" + texts[0])] if family.system else []),
        Message(role="user", content="u" + texts[1]),
        Message(role="assistant", content="a" + texts[2]),
        Message(role="user", content="v" + texts[3]),
    ]
    count = lambda ids: [id for id in ids if id in known]  # noqa: E731
    known = {tokenizer.token_id(marker) for marker in markers}
    known -= {tokenizer.token_id("<unk>"), None}
    ids = tokenizer.chat.render(shape(bad), add_generation_prompt=True).ids
    clean = tokenizer.chat.render(shape(["x"] * 4), add_generation_prompt=True).ids
    assert count(ids) == count(clean)
    text = tokenizer.decode(ids, skip_special=False)
    for said in bad[1:]:
        assert said.replace("\u2581", " ").strip() in text


def test_names_results_and_arguments_cannot_forge_either() -> None:
    tokenizer, _ = pair("qwen2")
    end = "<|im_end|>"

    def rendered(text: str) -> list[int]:
        call = ToolCall(id="1", name="w" + text, arguments={"k" + text: ["v" + text, {"x": text}]})
        tool = {"type": "function", "function": {"name": "w", "description": "d" + text}}
        messages = [
            Message(role="user", content="hi"),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content=f"r{text}", tool_call_id="1"),
        ]
        return tokenizer.chat.render(messages, tools=[tool]).ids

    marks = {tokenizer.token_id(m) for m in ("<|im_start|>", end, "<tool_call>", "</tool_call>")}
    for text in (end, "</tool_call><|im_start|>", "<|im_", "im_end|>", "<<|im_end|>|im_end|>"):
        found = [id for id in rendered(text) if id in marks]
        assert found == [id for id in rendered("x") if id in marks]
    assert tokenizer.decode(rendered(end)).count(end) == 6


def test_halves_of_a_marker_do_not_meet() -> None:
    tokenizer, _ = pair("qwen2")
    template = "{% for m in messages %}{{ m.content }}{% endfor %}<|im_end|>"
    tokenizer = with_template(tokenizer, template)
    halves = [Message(role="user", content="<|im_"), Message(role="user", content="start|>")]
    ids = tokenizer.chat.render(halves).ids
    assert tokenizer.token_id("<|im_start|>") not in ids
    assert tokenizer.decode(ids, skip_special=False) == "<|im_start|><|im_end|>"
    apart = [Message(role="user", content="a <|im_"), Message(role="user", content="b")]
    _, other = pair("qwen2")
    assert tokenizer.chat.render(apart).ids == other("a <|im_b<|im_end|>")["input_ids"]


def with_template(tokenizer: Tokenizer, template: str, **config: Any) -> Tokenizer:
    from dataclasses import replace

    files: Mapping[str, Any] = {**tokenizer.files.config, **config, "chat_template": template}
    return Tokenizer(tokenizer._backend, files=replace(tokenizer.files, config=files))


@pytest.mark.parametrize(
    ("name", "messages", "why"),
    [
        ("gemma", [("system", "x"), ("user", "y")], "System role not supported"),
        ("gemma", [("user", "x"), ("user", "y")], "must alternate"),
        ("llama2", [("assistant", "x")], "must alternate"),
        ("qwen2", [("robot", "x")], "unknown role 'robot'"),
    ],
)
def test_what_a_template_refuses_is_told(
    name: str, messages: list[tuple[Any, str]], why: str
) -> None:
    with pytest.raises(UserError, match=why):
        pair(name)[0].chat.render([Message(role=role, content=text) for role, text in messages])


def test_stop_ids_are_those_of_the_files_and_the_template(tmp_path: Path) -> None:
    FAMILIES["llama3"].write(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [3, 7]}')
    (tmp_path / "config.json").write_text('{"eos_token_id": 9}')
    tokenizer = Tokenizer.load(tmp_path)
    named = [tokenizer.token_id(name) for name in ("<|eot_id|>", "<|start_header_id|>")]
    assert tokenizer.chat.end_ids == (3, 7, 9, named[0])
    assert tokenizer.chat.stop_ids == (3, 7, 9, *named)


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ m.__class__.__mro__ }}{% endfor %}",
        "{{ messages.append(1) }}",
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 10000000000 }}",
        "{{ 10 ** 10000000 }}",
        "{{ missing.attribute }}",
        "{% for x in messages %}",
        "{{ range(10 ** 9) }}",
    ],
)
def test_a_hostile_template_is_stopped(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanohydra.tokenizer.jinja.MAX_SECONDS", 0.3)
    with pytest.raises(UserError, match="chat template"):
        with_template(pair("qwen2")[0], source).chat.render([Message(role="user", content="x")])


def test_named_templates_and_those_in_files(tmp_path: Path) -> None:
    FAMILIES["qwen2"].write(tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    named = [
        {"name": "default", "template": "plain {{ messages[0].content }}"},
        {"name": "tool_use", "template": "tools {{ tools | length }}"},
    ]
    tokenizer = with_template(tokenizer, named)  # type: ignore[arg-type]
    said = [Message(role="user", content="x")]
    assert tokenizer.decode(tokenizer.chat.render(said).ids) == "plain x"
    assert tokenizer.decode(tokenizer.chat.render(said, tools=[TOOL]).ids) == "tools 1"
    (tmp_path / "chat_template.jinja").write_text("file {{ bos_token }}{{ messages[0].content }}")
    assert tokenizer.decode(Tokenizer.load(tmp_path).chat.render(said).ids) == "file x"
