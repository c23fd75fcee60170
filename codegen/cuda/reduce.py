"""Reductions: within each lane, then among lanes by shuffles; every lane gets the result.

Lanes that hold copies compute the same result, so copies are never counted twice. What crosses
warps has been split off by `split_reductions`. f16 and smaller types accumulate in 32 bits and
round once.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tilewright.codegen.cuda.elements import (
    float_literal,
    integer_type,
    literal,
    number_type,
    read_number,
    wrap_integer,
    write_number,
)
from tilewright.codegen.cuda.emitter import Emitter, emits, layout_of
from tilewright.codegen.cuda.places import (
    Coordinates,
    Project,
    coordinate,
    find_register_map,
    register_expression,
)
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.ir.diagnostics import InternalError
from tilewright.ir.instructions.reduce import Reduce, ReduceParts
from tilewright.ir.layout import Piece
from tilewright.ir.types import DType
from tilewright.ir.values import TileType, element_type, shape_of, tile_type

add_snippets(r"""
//@ tw_reduce_max
// The larger one; NaN if either is.
template <class T>
__device__ __forceinline__ T tw_reduce_max(T x, T y) { return x > y || x != x ? x : y; }
//@ tw_reduce_min
template <class T>
__device__ __forceinline__ T tw_reduce_min(T x, T y) { return x < y || x != x ? x : y; }
""")

ALL_LANES = "0xffffffffu"


@emits(Reduce, ReduceParts)
def emit_reduce(item: Reduce | ReduceParts, e: Emitter) -> None:
    e.comment(item)
    result, dtype = item.results[0], element_type(item.operand)
    op = item.combine if isinstance(item, ReduceParts) else item.op
    total = e.fresh(f"{result.name or 'v'}_total")
    count = e.registers(result)
    e.line(f"{_sum_type(dtype)} {total}[{count}];")
    with e.loop(count) as r:
        e.line(f"{total}[{r}] = {_identity(op, dtype)};")
    _reduce_registers(e, item, op, total)
    for piece in layout_of(item.operand).dims[item.axis]:
        if piece.axis == "lane":
            _reduce_lanes(e, op, dtype, total, count, piece)
        elif piece.axis == "warp" and isinstance(item, Reduce):
            raise InternalError("a reduction across warps was not split: split_reductions")
    name = e.declare(result)
    with e.loop(count) as r:
        e.line(f"{name}[{r}] = {_finish(e, dtype, f'{total}[{r}]')};")


def _reduce_registers(e: Emitter, item: Reduce | ReduceParts, op: str, total: str) -> None:
    operand = item.operand
    dtype, kind = element_type(operand), tile_type(operand)
    layout = layout_of(operand)
    mapping = find_register_map(_whole(tile_type(item.results[0])), _whole(kind), _projection(item))
    if mapping is None:
        raise InternalError(f"the layout of {item.results[0]!r} is no reduction of {operand!r}'s")
    place = register_expression(mapping, "r")
    padded = layout.shape[item.axis] > shape_of(operand)[item.axis]

    def step(r: str, into: str) -> None:
        value = read_number(e, dtype, f"{e.name(operand)}[{r}]")
        if padded:
            inside = f"{coordinate(e, layout, item.axis, r)} < {kind.shape[item.axis]}"
            value = f"({inside} ? {value} : {_identity(op, dtype)})"
        e.line(f"{total}[{into}] = {_combine(e, op, dtype, f'{total}[{into}]', value)};")

    if place is None:
        for register, into in enumerate(mapping):
            step(str(register), str(into))
        return
    with e.loop(len(mapping)) as r:
        step(r, register_expression(mapping, r) or "0")


def _whole(kind: TileType) -> TileType:
    """The tile with its ghosts: they, too, have a place in the (ghost) results."""
    assert kind.layout is not None
    return replace(kind, shape=kind.layout.shape)


def _projection(item: Reduce | ReduceParts) -> Project:
    axis = item.axis
    if isinstance(item, ReduceParts):
        parts = item.part_numbers()

        def to_part(coordinates: Coordinates) -> Coordinates:
            moved = coordinates.copy()
            moved[..., axis] = parts[coordinates[..., axis]]
            return moved

        return to_part

    def to_zero(coordinates: Coordinates) -> Coordinates:
        moved = coordinates.copy()
        moved[..., axis] = 0
        return moved

    return to_zero


def _reduce_lanes(e: Emitter, op: str, dtype: DType, total: str, count: int, piece: Piece) -> None:
    extent, stride, _ = piece
    power = extent & (extent - 1) == 0 and stride & (stride - 1) == 0
    if power:
        for step in range(extent.bit_length() - 1):
            with e.loop(count) as r:
                other = f"__shfl_xor_sync({ALL_LANES}, {total}[{r}], {stride << step})"
                e.line(f"{total}[{r}] = {_combine(e, op, dtype, f'{total}[{r}]', other)};")
        return
    # In one order for all lanes, so that their copies of a float sum are equal.
    with e.loop(count) as r:
        own = e.fresh("tw_own")
        first = f"(lane - lane / {stride} % {extent} * {stride})"
        e.line(f"const {_sum_type(dtype)} {own} = {total}[{r}];")
        e.line(f"{total}[{r}] = __shfl_sync({ALL_LANES}, {own}, {first});")
        for digit in range(1, extent):
            other = f"__shfl_sync({ALL_LANES}, {own}, {first} + {digit * stride})"
            e.line(f"{total}[{r}] = {_combine(e, op, dtype, f'{total}[{r}]', other)};")


def _sum_type(dtype: DType) -> str:
    return "int" if dtype.kind == "bool" else number_type(dtype)


def _identity(op: str, dtype: DType) -> str:
    if dtype.kind == "bool":
        return "1" if op in ("all", "prod", "reduce_min") else "0"
    if dtype.is_integer:
        least, most = int(dtype.min), int(dtype.max)
        whole = {"sum": 0, "prod": 1, "reduce_max": least, "reduce_min": most}[op]
        return f"({number_type(dtype)}){literal(dtype, whole)}"
    number = {"sum": 0.0, "prod": 1.0, "reduce_max": -math.inf, "reduce_min": math.inf}[op]
    return float_literal(number, double=dtype.name == "f64")


def _combine(e: Emitter, op: str, dtype: DType, x: str, y: str) -> str:
    if dtype.kind == "bool":
        return f"{x} & {y}" if op in ("all", "prod", "reduce_min") else f"{x} | {y}"
    if op in ("reduce_max", "reduce_min"):
        return e.call(f"tw_{op}<{number_type(dtype)}>", x, y)
    sign = "+" if op == "sum" else "*"
    if not dtype.is_integer:
        return f"{x} {sign} {y}"
    wide = integer_type(max(32, dtype.bits), signed=False)
    return f"({number_type(dtype)})(({wide}){x} {sign} ({wide}){y})"


def _finish(e: Emitter, dtype: DType, total: str) -> str:
    if dtype.kind == "bool":
        return f"{total} != 0"
    if dtype.is_integer:
        return wrap_integer(e, dtype, total)
    return write_number(e, dtype, total)
