"""Tiles that only rename elements: which element of the operand each element is."""

from __future__ import annotations

from math import prod

from tilewright.codegen.cpu.emitter import expression
from tilewright.codegen.cpu.nest import Nest, Term, linear
from tilewright.codegen.cpu.places import dense_strides
from tilewright.ir.instructions.shape import (
    Arange,
    Broadcast,
    Convert,
    Full,
    Reshape,
    Slice,
    Transpose,
)
from tilewright.ir.values import element_type, shape_of


@expression(Full)
def element_of_full(nest: Nest, item: Full, index: tuple[Term, ...]) -> Term:
    """The scalar."""
    return Term(nest.emitter.scalar(item.value))


@expression(Arange)
def element_of_arange(nest: Nest, item: Arange, index: tuple[Term, ...]) -> Term:
    """start + i, wrapped."""
    emitter, dtype = nest.emitter, element_type(item.start)
    held = emitter.held(item.results[0])
    text = f"tw::add({emitter.scalar(item.start)}, ({held})({index[0].text}))"
    return Term(emitter.tables.round_held(dtype, text), index[0].depth)


@expression(Broadcast)
def element_of_broadcast(nest: Nest, item: Broadcast, index: tuple[Term, ...]) -> Term:
    """Index 0 along axes of extent 1."""
    have = shape_of(item.operand)
    inner = tuple(Term("0") if extent == 1 else i for extent, i in zip(have, index, strict=True))
    return nest.value(item.operand, inner)


@expression(Convert)
def element_of_convert(nest: Nest, item: Convert, index: tuple[Term, ...]) -> Term:
    """The same element: there are no layouts here."""
    return nest.value(item.operand, index)


@expression(Transpose)
def element_of_transpose(nest: Nest, item: Transpose, index: tuple[Term, ...]) -> Term:
    """j[axes[d]] = i[d]."""
    inner = dict(zip(item.axes, index, strict=True))
    return nest.value(item.operand, tuple(inner[axis] for axis in range(len(index))))


@expression(Slice)
def element_of_slice(nest: Nest, item: Slice, index: tuple[Term, ...]) -> Term:
    """start + i."""
    inner = tuple(
        Term(f"{i.text} + {start}" if i.text != "0" else str(start), i.depth) if start else i
        for start, i in zip(item.start, index, strict=True)
    )
    return nest.value(item.operand, inner)


@expression(Reshape)
def element_of_reshape(nest: Nest, item: Reshape, index: tuple[Term, ...]) -> Term:
    """Equal row-major rank: axes of extent 1 are free, dense arrays are read by rank."""
    have, want = shape_of(item.operand), item.shape
    moving = [i for i, extent in zip(index, want, strict=True) if extent > 1]
    if [e for e in have if e > 1] == [e for e in want if e > 1]:
        queue = iter(moving)
        return nest.value(item.operand, tuple(next(queue) if e > 1 else Term("0") for e in have))
    rank = linear(index, dense_strides(want))
    emitter, operand = nest.emitter, item.operand
    if operand not in emitter.plan.virtual and emitter.array(operand).is_dense:
        array = emitter.array(operand)
        text = f"{array.name}[{rank.text}]"
        return Term(emitter.tables.from_array(array.dtype, array.ctype, text), rank.depth)
    return nest.value(operand, _split(nest, rank, have))


def _split(nest: Nest, rank: Term, shape: tuple[int, ...]) -> tuple[Term, ...]:
    """The coordinates in `shape` of the element with row-major rank `rank`."""
    found = []
    for axis, extent in enumerate(shape):
        below = prod(shape[axis + 1 :])
        text = f"({rank.text}) / {below}" if below > 1 else f"({rank.text})"
        if axis and extent > 1:
            text = f"{text} % {extent}"
        found.append(nest.define("int", text, rank.depth, "i") if extent > 1 else Term("0"))
    return tuple(found)
