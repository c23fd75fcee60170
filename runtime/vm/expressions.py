"""Constant expressions of PTX ("Constant Expressions" in the manual): C's operators on literals."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

from tilewright.runtime.vm.records import Immediate

Number = int | float


class Cursor(Protocol):
    """What an expression needs of the parser."""

    def peek(self, ahead: int = 0) -> str: ...
    def accept(self, text: str) -> bool: ...
    def expect(self, text: str) -> Any: ...
    def literal(self) -> Immediate: ...


def _divide(a: Number, b: Number) -> Number:
    if isinstance(a, float) or isinstance(b, float):
        return a / b
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: Number, b: Number) -> Number:
    return a - b * int(_divide(a, b))


def _logical(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], int]:
    return lambda a, b: int(function(a, b))


_LEVELS: tuple[dict[str, Callable[[Any, Any], Any]], ...] = (
    {"||": _logical(lambda a, b: bool(a) or bool(b))},
    {"&&": _logical(lambda a, b: bool(a) and bool(b))},
    {"|": operator.or_},
    {"^": operator.xor},
    {"&": operator.and_},
    {"==": _logical(operator.eq), "!=": _logical(operator.ne)},
    {"<=": _logical(operator.le), ">=": _logical(operator.ge),
     "<": _logical(operator.lt), ">": _logical(operator.gt)},
    {"<<": operator.lshift, ">>": operator.rshift},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": _divide, "%": _remainder},
)  # fmt: skip
_TWO = {o for level in _LEVELS for o in level if len(o) == 2}
PRODUCTS = len(_LEVELS) - 1
_UNARY: dict[str, Callable[[Any], Any]] = {
    "+": operator.pos, "-": operator.neg, "~": operator.invert, "!": lambda a: int(not a),
}  # fmt: skip


def evaluate(cursor: Cursor) -> Immediate:
    """The value of the expression at the cursor, `?:` included."""
    value = _binary(cursor, 0)
    if cursor.accept("?"):
        first = evaluate(cursor).value
        cursor.expect(":")
        second = evaluate(cursor).value
        value = first if value else second
    return Immediate(value, isinstance(value, float))


def evaluate_product(cursor: Cursor) -> int:
    """A term of an address offset: what `*` and the like join."""
    return int(_binary(cursor, PRODUCTS))


def starts_expression(cursor: Cursor) -> bool:
    """Whether an operator, not an operand's name, follows at the cursor (`!0`, but not `!%p`)."""
    ahead = 0
    while cursor.peek(ahead) in (*_UNARY, "("):
        ahead += 1
    return cursor.peek(ahead)[:1].isdigit()


def _operator(cursor: Cursor) -> str:
    both = cursor.peek() + cursor.peek(1)
    return both if both in _TWO else cursor.peek()


def _binary(cursor: Cursor, level: int) -> Number:
    if level == len(_LEVELS):
        return _unary(cursor)
    value = _binary(cursor, level + 1)
    while (found := _operator(cursor)) in _LEVELS[level]:
        for mark in found:
            cursor.expect(mark)
        value = _LEVELS[level][found](value, _binary(cursor, level + 1))
    return value


def _unary(cursor: Cursor) -> Number:
    for mark, function in _UNARY.items():
        if cursor.accept(mark):
            value: Number = function(_unary(cursor))
            return value
    if cursor.accept("("):
        if cursor.peek() in (".s64", ".u64"):  # a cast changes only how the bits compare
            unsigned = cursor.peek() == ".u64"
            cursor.expect(cursor.peek())
            cursor.expect(")")
            value = _unary(cursor)
            return int(value) & ((1 << 64) - 1) if unsigned else value
        inner = evaluate(cursor).value
        cursor.expect(")")
        return inner
    return cursor.literal().value
