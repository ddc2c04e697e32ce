"""The calculator: an own parser over exact fractions, with every size bounded.

No eval and no Python syntax tree: a character that is not in the grammar is an error.

    sum      := product (("+" | "-") product)*
    product  := unary (("*" | "/" | "//" | "%") unary)*
    unary    := ("+" | "-") unary | power
    power    := atom (("**" | "^") unary)?          right associative, binds tighter than "-"
    atom     := number | "(" sum ")" | name "(" sum ("," sum)* ")"
    number   := digits, also with thousands separators ("1,234"), and decimals

Operators mean what they mean in Python; × ÷ · and − are read as * / * and -. Inside the
parentheses of a function a comma separates arguments, so "max(1,234)" is 234.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Context, Decimal, DecimalException
from fractions import Fraction
from typing import Annotated

from nanohydra.tools.tool import ToolError

MAX_CHARS = 300
MAX_DEPTH = 40
MAX_DIGITS = 1000  # of any numerator or denominator on the way
MAX_RESULT_DIGITS = 60
DECIMALS = 6
MAX_BITS = int(MAX_DIGITS * math.log2(10))

SPACE = re.compile(r"[ \t\r\n]*")
NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(?![0-9,])(\.[0-9]*)?")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OPERATOR = re.compile(r"\*\*|//|[-+*/%^(),]")
SYNONYMS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-"})
# Irrational results carry this many digits; far more than are printed.
REAL = Context(prec=40, Emax=MAX_DIGITS, Emin=-MAX_DIGITS)


def calculator(
    expression: Annotated[str, "for example (3 + 4.5) * 12 / 7"],
) -> str:
    """Work out an arithmetic expression exactly.

    Raises ToolError for anything outside the grammar, a division by zero or a size limit.
    """
    return format_number(evaluate(expression))


def evaluate(expression: str) -> Fraction:
    """The exact value of an expression (irrational powers and roots: to 40 digits)."""
    if len(expression) > MAX_CHARS:
        raise ToolError(f"the expression is longer than {MAX_CHARS} characters")
    return Parser(expression.translate(SYNONYMS)).parse()


def format_number(value: Fraction) -> str:
    """Integers without a point, others rounded to 6 decimals (ties to even) without end zeros."""
    scaled = round(value * 10**DECIMALS)
    whole, part = divmod(abs(scaled), 10**DECIMALS)
    digits = str(whole)
    if len(digits) > MAX_RESULT_DIGITS:
        raise ToolError(f"the result has more than {MAX_RESULT_DIGITS} digits")
    decimals = f".{part:0{DECIMALS}d}".rstrip("0").rstrip(".")
    return ("-" if scaled < 0 else "") + digits + decimals


class Parser:
    """One expression, read once from left to right; `parse` may be called once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.depth = 0
        self.in_arguments = False

    def parse(self) -> Fraction:
        """The value of the whole text."""
        if not self.text.strip(" \t\r\n"):
            raise ToolError("the expression is empty")
        value = self.sum()
        self.skip_space()
        if self.place < len(self.text):
            raise self.unexpected()
        return value

    def sum(self) -> Fraction:
        """Products joined by + and -."""
        value = self.product()
        while operator := self.accept("+", "-"):
            right = self.product()
            value = bounded(value + right if operator == "+" else value - right)
        return value

    def product(self) -> Fraction:
        """Factors joined by *, /, // and %, from left to right."""
        value = self.unary()
        while operator := self.accept("*", "//", "/", "%"):
            value = bounded(apply(operator, value, self.unary()))
        return value

    def unary(self) -> Fraction:
        """A factor with its signs. Every recursion passes here, so the depth is bounded here."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ToolError(f"the expression is nested deeper than {MAX_DEPTH}")
        sign = self.accept("+", "-")
        value = self.unary() if sign else self.power()
        self.depth -= 1
        return -value if sign == "-" else value

    def power(self) -> Fraction:
        """An atom, perhaps raised; the exponent may carry a sign and another power."""
        base = self.atom()
        if self.accept("**", "^"):
            return bounded(raise_to(base, self.unary()))
        return base

    def atom(self) -> Fraction:
        """A number, a group or a function."""
        self.skip_space()
        if number := self.number():
            return number_value(number)
        if self.accept("("):
            return self.group()
        if match := NAME.match(self.text, self.place):
            name = match.group()
            function = FUNCTIONS.get(name)
            if function is None:
                raise ToolError(f"unknown name {name!r}; functions: {', '.join(FUNCTIONS)}")
            self.place = match.end()
            if not self.accept("("):
                raise ToolError(f"{name} needs its arguments in parentheses")
            return bounded(function(self.arguments()))
        raise self.unexpected()

    def number(self) -> str:
        """The number that stands here, or nothing."""
        grouped = None if self.in_arguments else GROUPED.match(self.text, self.place)
        match = grouped or NUMBER.match(self.text, self.place)
        if match is None:
            return ""
        self.place = match.end()
        return match.group()

    def group(self) -> Fraction:
        """What follows an opening parenthesis, to the closing one."""
        outside, self.in_arguments = self.in_arguments, False
        value = self.sum()
        self.expect_close()
        self.in_arguments = outside
        return value

    def arguments(self) -> list[Fraction]:
        """What follows a function's opening parenthesis, to the closing one."""
        outside, self.in_arguments = self.in_arguments, True
        values = [self.sum()]
        while self.accept(","):
            values.append(self.sum())
        self.expect_close()
        self.in_arguments = outside
        return values

    def expect_close(self) -> None:
        """Take the closing parenthesis."""
        if not self.accept(")"):
            self.skip_space()
            if self.place < len(self.text):
                raise self.unexpected()
            raise ToolError("a parenthesis is not closed")

    def accept(self, *operators: str) -> str:
        """Take and return the next operator if it is one of these, else return nothing."""
        self.skip_space()
        match = OPERATOR.match(self.text, self.place)
        if match is None or match.group() not in operators:
            return ""
        self.place = match.end()
        return match.group()

    def skip_space(self) -> None:
        """Go to the next character that means something."""
        match = SPACE.match(self.text, self.place)
        assert match is not None
        self.place = match.end()

    def unexpected(self) -> ToolError:
        """The error that names what stands here."""
        if self.place >= len(self.text):
            return ToolError("the expression ends too early")
        return ToolError(f"unexpected {self.text[self.place]!r} at character {self.place + 1}")


