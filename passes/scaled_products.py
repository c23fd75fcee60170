"""Products with scaled weights, on targets that have no instruction for them: group by group.

before:  %r = mma.scaled %x, %y, %scale, %acc, zero=%zero             (%scale has one row per group)
after:   %c = sub (cast %y, dtype=f32), (broadcast %zero)
         %p = mma %x, (cast %c, dtype=f16), (full 0.0)                (one per group, on its slices)
         %r = fma %p, (broadcast %scale), %acc

A group is summed first and scaled once, so products with integer codes are exact until then.
"""

from __future__ import annotations

from collections.abc import Sequence

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.elementwise import Binary, Cast, Fma
from tilewright.ir.instructions.matmul import Mma, MmaScaled
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.shape import Broadcast, Full, Slice
from tilewright.ir.kernel import Builder
from tilewright.ir.types import DType, f32
from tilewright.ir.values import Value, element_type, shape_of


def expand_scaled(item: Instruction, builder: Builder) -> Sequence[Value] | None:
    """A visitor: what stands for a product with scales."""
    if not isinstance(item, MmaScaled):
        return None
    (m, k), (groups, n) = shape_of(item.x), shape_of(item.scale)
    size = k // groups
    nothing = builder.value(Const(value=0.0, dtype=f32))
    acc = item.acc
    for group in range(groups):
        x = _part(item.x, (0, group * size), (m, size), builder)
        y = _part(item.y, (group * size, 0), (size, n), builder)
        weights = _centered(y, item.zero, group, element_type(item.x), builder)
        start = builder.value(Full(value=nothing, shape=(m, n)))
        sums = builder.value(Mma(x=x, y=weights, acc=start))
        scale = _row(item.scale, group, (m, n), builder)
        acc = builder.value(Fma(x=sums, y=scale, z=acc), item.results[0].name)
    return (acc,)


def _centered(y: Value, zero: Value | None, group: int, dtype: DType, builder: Builder) -> Value:
    """The weights less their zero points, as elements of `dtype`."""
    if zero is None:
        return _cast(y, dtype, builder)
    middle = _row(zero, group, shape_of(y), builder)
    distance = builder.value(Binary(op="sub", left=_cast(y, f32, builder), right=middle))
    return _cast(distance, dtype, builder)


def _row(values: Value, group: int, shape: tuple[int, ...], builder: Builder) -> Value:
    """Row `group` of scales or zero points, in f32, for every row of `shape`."""
    row = _part(values, (group, 0), (1, shape[1]), builder)
    return builder.value(Broadcast(operand=_cast(row, f32, builder), shape=shape))


def _part(value: Value, start: tuple[int, ...], shape: tuple[int, ...], builder: Builder) -> Value:
    if shape_of(value) == shape:
        return value
    return builder.value(Slice(operand=value, start=start, shape=shape), value.name)


def _cast(value: Value, dtype: DType, builder: Builder) -> Value:
    if element_type(value) == dtype:
        return value
    return builder.value(Cast(operand=value, dtype=dtype), value.name)
