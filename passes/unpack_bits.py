"""Unpack bits: loads of elements below 8 bits become loads of bytes and a view of their bits.

before:  %w: tile<[64, 64], u4, #0> = load %a, [%i, %k], shape=[64, 64]
after:   %b: tensor<u8, ...> = bytes %a
         %h: i32 = floordiv %k, 2
         %c: tile<[64, 32], u8, #1> = load %b, [%i, %h], shape=[64, 32]
         %w: tile<[64, 64], u4, #0> = view %c, dtype=u4, layout=#0

Needs: phase laid_out. Gives: the same phase. Bytes are then copied, staged and pipelined like any
others; a view costs shifts and masks in registers. Cost: linear.
Named rules: [zero] only types whose code 0 is the number 0: bytes outside of the view are zero;
[whole] only offsets and rows of whole bytes; [recast] the byte layout is the wanted one in units of
whole bytes, where a lane holds such (pairs of u4 in the fragments of a product do); [units] else
lanes hold whole units, and a `convert` brings them into the wanted layout. What fits no rule keeps
the slow load, which takes codes one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tilewright.ir.index import divisor
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.elementwise import Binary
from tilewright.ir.instructions.memory import Bytes, Load
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.shape import Convert, View
from tilewright.ir.kernel import Builder, Kernel, definitions, rebuild
from tilewright.ir.layout import Layout, LayoutError, blocked, local
from tilewright.ir.layout.view import can_view
from tilewright.ir.types import DType, u8
from tilewright.ir.values import (
    ScalarType,
    TileType,
    Value,
    element_type,
    tensor_type,
    tile_type,
)
from tilewright.passes.access_widths import whole_bytes
from tilewright.passes.ahead import find_written
from tilewright.passes.facts import Facts, find_facts
from tilewright.passes.runner import Context, Pass
from tilewright.passes.typed import place


def unpack_bits(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with its packed loads as loads of bytes, where a rule fits."""
    del context
    facts, written, defined = find_facts(kernel), find_written(kernel), definitions(kernel)
    warps = kernel.warps or 1

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, Load) or item.tensor in written:
            return None
        if not _is_whole(item, facts) or not _fills_with_zero(item, defined):
            return None
        result = tile_type(item.results[0])
        assert result.layout is not None
        layouts = _recast(result) or _units(result, warps)
        return None if layouts is None else (_load(item, *layouts, builder),)

    return rebuild(kernel, visit)


def _is_whole(item: Load, facts: Facts) -> bool:
    """[whole] a packed tensor, read from whole bytes on, in rows of whole bytes."""
    kind = tensor_type(item.tensor)
    bits = kind.dtype.bits
    scalars = all(isinstance(offset.type, ScalarType) for offset in item.offsets)
    if bits >= 8 or kind.packing is not None or not kind.rank or not scalars:
        return False
    start = divisor(facts.of(item.offsets[-1]))
    return kind.strides[-1] == "1" and item.shape[-1] * bits % 8 == 0 and start * bits % 8 == 0


def _fills_with_zero(item: Load, defined: dict[Value, Instruction]) -> bool:
    """[zero] what lies outside is 0, and 0 is the code 0."""
    fill = None if item.other is None else defined.get(item.other)
    zero = item.other is None or (isinstance(fill, Const) and fill.value == 0)
    dtype = element_type(item.tensor)
    codes = np.zeros(1, dtype.container)
    return zero and dtype.kind != "bool" and float(dtype.decode(codes)[0]) == 0.0


def _recast(kind: TileType) -> tuple[Layout, Layout] | None:
    """[recast] the layouts of the bytes and of the elements, if lanes hold whole bytes."""
    assert kind.layout is not None
    bits = kind.dtype.bits
    elements = kind.layout.with_bits(bits)
    if elements.shape != kind.shape:
        return None
    inner, unit = (1,) * (len(kind.shape) - 1), whole_bytes(bits)
    try:
        outer = elements.divide(local(*inner, unit).with_bits(bits))
    except LayoutError:
        return None
    held = outer.with_bits(8).product(local(*inner, unit * bits // 8).with_bits(8))
    return (held, elements) if can_view(held, 8, elements, bits) else None


def _units(kind: TileType, warps: int) -> tuple[Layout, Layout] | None:
    """[units] rows in units of whole bytes, spread over lanes and warps."""
    bits = kind.dtype.bits
    unit = whole_bytes(bits)
    *rows, columns = kind.shape
    if columns % unit:
        return None
    outer = blocked((*rows, columns // unit), warps=warps)
    inner = (1,) * len(rows)
    held = outer.with_bits(8).product(local(*inner, unit * bits // 8).with_bits(8))
    elements = outer.with_bits(bits).product(local(*inner, unit).with_bits(bits))
    return (held, elements) if can_view(held, 8, elements, bits) else None


def _load(item: Load, held: Layout, elements: Layout, builder: Builder) -> Value:
    result = item.results[0]
    dtype = element_type(result)
    source = builder.value(Bytes(tensor=item.tensor), item.tensor.name)
    offset = _byte_offset(item.offsets[-1], dtype, builder)
    shape = (*item.shape[:-1], item.shape[-1] * dtype.bits // 8)
    load = dataclasses.replace(
        item,
        results=(),
        tensor=source,
        offsets=(*item.offsets[:-1], offset),
        other=None,
        shape=shape,
    )
    data = place(builder, load, TileType(shape, u8, held), f"{result.name or 'x'}_bytes")
    view = View(operand=data, dtype=dtype, layout=elements)
    value = place(builder, view, TileType(item.shape, dtype, elements), result.name)
    wanted = tile_type(result).layout
    assert wanted is not None
    if wanted.same(elements):
        return value
    moved = Convert(operand=value, layout=wanted)
    return place(builder, moved, result.type, result.name)


def _byte_offset(offset: Value, dtype: DType, builder: Builder) -> Value:
    kind = element_type(offset)
    bits = builder.value(Const(value=dtype.bits, dtype=kind))
    size = builder.value(Const(value=8, dtype=kind))
    scaled = builder.value(Binary(op="mul", left=offset, right=bits))
    return builder.value(Binary(op="floordiv", left=scaled, right=size))


PASS = Pass("unpack_bits", unpack_bits)
