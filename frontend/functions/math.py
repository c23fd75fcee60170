"""Elementwise functions, selection, fused multiply-add, and the matrix product."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tilewright.frontend import language
from tilewright.frontend.arithmetic import elementwise, fold
from tilewright.frontend.context import Context
from tilewright.frontend.handlers import implement
from tilewright.frontend.operands import check_elementwise, is_tile, unify_dtypes, unify_shapes
from tilewright.frontend.values import describe, is_number, is_static, label
from tilewright.ir.diagnostics import LanguageError, TypeMismatch
from tilewright.ir.instructions.elementwise import Fma, Select, Unary
from tilewright.ir.instructions.matmul import Mma, MmaScaled, accumulator_types
from tilewright.ir.instructions.shape import Full
from tilewright.ir.types import bool_
from tilewright.ir.values import BufferType, TileType, Value, element_type, shape_of

FUNCTIONS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "exp": (language.exp, math.exp),
    "exp2": (language.exp2, math.exp2),
    "log": (language.log, math.log),
    "log2": (language.log2, math.log2),
    "sqrt": (language.sqrt, math.sqrt),
    "rsqrt": (language.rsqrt, lambda x: 1.0 / math.sqrt(x)),
    "tanh": (language.tanh, math.tanh),
    "erf": (language.erf, math.erf),
    "sigmoid": (language.sigmoid, lambda x: 1.0 / (1.0 + math.exp(-x))),
    "sin": (language.sin, math.sin),
    "cos": (language.cos, math.cos),
    "abs": (language.abs, abs),
    "floor": (language.floor, lambda x: float(math.floor(x))),
    "ceil": (language.ceil, lambda x: float(math.ceil(x))),
    "round": (language.round, lambda x: float(round(x))),
}
"""Instruction → its name in the language, and what it does to a static number."""


def _implement(op: str) -> None:
    name, static = FUNCTIONS[op]

    @implement(name)
    def run(c: Context, x: Any) -> Any:
        if is_number(x):
            return fold(static, x)
        check_elementwise(x)
        return c.emit(Unary(op=op, operand=x))


for _op in FUNCTIONS:
    _implement(_op)


@implement(language.maximum)
def _maximum(c: Context, x: Any, y: Any) -> Any:
    if is_number(x) and is_number(y):
        return max(x, y)
    return elementwise(c, "max", "tw.maximum", x, y)


@implement(language.minimum)
def _minimum(c: Context, x: Any, y: Any) -> Any:
    if is_number(x) and is_number(y):
        return min(x, y)
    return elementwise(c, "min", "tw.minimum", x, y)


@implement(language.where)
def _where(c: Context, condition: Any, yes: Any, no: Any) -> Any:
    if is_static(condition):
        return yes if condition else no
    check_elementwise(condition)
    if element_type(condition) != bool_:
        raise TypeMismatch(f"a condition is bool, not {label(condition)}", "compare it: x != 0")
    x, y = unify_dtypes(c, (yes, no))
    holds, x, y = unify_shapes(c, (condition, x, y))
    return c.emit(Select(condition=holds, yes=x, no=y))


@implement(language.fma)
def _fma(c: Context, x: Any, y: Any, z: Any) -> Value:
    a, b, d = unify_shapes(c, unify_dtypes(c, (x, y, z)))
    if not element_type(a).is_float:
        raise TypeMismatch(f"tw.fma of {element_type(a).name}: it wants floats", "write x * y + z")
    return c.emit(Fma(x=a, y=b, z=d))


@implement(language.mma)
def _mma(c: Context, x: Any, y: Any, acc: Any, precision: Any, scale: Any, zero: Any) -> Value:
    for held in (x, y):
        if not isinstance(held, Value) or not isinstance(held.type, (TileType, BufferType)):
            raise TypeMismatch(
                f"tw.mma multiplies tiles, not {describe(held)}", "load tiles first: tw.load"
            )
    if precision not in ("exact", "tf32"):
        raise LanguageError(f"precision={describe(precision)}", 'choose "exact" or "tf32"')
    if acc is None:
        acc = _zero_accumulator(c, x, y)
    if not is_tile(acc):
        raise TypeMismatch(
            f"the accumulator of tw.mma is a tile, not {describe(acc)}",
            "start with tw.zeros((m, n), tw.f32)",
        )
    if scale is None and zero is None:
        return c.emit(Mma(x=x, y=y, acc=acc, precision=precision))
    _check_scales(scale, zero)
    return c.emit(MmaScaled(x=x, y=y, scale=scale, acc=acc, zero=zero))


def _check_scales(scale: Any, zero: Any) -> None:
    for name, held in (("scale", scale), ("zero", zero)):
        if not is_tile(held) and not (name == "zero" and held is None):
            raise TypeMismatch(
                f"{name} of tw.mma is a tile (groups, n), not {describe(held)}",
                "load it, or make one: tw.full((1, n), ...)",
            )


def _zero_accumulator(c: Context, x: Value, y: Value) -> Value:
    dtype = accumulator_types(element_type(x))[0]
    shape = (*shape_of(x)[:1], *shape_of(y)[1:])
    return c.emit(Full(value=c.const(0, dtype), shape=shape))
