"""Scores that the contract does not already pin down: tool traces, distractors, numbers."""

from __future__ import annotations

from nanohydra.core.types import Message, ToolCall
from nanohydra.tasks import Example, final_text, load_task, say


def example(answer: str, question: str = "What is it?", **meta: object) -> Example:
    return Example(
        prompt=(Message(role="user", content=question),),
        answer=answer,
        meta={"reference": f"It is {answer}.", **meta},
    )


def trace(result: str, name: str = "calculator", text: str = "888.") -> list[Message]:
    call = ToolCall(id="call_1", name=name, arguments={"expression": "37 * 24"})
    return [
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=result, tool_call_id="call_1"),
        Message(role="assistant", content=text),
    ]


def test_arithmetic_wants_the_calculators_number() -> None:
    task = load_task("arithmetic")
    asked = example("888", "37 * 24?")
    assert task.score_reply(asked, trace("888")) == 1.0
    assert task.score_reply(asked, trace("888", text="It is 1,888.")) == 0.0
    assert task.score_reply(asked, trace("777")) == 0.0
    assert task.score_reply(asked, trace("error: unknown tool", name="calc")) == 0.0
    assert task.score_reply(asked, trace("error: division by zero")) == 0.0
    assert task.score(asked, "888.") == 0.0


def test_arithmetic_takes_the_step_that_gives_the_answer() -> None:
    first, second = trace("12"), trace("888")
    reply = [*first[:2], *second]
    assert load_task("arithmetic").score_reply(example("888", "37 * 24?"), reply) == 1.0


def test_a_reply_cut_off_in_its_calls_has_no_text() -> None:
    assert final_text(trace("888")[:1]) == ""
    assert final_text(trace("888")[:2]) == ""
    assert final_text([]) == ""
    assert load_task("arithmetic").score_reply(example("888"), trace("888")[:2]) == 0.0


def test_a_fact_mixed_with_anothers_is_wrong() -> None:
    task = load_task("facts")
    one, other = task.load("test", count=2)
    others = [e for e in task.load("test") if e.meta["relation"] == one.meta["relation"]]
    different = next(e for e in others if e.answer != one.answer)
    assert task.score(one, f"{one.answer}.") == 1.0
    assert task.score(one, f"{one.answer} and {different.answer}.") == 0.0
    assert task.score(one, f"I don't know, perhaps {one.answer}.") == 0.0
    assert other != one


def test_a_year_must_be_the_year() -> None:
    task = load_task("facts")
    asked = example("1345", "When was it founded?")
    assert task.score(asked, "It was founded in 1345.") == 1.0
    assert task.score(asked, "It was founded in 13450.") == 0.0
    assert task.score(asked, "It was founded in 1345 or 1346.") == 0.0


def test_every_fact_is_asked_once_and_some_in_reverse() -> None:
    from nanohydra.data.primer.world import all_facts

    asked = load_task("facts").load("test")
    reverse = [e for e in asked if str(e.meta["kind"]).endswith("in reverse")]
    assert len(asked) - len(reverse) == len(all_facts())
    assert 0 < len(reverse) < len(all_facts())


def test_reading_without_an_answer_wants_just_that() -> None:
    task = load_task("reading")
    asked = example("does not say", answerable=False, distractors=[])
    assert task.score(asked, "The text does not say.") == 1.0
    assert task.score(asked, "It is Amir.") == 0.0
    assert task.score(asked, "The text does not say. It is Amir.") == 0.0


def test_reading_wants_the_span_and_no_other() -> None:
    task = load_task("reading")
    asked = example("Amir", answerable=True, distractors=["Pam"])
    assert task.score(asked, "Amir has the drum.") == 1.0
    assert task.score(asked, "Pam has the drum.") == 0.0
    assert task.score(asked, "Amir and Pam.") == 0.0
    assert task.score(asked, "The text does not say that Amir has it.") == 0.0


def test_abstaining_on_what_is_known_is_wrong_whatever_follows() -> None:
    task = load_task("abstain_known")
    assert task.score(example("Rome"), "Paris") == 1.0
    assert task.score(example("Rome"), "I don't know. You can teach me.") == 0.0
    assert task.score(example("Rome"), "") == 0.0


def test_say_is_one_assistant_turn() -> None:
    assert final_text(say("yes")) == "yes"
