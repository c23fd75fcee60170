"""Matrix multiply-accumulate, synchronous and asynchronous."""

from __future__ import annotations

import numpy as np

from tilewright.ir.diagnostics import ShapeError, TypeMismatch
from tilewright.ir.instruction import (
    ANY,
    BEFORE_TARGET,
    Effect,
    Instruction,
    attribute,
    instruction,
    operand,
)
from tilewright.ir.memory import BufferView
from tilewright.ir.numeric import Array, round_to
from tilewright.ir.token import Pending, Token
from tilewright.ir.types import DType, f16, f32, f64, i32, tf32
from tilewright.ir.values import (
    BufferType,
    PendingType,
    TileType,
    TokenType,
    Type,
    Value,
    element_type,
    shape_of,
    tile_type,
)


def accumulator_types(dtype: DType) -> tuple[DType, ...]:
    """The accumulator dtypes that a product of two `dtype` operands may have."""
    if dtype.is_integer:
        return (i32,)
    if dtype == f64:
        return (f64,)
    return (f32, f16) if dtype == f16 or dtype.bits <= 8 else (f32,)


def _check(x: Value, y: Value, acc: Value) -> None:
    xs, ys, accs = shape_of(x), shape_of(y), shape_of(acc)
    if len(xs) != 2 or len(ys) != 2 or xs[1] != ys[0] or accs != (xs[0], ys[1]):
        raise ShapeError(
            f"mma of {xs} and {ys} into {accs}: want (m, k), (k, n) and (m, n)",
            "transpose an operand with .T",
        )
    left, right = element_type(x), element_type(y)
    same_class = left.is_integer == right.is_integer
    if not same_class or (left != right and max(left.bits, right.bits) > 8):
        raise TypeMismatch(
            f"mma of {left.name} and {right.name}: types of more than 8 bits are equal",
            "cast one of them, x.cast(y.dtype) or y.cast(x.dtype)",
        )
    if element_type(acc) not in accumulator_types(left):
        wanted = " or ".join(t.name for t in accumulator_types(left))
        raise TypeMismatch(
            f"mma of {left.name} accumulates in {wanted}, not {element_type(acc).name}",
            f"start with tw.zeros(..., tw.{accumulator_types(left)[0].name})",
        )


def _product(x: Array, y: Array, acc: Array, dtype: DType, precision: str) -> Array:
    if precision == "tf32":
        x, y = round_to(tf32, x), round_to(tf32, y)
    with np.errstate(all="ignore"):
        return round_to(dtype, x @ y + acc)


@instruction("mma", phases=ANY)
class Mma(Instruction):
    """result[i, j] = acc[i, j] + sum over k of x[i, k] * y[k, j], accumulated in acc's dtype.

    `x` and `y` are tiles, or buffers once staged. `precision="tf32"` lets f32 operands be rounded
    to tf32; "exact" keeps them. The order of the sum is free. `atom` and `warp_grid` (warps along m
    and n) say how, once chosen: `ir.targets.fragments` derives the operands' layouts from them.
    """

    x: Value = operand()
    y: Value = operand()
    acc: Value = operand()
    precision: str = attribute(default="exact")
    atom: str | None = attribute(default=None)
    warp_grid: tuple[int, int] | None = attribute(default=None)

    def result(self) -> tuple[Type, ...]:
        return (self.acc.type,)

    def effects(self) -> tuple[Effect, ...]:
        return tuple(Effect("read", v) for v in (self.x, self.y) if isinstance(v.type, BufferType))

    def check(self) -> None:
        _check(self.x, self.y, self.acc)

    def meaning(self, x: Array | BufferView, y: Array | BufferView, acc: Array) -> Array:
        left = x.read() if isinstance(x, BufferView) else x
        right = y.read() if isinstance(y, BufferView) else y
        return _product(left, right, acc, tile_type(self.acc).dtype, self.precision)


@instruction("mma.scaled", phases=ANY)
class MmaScaled(Instruction):
    """result[i, j] = acc[i, j] + sum over k of x[i, k] * (y[k, j] - zero[g, j]) * scale[g, j].

    Group g = k // (k extent / scale rows). The contraction for quantized weights `y` of at most 8
    bits, exact but for the rounding of the sum; a target may sum a group first and scale it once.
    """

    x: Value = operand()
    y: Value = operand()
    scale: Value = operand()
    acc: Value = operand()
    zero: Value | None = operand(default=None)

    def result(self) -> tuple[Type, ...]:
        return (self.acc.type,)

    def check(self) -> None:
        (m, k), (depth, n) = shape_of(self.x), shape_of(self.y)
        groups, width = shape_of(self.scale)
        if depth != k or width != n or shape_of(self.acc) != (m, n) or k % groups:
            raise ShapeError(
                f"mma of {(m, k)} and {(depth, n)} with scales {(groups, width)} into "
                f"{shape_of(self.acc)}: want (m, k), (k, n), (groups, n), (m, n), groups dividing k"
            )
        if self.zero is not None and shape_of(self.zero) != (groups, n):
            raise ShapeError(f"zeros of shape {shape_of(self.zero)} for scales {(groups, n)}")
        if element_type(self.y).bits > 8:
            raise TypeMismatch("mma with scales wants weights of at most 8 bits")

    def meaning(self, x: Array, y: Array, scale: Array, acc: Array, zero: Array | None) -> Array:
        size = x.shape[1] // scale.shape[0]
        weights = y.astype(np.float64)
        if zero is not None:
            weights = weights - np.repeat(zero, size, axis=0)
        return _product(x, weights * np.repeat(scale, size, axis=0), acc, f32, "exact")


@instruction("mma.async", phases=BEFORE_TARGET)
class MmaAsync(Instruction):
    """Starts result = acc + x · y; the result is pending until its token has been waited for.

    Buffers among the operands are read until then and may not be overwritten. `acc` may itself be
    pending: asynchronous products on one accumulator chain in order.
    """

    x: Value = operand()
    y: Value = operand()
    acc: Value = operand()
    atom: str | None = attribute(default=None)

    def result(self) -> tuple[Type, ...]:
        return (PendingType(self._tile()), TokenType())

    def effects(self) -> tuple[Effect, ...]:
        buffers = (v for v in (self.x, self.y) if isinstance(v.type, BufferType))
        # the pending result is linear: two equal products stay two
        return (Effect("init", None), *(Effect("read", v, "async", "token") for v in buffers))

    def _tile(self) -> TileType:
        kind = self.acc.type
        return kind.tile if isinstance(kind, PendingType) else tile_type(self.acc)

    def check(self) -> None:
        _check(self.x, self.y, Value(self._tile()))

    def meaning(
        self, x: Array | BufferView, y: Array | BufferView, acc: Array | Pending
    ) -> tuple[Pending, Token]:
        left = x.pin() if isinstance(x, BufferView) else x
        right = y.pin() if isinstance(y, BufferView) else y
        start = acc.take() if isinstance(acc, Pending) else acc
        found = _product(left, right, start, self._tile().dtype, "exact")

        def finish() -> None:
            if isinstance(acc, Pending):
                acc.token.wait()  # products on one accumulator complete in order
            for read in (x, y):
                if isinstance(read, BufferView):
                    read.unpin()

        token = Token(finish)
        return Pending(found, token), token
