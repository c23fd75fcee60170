"""Tiles from scalars, and tiles with other shapes: registers are renamed, nothing moves."""

from __future__ import annotations

import numpy as np

from tilewright.codegen.cuda.elements import number_type, wrap_integer
from tilewright.codegen.cuda.emitter import Emitter, emits, layout_of
from tilewright.codegen.cuda.places import Coordinates, coordinate, emit_renaming
from tilewright.ir.instructions.shape import Arange, Broadcast, Full, Reshape, Slice, Transpose
from tilewright.ir.values import element_type, shape_of


@emits(Full)
def emit_full(item: Full, e: Emitter) -> None:
    e.comment(item)
    e.define_each(item.results[0], lambda at: at(item.value))


@emits(Arange)
def emit_arange(item: Arange, e: Emitter) -> None:
    e.comment(item)
    result = item.results[0]
    dtype = element_type(result)
    name = e.declare(result)
    layout = layout_of(result)
    start = e.name(item.start)
    with e.loop(layout.size("reg")) as r:
        place = coordinate(e, layout, 0, r)
        number = f"{start} + ({number_type(dtype)})({place})"
        value = wrap_integer(e, dtype, number) if dtype.is_integer else None
        if value is None:
            value = e.rounded(
                result, f"{e.number(item.start, start)} + ({number_type(dtype)})({place})"
            )
        e.line(f"{name}[{r}] = {value};")


@emits(Broadcast)
def emit_broadcast(item: Broadcast, e: Emitter) -> None:
    e.comment(item)
    single = np.array([extent == 1 for extent in shape_of(item.operand)])
    emit_renaming(e, item.operand, item.results[0], lambda c: np.where(single, 0, c))


@emits(Reshape)
def emit_reshape(item: Reshape, e: Emitter) -> None:
    e.comment(item)
    have, want = shape_of(item.operand), shape_of(item.results[0])

    def project(coordinates: Coordinates) -> Coordinates:
        inside = np.minimum(np.maximum(coordinates, 0), np.array(want) - 1)
        ranks = (
            np.ravel_multi_index(tuple(np.moveaxis(inside, -1, 0)), want)
            if want
            else np.zeros(coordinates.shape[:-1], np.int64)
        )
        if not have:
            return np.zeros((*coordinates.shape[:-1], 0), np.int64)
        return np.stack(np.unravel_index(ranks, have), axis=-1)

    emit_renaming(e, item.operand, item.results[0], project)


@emits(Transpose)
def emit_transpose(item: Transpose, e: Emitter) -> None:
    e.comment(item)
    inverse = np.argsort(item.axes)
    emit_renaming(e, item.operand, item.results[0], lambda c: c[..., inverse])


@emits(Slice)
def emit_slice(item: Slice, e: Emitter) -> None:
    e.comment(item)
    emit_renaming(e, item.operand, item.results[0], lambda c: c + np.array(item.start, np.int64))
