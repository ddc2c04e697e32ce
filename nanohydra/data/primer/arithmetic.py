"""Arithmetic through the calculator: the question, the call, its result, the answer.

Operand pairs are split by a hash of (a, operator, b), so no tested calculation was trained on.
The tool itself is not imported: `craft.format_number` states how it prints results.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

from nanohydra.core.types import Conversation, Message, Record, ToolCall
from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import (
    Example,
    Split,
    assistant,
    format_number,
    held_out,
    plural,
    user,
)
from nanohydra.data.primer.wordings_arithmetic import (
    BARE,
    BARE_ANSWERS,
    NAMED_TEST,
    NAMED_TRAIN,
    NESTED,
    NO_ZERO,
    PROBLEMS_TEST,
    PROBLEMS_TRAIN,
)

OPS = ("+", "-", "*", "/")
TOOL = "calculator"
ZERO_ERROR = "error: division by zero"


@dataclass(frozen=True)
class Problem:
    """A question with the expression to compute, its printed result and the final answer."""

    question: str
    expression: str
    result: str
    answer: str
    kind: str


def pair_key(a: str, op: str, b: str) -> str:
    """The key that decides the split of a calculation; the order of + and * does not matter."""
    left, right = (b, a) if op in "+*" and b < a else (a, b)
    return f"{left} {op} {right}"


def compute(a: str, op: str, b: str) -> Fraction:
    """The exact value of a calculation. Raises ZeroDivisionError."""
    x, y = Fraction(a), Fraction(b)
    return x + y if op == "+" else x - y if op == "-" else x * y if op == "*" else x / y


def _number(rng: Random, most: int = 4) -> int:
    """An integer whose number of digits is uniform, so that short and long ones are seen."""
    digits = rng.randint(1, most)
    return rng.randint(10 ** (digits - 1) if digits > 1 else 1, 10**digits - 1)


def _decimal(rng: Random) -> str:
    return f"{_number(rng, 2)}.{rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 25, 75))}"


def _is_short(value: Fraction) -> bool:
    """Whether the value prints with at most two decimals."""
    return (value * 100).denominator == 1


def _divisible(rng: Random, most: int) -> tuple[int, int]:
    """A pair whose quotient is an integer, or seldom has one or two decimals."""
    b = _number(rng, 2) + 1
    if rng.random() < 0.8:
        return b * max(2, _number(rng, 2)), b
    a, b = _number(rng, most), rng.choice((2, 4, 5, 8, 10, 20, 25, 50))
    return a, b


def _story_pair(rng: Random, op: str) -> tuple[int, int]:
    """Operands that make sense in a story: results are whole, positive and not one."""
    if op == "/":
        b = rng.randint(2, 12) if rng.random() < 0.6 else rng.randint(2, 99)
        return b * (_number(rng, 2) + 1), b
    if op == "*":
        return _number(rng, 2) + 1, _number(rng, 3) + 1
    a, b = _number(rng) + 1, _number(rng) + 1
    if op == "-":
        a, b = max(a, b), min(a, b)
        if a - b < 2:
            a += rng.randint(2, 99)
    return a, b


def _bare_pair(rng: Random, op: str, split: Split) -> tuple[str, str]:
    if op == "/":
        a, b = _divisible(rng, 4)
        if rng.random() < 0.1:
            a, b = _number(rng, 3), rng.choice((3, 6, 7, 9, 11, 12, 13))
        return str(a), str(b)
    roll = rng.random()
    if roll < (0.12 if split == "train" else 0.08):
        return _decimal(rng), _decimal(rng) if rng.random() < 0.5 else str(_number(rng, 2))
    if roll < 0.15:
        return str(_number(rng, 6)), str(_number(rng, 5))
    if roll < 0.17 and op == "+":
        return f"-{_number(rng, 2)}", str(_number(rng, 3))
    return str(_number(rng)), str(_number(rng))


def _in_split(key: str, split: Split) -> bool:
    return held_out(key) is (split == "test")


def story(rng: Random, split: Split) -> Problem:
    """A word problem."""
    op = rng.choice(OPS)
    while True:
        a, b = _story_pair(rng, op)
        if _in_split(pair_key(str(a), op, str(b)), split):
            break
    bank = PROBLEMS_TRAIN if split == "train" else PROBLEMS_TEST
    question, answer = rng.choice(bank[op])
    n = names.person(rng, split)
    m = names.person(rng, split)
    while m == n:
        m = names.person(rng, split)
    result = format_number(compute(str(a), op, str(b)))
    slots = {
        "a": a, "b": b, "n": n, "m": m, "r": result,
        "t": plural(rng.choice(words.COUNTABLE)), "p": rng.choice(words.PLACES),
    }  # fmt: skip
    # where the order is free, that of the text: the numbers are then copied as they come
    swap = op in "+*" and question.index("{b}") < question.index("{a}")
    expression = f"{b} {op} {a}" if swap else f"{a} {op} {b}"
    return Problem(
        question.format_map(slots), expression, result, answer.format_map(slots), "story"
    )


def bare(rng: Random, split: Split) -> Problem:
    """A calculation asked for as such."""
    op = rng.choice(OPS)
    while True:
        a, b = _bare_pair(rng, op, split)
        value = compute(a, op, b)
        if _in_split(pair_key(a, op, b), split):
            break
    result = format_number(value)
    slots = {"a": a, "b": b, "r": result}
    question = BARE[op].pick(rng, split).format_map(slots)
    answer = rng.choice(BARE_ANSWERS[op]).format_map(slots)
    return Problem(question, f"{a} {op} {b}", result, answer, "bare")


def nested(rng: Random, split: Split) -> Problem:
    """Two steps with parentheses; the split is that of the inner pair and of the whole."""
    while True:
        inner_op, outer_op = rng.choice("+-*"), rng.choice("+-*/")
        a, b, c = (str(_number(rng, 2)) for _ in range(3))
        inner = compute(a, inner_op, b)
        plain = inner_op in "+-" and outer_op in "+-"  # there the parentheses are idle
        if plain or not _in_split(pair_key(a, inner_op, b), split):
            continue
        first = rng.random() < 0.5 or outer_op == "/"
        left, right = (str(inner), c) if first else (c, str(inner))
        value = compute(left, outer_op, right)
        text = f"({a} {inner_op} {b}) {outer_op} {c}"
        text = text if first else f"{c} {outer_op} ({a} {inner_op} {b})"
        if _is_short(value) and _in_split(text, split):
            break
    result = format_number(value)
    question = NESTED.pick(rng, split).format(e=text)
    return Problem(question, text, result, f"The answer is {result}.", "nested")


def named(rng: Random, split: Split) -> Problem:
    """Percent, half, double, square, and chains of three numbers."""
    wording, form, answer = rng.choice(NAMED_TRAIN if split == "train" else NAMED_TEST)
    while True:
        slots = {"a": _number(rng, 2), "b": _number(rng, 3) + 1, "c": _number(rng, 2)}
        expression = form.format_map(slots)
        value = _evaluate(expression)
        if _is_short(value) and _in_split(expression, split) and _pairs_fit(expression, split):
            break
    result = format_number(value)
    final = answer.format(**slots, r=result)
    return Problem(wording.format_map(slots), expression, result, final, "named")


def _evaluate(expression: str) -> Fraction:
    """The value of at most three numbers in a row whose products stand first."""
    first, *rest = expression.split()
    value = Fraction(first)
    for op, number in zip(rest[::2], rest[1::2], strict=True):
        value = compute(str(value), op, number)
    return value


def _pairs_fit(expression: str, split: Split) -> bool:
    """Whether the calculation that comes first is on the split's side."""
    a, op, b = expression.split()[:3]
    return _in_split(pair_key(a, op, b), split)


