"""Constants, facts about tensors, and one-element tiles as scalars."""

from __future__ import annotations

from tilewright.codegen.cuda.elements import stored_type
from tilewright.codegen.cuda.emitter import Emitter, emits
from tilewright.ir.instructions.scalar import Assume, Const, Extent, Stride
from tilewright.ir.instructions.shape import Item


@emits(Const)
def emit_const(item: Const, e: Emitter) -> None:
    e.comment(item)
    e.define(item.results[0], e.literal(item.dtype, item.value))


@emits(Extent)
def emit_extent(item: Extent, e: Emitter) -> None:
    e.comment(item)
    extent = e.tensors[item.tensor].extents[item.axis]
    e.define(item.results[0], f"({stored_type(item.dtype)}){extent}")


@emits(Stride)
def emit_stride(item: Stride, e: Emitter) -> None:
    e.comment(item)
    stride = e.tensors[item.tensor].strides[item.axis]
    e.define(item.results[0], f"({stored_type(item.dtype)}){stride}")


@emits(Assume)
def emit_assume(item: Assume, e: Emitter) -> None:
    e.comment(item)
    e.line(f"__builtin_assume({e.name(item.fact)});")


@emits(Item)
def emit_item(item: Item, e: Emitter) -> None:
    """The operand's layout has a copy of the element in register 0 of every lane."""
    e.comment(item)
    e.define(item.results[0], f"{e.name(item.operand)}[0]")
