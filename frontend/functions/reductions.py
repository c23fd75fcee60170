"""Reductions: the axis goes away unless `keep`; without any axis left the result is a scalar."""

from __future__ import annotations

from math import prod
from typing import Any

from tilewright.frontend import language
from tilewright.frontend.annotations import Tile
from tilewright.frontend.context import Context
from tilewright.frontend.handlers import implement
from tilewright.frontend.operands import embed, is_scalar, is_tile, static_int, unify
from tilewright.frontend.values import describe, is_static, label
from tilewright.ir.diagnostics import ShapeError, TypeMismatch
from tilewright.ir.instructions.elementwise import Binary
from tilewright.ir.instructions.reduce import Reduce
from tilewright.ir.instructions.shape import Item, Reshape
from tilewright.ir.types import bool_
from tilewright.ir.values import Value, element_type, shape_of

REDUCTIONS: dict[str, tuple[Any, ...]] = {
    "sum": (language.sum, Tile.sum),
    "prod": (language.prod, Tile.prod),
    "reduce_max": (language.max, Tile.max),
    "reduce_min": (language.min, Tile.min),
    "any": (language.any, Tile.any),
    "all": (language.all, Tile.all),
}


def _implement(op: str) -> None:
    function, method = REDUCTIONS[op]

    @implement(function)
    def run(c: Context, x: Any, axis: Any, keep: Any) -> Value:
        return reduce_tile(c, op, x, axis, keep)

    @implement(method)
    def run_method(c: Context, self: Any, axis: Any, keep: Any) -> Value:
        return reduce_tile(c, op, self, axis, keep)


for _op in REDUCTIONS:
    _implement(_op)


def reduce_tile(c: Context, op: str, x: Any, axis: Any, keep: Any) -> Value:
    """`x` reduced along `axis`: an int, a tuple of them, or None for all."""
    name = op.removeprefix("reduce_")
    if not is_tile(x):
        both = {"max": "maximum", "min": "minimum"}.get(name)
        raise TypeMismatch(
            f"tw.{name} reduces a tile, not {describe(x)}",
            f"tw.{both}(x, y) compares two values" if both else None,
        )
    value: Value = x
    if not is_static(axis) or not is_static(keep):
        raise TypeMismatch("the axis of a reduction is known while compiling")
    dtype = element_type(value)
    if op not in ("any", "all") and not (dtype.is_integer or dtype.is_float):
        raise TypeMismatch(f"tw.{name} of {label(value)}", "cast it first, e.g. to tw.i32")
    axes = _axes(value, axis)
    shape = shape_of(value)
    for at in axes:
        value = c.emit(Reduce(op=op, operand=value, axis=at))
    if keep:
        return value
    rest = tuple(n for at, n in enumerate(shape) if at not in axes)
    return c.emit(Reshape(operand=value, shape=rest) if rest else Item(operand=value))


def _axes(value: Value, held: Any) -> tuple[int, ...]:
    rank = len(shape_of(value))
    if held is None:
        return tuple(range(rank))
    axes = tuple(static_int(a, "an axis") for a in (held if isinstance(held, tuple) else (held,)))
    for axis in axes:
        if not -rank <= axis < rank:
            raise ShapeError(f"axis {axis} of {label(value)}", f"it has axes 0 … {rank - 1}")
    return tuple(dict.fromkeys(a % rank for a in axes))


@implement(language.mean)
def _mean(c: Context, x: Any, axis: Any, keep: Any) -> Value:
    if not is_tile(x) or not element_type(x).is_float:
        raise TypeMismatch(f"tw.mean wants a tile of floats, not {describe(x)}", "cast it first")
    total = reduce_tile(c, "sum", x, axis, keep)
    count = prod(shape_of(x)[a] for a in _axes(x, axis))
    left, right = unify(c, total, float(count))
    return c.emit(Binary(op="div", left=left, right=right))


@implement(Tile.mean)
def _mean_method(c: Context, self: Value, axis: Any, keep: Any) -> Value:
    return _mean(c, self, axis, keep)


def to_condition(c: Context, held: Any) -> Value:
    """A bool scalar or a bool tile, as a condition that holds everywhere."""
    if is_static(held):
        return embed(c, bool(held), bool_)
    if (is_tile(held) or is_scalar(held)) and element_type(held) == bool_:
        found: Value = held
        return found
    raise TypeMismatch(f"a condition is a bool, not {describe(held)}", "compare it: x != 0")