def by_zero(rng: Random, split: Split) -> Problem:
    """A division by zero: the tool answers with an error, the assistant explains."""
    while True:
        a = str(_number(rng))
        if _in_split(pair_key(a, "/", "0"), split):
            break
    question = BARE["/"].pick(rng, split).format(a=a, b=0)
    return Problem(question, f"{a} / 0", ZERO_ERROR, NO_ZERO, "by_zero")


def problem(rng: Random, split: Split) -> Problem:
    """A random problem of any kind but division by zero."""
    roll = rng.random()
    if roll < 0.47:
        return story(rng, split)
    if roll < 0.86:
        return bare(rng, split)
    return nested(rng, split) if roll < 0.93 else named(rng, split)


def turns(item: Problem, number: int = 1) -> tuple[Message, ...]:
    """The four messages of a problem; `number` tells the calls of a conversation apart."""
    call = ToolCall(id=f"call_{number}", name=TOOL, arguments={"expression": item.expression})
    return (
        user(item.question),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=item.result, tool_call_id=call.id),
        assistant(item.answer),
    )


class Arithmetic:
    """The domain `arithmetic`."""

    source = "primer/arithmetic"

    def record(self, rng: Random, split: Split) -> Record:
        """One problem, or two in a row, with their tool calls."""
        count = 2 if rng.random() < 0.12 else 1
        messages: tuple[Message, ...] = ()
        kinds = []
        for number in range(1, count + 1):
            item = by_zero(rng, split) if rng.random() < 0.015 else problem(rng, split)
            messages += turns(item, number)
            kinds.append(item.kind)
        return Conversation(messages=messages, source=self.source, meta={"kinds": tuple(kinds)})

    def example(self, rng: Random, split: Split) -> Example:
        """One problem; the reply must contain the result."""
        item = problem(rng, split)
        meta: dict[str, Any] = {
            "kind": item.kind, "expression": item.expression, "result": item.result,
            "reference": item.answer,
        }  # fmt: skip
        return Example(
            prompt=(user(item.question),), answer=item.result, domain="arithmetic", meta=meta
        )
