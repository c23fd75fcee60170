"""`tw.grid`, the loops' ranges, `tw.role`, and `tw.cdiv`, which their bounds are made of."""

from __future__ import annotations

import ast
from typing import Any

from tilewright.frontend import language
from tilewright.frontend.arithmetic import binary, fold
from tilewright.frontend.context import Context, Grid
from tilewright.frontend.handlers import implement
from tilewright.frontend.operands import cast, static_int, to_index
from tilewright.frontend.values import (
    DynamicRange,
    Exactly,
    RoleHead,
    describe,
    is_number,
    is_static,
)
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.values import ScalarType, Value

ORDERS = ("row_major", "column_major", "grouped")


@implement(language.grid)
def _grid(c: Context, extents: tuple[Any, ...] = (), order: str = "row_major") -> Any:
    straight = len(c.frames) == 1 and c.builder is c.frame.builder
    if not straight or c.grid is not None:
        raise LanguageError(
            "tw.grid stands once, on the kernel's own level",
            "open the grid at the top of the kernel: i, j = tw.grid(m, n)",
        )
    if order not in ORDERS:
        raise LanguageError(f"order={order!r} is unknown", f"choose one of {', '.join(ORDERS)}")
    for extent in extents:
        if is_number(extent) and extent < 0:
            raise LanguageError(f"an extent of the grid is {extent}", "count from 0 upwards")
    made = tuple(cast(c, to_index(c, e, "an extent of the grid"), c.index) for e in extents)
    names = c.targets if len(c.targets) == len(made) else ("",) * len(made)
    indices = tuple(Value(ScalarType(c.index), name) for name in names)
    c.grid = Grid(made, indices, order, len(c.builder.instructions), c.place)
    return indices[0] if len(indices) == 1 else indices


@implement(language.range)
def _range(c: Context, bounds: tuple[Any, ...] = (), stages: Any = 1, unroll: int = 1) -> Any:
    if not 1 <= len(bounds) <= 3:
        raise LanguageError("tw.range takes a stop, or start, stop and step")
    low, high, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    exactly = isinstance(stages, Exactly)
    count = stages.stages if isinstance(stages, Exactly) else static_int(stages, "stages")
    copies = static_int(unroll, "unroll")
    if count < 1 or copies < 1:
        raise LanguageError(f"stages={count}, unroll={copies}: both are at least 1")
    return DynamicRange(low, high, step, count, exactly, copies)


@implement(language.static_range)
def _static_range(c: Context, bounds: tuple[Any, ...] = ()) -> range:
    if not is_static(bounds):
        raise LanguageError(
            f"tw.static_range is unrolled while compiling and got {describe(bounds)}",
            "use tw.range for a loop of the kernel",
        )
    found: range = fold(range, *bounds)
    return found


@implement(language.exactly)
def _exactly(c: Context, stages: Any) -> Exactly:
    return Exactly(static_int(stages, "the number of stages"))


@implement(language.cdiv)
def _cdiv(c: Context, x: Any, y: Any) -> Any:
    if is_static(x) and is_static(y):
        return fold(lambda a, b: -(-a // b), x, y)
    # (x - 1) // y + 1 rounds toward minus infinity: 0 gives 0, and nothing overflows.
    blocks = binary(c, ast.FloorDiv, binary(c, ast.Sub, x, 1), y)
    return binary(c, ast.Add, blocks, 1)


@implement(language.role)
def _role(c: Context, name: Any, warps: Any = 4, registers: Any = 0) -> RoleHead:
    if not isinstance(name, str) or not name.isidentifier():
        raise LanguageError(f"a role's name is a word, not {describe(name)}")
    held = static_int(warps, "warps"), static_int(registers, "registers")
    if held[0] < 1 or held[1] < 0:
        raise LanguageError(f"role {name}: warps={held[0]}, registers={held[1]}")
    return RoleHead(name, *held)
