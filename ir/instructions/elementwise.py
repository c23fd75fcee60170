"""Elementwise instructions on tiles and on scalars: result[i] = op(x[i], ...).

One family serves both: operands of one instruction are all scalars, or all tiles of one shape
(`broadcast` and `full` make them so). Floats round once per instruction; integers wrap. Division by
zero and overflow follow IEEE 754 for floats; integers divided by zero give 0, and so do their
remainders. Integer `floordiv` and `mod` round toward minus infinity, as Python's.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import erf

import numpy as np

from tilewright.ir.diagnostics import ShapeError, TypeMismatch
from tilewright.ir.instruction import ANY, Instruction, attribute, instruction, operand
from tilewright.ir.numeric import Array, convert_to, round_to
from tilewright.ir.types import DType, bool_, f64
from tilewright.ir.values import ScalarType, TileType, Type, Value, element_type, shape_of

_erf = np.vectorize(erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


UNARY: dict[str, Callable[[Array], Array]] = {
    "neg": np.negative,
    "abs": np.abs,
    "not": np.invert,
    "exp": np.exp,
    "exp2": np.exp2,
    "log": np.log,
    "log2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "erf": _erf,
    "sigmoid": _sigmoid,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: np.asarray(1.0 / np.sqrt(x)),
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
}
INTEGER_UNARY = ("neg", "abs", "not")
"""Unary operators that integers have; every other one wants floats. `not` is for integers, bool."""


def _floordiv(x: Array, y: Array) -> Array:
    if x.dtype.kind == "f":
        return np.asarray(np.floor(x / y))
    return np.asarray(np.where(y == 0, 0, x // np.where(y == 0, 1, y)))


def _mod(x: Array, y: Array) -> Array:
    if x.dtype.kind == "f":
        return np.asarray(np.mod(x, y))
    return np.asarray(np.where(y == 0, 0, x % np.where(y == 0, 1, y)))


def _quiet(x: Array) -> Array:
    """Signalling NaNs made quiet: `fmin` drops only those."""
    return x * 1.0 if x.dtype.kind == "f" else x


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "floordiv": _floordiv,
    "mod": _mod,
    "min": lambda x, y: np.asarray(np.fmin(_quiet(x), _quiet(y))),
    "max": lambda x, y: np.asarray(np.fmax(_quiet(x), _quiet(y))),
    "pow": np.power,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shl": np.left_shift,
    "shr": np.right_shift,
}
BITWISE = ("and", "or", "xor", "shl", "shr")

COMPARE: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def _like(value: Value, dtype: DType) -> Type:
    match value.type:
        case TileType(shape=shape, layout=layout):
            return TileType(shape, dtype, None if layout is None else layout.with_bits(dtype.bits))
        case ScalarType():
            return ScalarType(dtype)
        case _:
            raise TypeMismatch(f"an elementwise operand is a tile or a scalar, not {value.type}")


def _check_same(*values: Value) -> None:
    kinds = {isinstance(v.type, TileType) for v in values}
    shapes = {shape_of(v) for v in values}
    if len(kinds) > 1 or len(shapes) > 1:
        raise ShapeError(f"shapes {' and '.join(map(str, sorted(shapes)))} differ")


@instruction("unary", phases=ANY, ops=tuple(UNARY))
class Unary(Instruction):
    """result[i] = op(operand[i])"""

    op: str
    operand: Value = operand()

    def result(self) -> tuple[Type, ...]:
        return (_like(self.operand, element_type(self.operand)),)

    def check(self) -> None:
        dtype = element_type(self.operand)
        if not dtype.is_float and self.op not in INTEGER_UNARY:
            raise TypeMismatch(f"{self.op} wants a float, got {dtype.name}", "cast it to f32 first")
        if dtype.is_float and self.op == "not":
            raise TypeMismatch(f"not wants an integer or bool, got {dtype.name}")

    def meaning(self, operand: Array) -> Array:
        with np.errstate(all="ignore"):
            return round_to(element_type(self.results[0]), UNARY[self.op](operand))


@instruction("binary", phases=ANY, ops=tuple(BINARY))
class Binary(Instruction):
    """result[i] = left[i] op right[i]; both operands have one dtype."""

    op: str
    left: Value = operand()
    right: Value = operand()

    def result(self) -> tuple[Type, ...]:
        return (_like(self.left, element_type(self.left)),)

    def check(self) -> None:
        _check_same(self.left, self.right)
        left, right = element_type(self.left), element_type(self.right)
        if left != right:
            raise TypeMismatch(f"{self.op} of {left.name} and {right.name}", "cast one of them")
        if left.is_float and self.op in BITWISE:
            raise TypeMismatch(f"{self.op} wants integers, got {left.name}")

    def meaning(self, left: Array, right: Array) -> Array:
        with np.errstate(all="ignore"):
            return round_to(element_type(self.results[0]), BINARY[self.op](left, right))


@instruction("compare", phases=ANY, ops=tuple(COMPARE))
class Compare(Instruction):
    """result[i] = left[i] op right[i], a bool; NaN compares unequal to everything."""

    op: str
    left: Value = operand()
    right: Value = operand()

    def result(self) -> tuple[Type, ...]:
        return (_like(self.left, bool_),)

    def check(self) -> None:
        _check_same(self.left, self.right)
        left, right = element_type(self.left), element_type(self.right)
        if left != right:
            raise TypeMismatch(f"comparison of {left.name} and {right.name}", "cast one of them")

    def meaning(self, left: Array, right: Array) -> Array:
        return np.asarray(COMPARE[self.op](left, right))


@instruction("fma", phases=ANY)
class Fma(Instruction):
    """result[i] = x[i] * y[i] + z[i], rounded once."""

    x: Value = operand()
    y: Value = operand()
    z: Value = operand()

    def result(self) -> tuple[Type, ...]:
        return (_like(self.x, element_type(self.x)),)

    def check(self) -> None:
        _check_same(self.x, self.y, self.z)

    def meaning(self, x: Array, y: Array, z: Array) -> Array:
        dtype = element_type(self.x)
        with np.errstate(all="ignore"):
            if dtype == f64:
                return np.asarray(_fma_f64(x, y, z))
            return round_to(dtype, _sum_to_odd(x * y, z) if dtype.is_float else x * y + z)


def _sum_to_odd(product: Array, z: Array) -> Array:
    """product + z, odd where inexact: rounding it to 50 bits or fewer then rounds only once.

    The product of two floats of at most 24 digits is exact in float64; its sum with z is found
    with its error (Knuth's two-sum), and an even neighbour makes way for the odd one.
    """
    product, z = np.broadcast_arrays(np.asarray(product, np.float64), np.asarray(z, np.float64))
    near = np.asarray(product + z)
    part = near - product
    error = (product - (near - part)) + (z - part)
    even = near.view(np.int64) & 1 == 0
    move = even & np.isfinite(near) & (error != 0)
    return np.where(move, np.nextafter(near, np.where(error > 0, np.inf, -np.inf)), near)


def _fma_exact(x: float, y: float, z: float) -> float:
    rounded = x * y + z
    if not np.isfinite(rounded) or rounded == 0:
        return rounded
    return float(Fraction(x) * Fraction(y) + Fraction(z))


_fma_f64 = np.vectorize(_fma_exact, otypes=[np.float64])


@instruction("select", phases=ANY)
class Select(Instruction):
    """result[i] = yes[i] if condition[i] else no[i]"""

    condition: Value = operand()
    yes: Value = operand()
    no: Value = operand()

    def result(self) -> tuple[Type, ...]:
        return (_like(self.yes, element_type(self.yes)),)

    def check(self) -> None:
        _check_same(self.condition, self.yes, self.no)
        if element_type(self.condition) != bool_:
            raise TypeMismatch(f"a condition is bool, not {element_type(self.condition).name}")
        if element_type(self.yes) != element_type(self.no):
            raise TypeMismatch("both choices of a select have one dtype", "cast one of them")

    def meaning(self, condition: Array, yes: Array, no: Array) -> Array:
        return np.where(condition, yes, no)


@instruction("cast", phases=ANY)
class Cast(Instruction):
    """result[i] = operand[i] in another dtype, by the defaults of `ir.types`."""

    operand: Value = operand()
    dtype: DType = attribute()

    def result(self) -> tuple[Type, ...]:
        return (_like(self.operand, self.dtype),)

    def meaning(self, operand: Array) -> Array:
        return convert_to(self.dtype, element_type(self.operand), operand)