def number_value(text: str) -> Fraction:
    """The exact value of a number's text."""
    whole, _, part = text.replace(",", "").partition(".")
    if len(whole) + len(part) > MAX_DIGITS:
        raise ToolError(f"a number has more than {MAX_DIGITS} digits")
    return Fraction(int(whole + part or "0"), 10 ** len(part))


def apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    """One of * / // %, with Python's meaning of // and % for negative numbers."""
    if operator == "*":
        return left * right
    if right == 0:
        raise ToolError("division by zero")
    if operator == "/":
        return left / right
    return Fraction(left // right) if operator == "//" else left % right


def raise_to(base: Fraction, exponent: Fraction) -> Fraction:
    """base ** exponent: exact for whole exponents, to 40 digits for others."""
    if base == 0 and exponent < 0:
        raise ToolError("division by zero")
    if exponent.denominator == 1:
        # Checked before the work is done: 9**9**9 must fail in microseconds.
        if abs(exponent) * (bits(base) - 1) > MAX_BITS:
            raise ToolError(f"the power has more than {MAX_DIGITS} digits")
        return Fraction(base ** int(exponent))
    if base < 0:
        raise ToolError("a negative number to a fractional power has no real value")
    try:
        return Fraction(REAL.power(decimal(base), decimal(exponent)))
    except DecimalException as error:
        raise ToolError(f"the power has more than {MAX_DIGITS} digits") from error


def decimal(value: Fraction) -> Decimal:
    """A fraction as a decimal of 40 digits."""
    return REAL.divide(Decimal(value.numerator), Decimal(value.denominator))


def bits(value: Fraction) -> int:
    """The length of the longer of numerator and denominator."""
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def bounded(value: Fraction) -> Fraction:
    """The value itself. Raises ToolError if it has grown too large to go on with."""
    if bits(value) > MAX_BITS:
        raise ToolError(f"a number on the way has more than {MAX_DIGITS} digits")
    return value


def one(name: str, values: list[Fraction]) -> Fraction:
    """The only argument of a function."""
    if len(values) != 1:
        raise ToolError(f"{name} takes one argument, not {len(values)}")
    return values[0]


def square_root(values: list[Fraction]) -> Fraction:
    """Exact for squares of fractions, else to 40 digits."""
    value = one("sqrt", values)
    if value < 0:
        raise ToolError("a negative number has no real square root")
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    root = Fraction(top, bottom)
    return root if root * root == value else Fraction(REAL.sqrt(decimal(value)))


def rounded(values: list[Fraction]) -> Fraction:
    """round(x) or round(x, digits); ties go to the even neighbour, as in Python."""
    if len(values) > 2 or (len(values) == 2 and values[1].denominator != 1):
        raise ToolError("round takes a number and, perhaps, a whole number of decimals")
    digits = int(values[1]) if len(values) == 2 else 0
    if abs(digits) > MAX_DIGITS:
        raise ToolError(f"round takes at most {MAX_DIGITS} decimals")
    return Fraction(round(values[0], digits))


FUNCTIONS: dict[str, Callable[[list[Fraction]], Fraction]] = {
    "abs": lambda values: abs(one("abs", values)),
    "max": max,
    "min": min,
    "round": rounded,
    "sqrt": square_root,
}
