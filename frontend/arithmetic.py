"""Operators of Python on captured things: folded where static, instructions where not."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from tilewright.frontend.context import Context
from tilewright.frontend.operands import (
    check_elementwise,
    has_elements,
    is_scalar,
    is_tile,
    static_int,
    unify,
)
from tilewright.frontend.values import Extents, describe, is_static, label
from tilewright.ir.diagnostics import LanguageError, TypeMismatch
from tilewright.ir.instructions.elementwise import BITWISE, Binary, Compare, Unary
from tilewright.ir.types import bool_
from tilewright.ir.values import Value, element_type

BINARY: dict[type[ast.operator], tuple[str, str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("add", "+", operator.add),
    ast.Sub: ("sub", "-", operator.sub),
    ast.Mult: ("mul", "*", operator.mul),
    ast.Div: ("div", "/", operator.truediv),
    ast.FloorDiv: ("floordiv", "//", operator.floordiv),
    ast.Mod: ("mod", "%", operator.mod),
    ast.Pow: ("pow", "**", operator.pow),
    ast.BitAnd: ("and", "&", operator.and_),
    ast.BitOr: ("or", "|", operator.or_),
    ast.BitXor: ("xor", "^", operator.xor),
    ast.LShift: ("shl", "<<", operator.lshift),
    ast.RShift: ("shr", ">>", operator.rshift),
}
COMPARE: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("eq", operator.eq),
    ast.NotEq: ("ne", operator.ne),
    ast.Lt: ("lt", operator.lt),
    ast.LtE: ("le", operator.le),
    ast.Gt: ("gt", operator.gt),
    ast.GtE: ("ge", operator.ge),
    ast.Is: ("is", operator.is_),
    ast.IsNot: ("is not", operator.is_not),
    ast.In: ("in", lambda x, y: x in y),
    ast.NotIn: ("not in", lambda x, y: x not in y),
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}


def fold(function: Callable[..., Any], *operands: Any) -> Any:
    """`function` of statics; what Python raises becomes an error of the kernel."""
    try:
        return function(*operands)
    except (ArithmeticError, TypeError, ValueError, LookupError) as error:
        raise LanguageError(f"{type(error).__name__} while compiling: {error}") from None


def binary(c: Context, kind: type[ast.operator], left: Any, right: Any) -> Any:
    """`left op right`."""
    if kind not in BINARY:
        raise LanguageError(
            "the operator @ is not in the language", "write tw.mma(x, y, acc) for a matrix product"
        )
    op, symbol, function = BINARY[kind]
    if is_static(left) and is_static(right):
        return fold(function, left, right)
    if isinstance(left, tuple) and isinstance(right, tuple) and op == "add":
        return left + right
    if op == "pow" and type(right) is int and right == 2 and has_elements(left):
        right, op = left, "mul"
    return elementwise(c, op, symbol, left, right)


def elementwise(c: Context, op: str, symbol: str, left: Any, right: Any) -> Value:
    """The instruction `op` on operands made to fit each other."""
    x, y = unify(c, left, right)
    dtype = element_type(x)
    if dtype == bool_ and op not in BITWISE:
        raise TypeMismatch(f"{symbol} of bools", "cast them first, e.g. to tw.i32")
    if dtype != bool_ and not (dtype.is_integer or dtype.is_float):
        raise TypeMismatch(f"{symbol} of {dtype.name}, which only stores", "cast it to tw.f32")
    if op == "div" and dtype.is_integer:
        raise TypeMismatch(
            f"/ of integers ({dtype.name})", "write // for whole numbers, or cast to tw.f32 first"
        )
    return c.emit(Binary(op=op, left=x, right=y))


def compare(c: Context, kind: type[ast.cmpop], left: Any, right: Any) -> Any:
    """`left op right`, a bool."""
    op, function = COMPARE[kind]
    if is_static(left) and is_static(right):
        return fold(function, left, right)
    if op in ("is", "is not"):
        return function(left, right)
    if op in ("in", "not in"):
        raise LanguageError(f"{op!r} works on statics only", "compare with == and join with &")
    check_elementwise(left)
    check_elementwise(right)
    x, y = unify(c, left, right)
    return c.emit(Compare(op=op, left=x, right=y))


def unary(c: Context, kind: type[ast.unaryop], held: Any) -> Any:
    """`op held`."""
    if kind is ast.Not and not is_static(held):
        return negate(c, held)
    if is_static(held):
        return fold(UNARY[kind], held)
    check_elementwise(held)
    if kind is ast.UAdd:
        return held
    return c.emit(Unary(op="neg" if kind is ast.USub else "not", operand=held))


def negate(c: Context, held: Any) -> Value:
    """`not held`, for a bool scalar."""
    return c.emit(Unary(op="not", operand=truth(held)))


def truth(held: Any) -> Value:
    """A dynamic condition: a bool scalar, else an error that says what to write."""
    if is_scalar(held) and element_type(held) == bool_:
        assert isinstance(held, Value)
        return held
    if is_tile(held):
        raise TypeMismatch(
            f"a tile steers nothing: {label(held)}",
            "use tw.where or & | ~ elementwise, or reduce it with tw.any or tw.all",
        )
    if is_scalar(held):
        raise TypeMismatch(f"a condition is a bool, not {label(held)}", "compare it: x != 0")
    raise TypeMismatch(f"a condition is a bool, not {describe(held)}")


def join(c: Context, conjunction: bool, conditions: list[Any]) -> Any:
    """`and` / `or` of conditions of which the dynamic ones are all evaluated."""
    dynamic: list[Value] = []
    for held in conditions:
        if not is_static(held):
            dynamic.append(truth(held))
        elif bool(held) != conjunction:
            return held
    if not dynamic:
        return conditions[-1]
    found = dynamic[0]
    for other in dynamic[1:]:
        found = c.emit(Binary(op="and" if conjunction else "or", left=found, right=other))
    return found


def static_truth(held: Any) -> bool:
    """The truth of a static condition."""
    return len_of(held) > 0 if isinstance(held, Extents) else bool(held)


def len_of(held: Any) -> int:
    """`len(held)` of a static tuple, string or shape."""
    if isinstance(held, Extents):
        return held.rank
    if isinstance(held, (tuple, str, list, range)):
        return len(held)
    return static_int(held, "the argument of len")
