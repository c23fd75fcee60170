"""Loads into arrays, row by row: per row the part inside the view is copied, the rest gets `other`.

This is how every load that has an array is emitted, how loads at the edge of a tensor reach a fused
nest, and how rows that an index tile chooses are gathered. Types of less than 8 bits are unpacked a
row at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.codegen.cpu.dtypes import array_type, zero_point
from tilewright.codegen.cpu.emitter import Emitter, tile_of
from tilewright.codegen.cpu.places import Array, Tensor
from tilewright.codegen.cpu.tensors import is_checked, offset_text, read_directly
from tilewright.ir.instructions.memory import Load
from tilewright.ir.values import TileType, Value


@dataclass(frozen=True)
class RowCopy:
    """One load: where from, where to, which axis is a row, and the names that its loops use."""

    emitter: Emitter
    load: Load
    tensor: Tensor
    array: Array
    inner: int
    spans: dict[int, tuple[str, str]]
    rows: dict[int, str]


def fill_rows(emitter: Emitter, load: Load, array: Array) -> None:
    """Copy what `load` reads into `array`, with `other` outside of the view."""
    tensor = emitter.tensors[load.tensor]
    if not load.shape:
        held = emitter.tables.from_memory(tensor.dtype, f"{tensor.pointer}[0]")
        emitter.out.line(_put(emitter, array, held))
        return
    inner = _inner_axis(tensor, load)
    with emitter.out.block(""):
        spans, rows = _spans(emitter, load, tensor), _index_arrays(emitter, load)
        copy = RowCopy(emitter, load, tensor, array, inner, spans, rows)
        _loop(copy, [axis for axis in range(len(load.shape)) if axis != inner])


def _inner_axis(tensor: Tensor, load: Load) -> int:
    last = len(load.shape) - 1
    if tensor.dtype.bits < 8:
        return last
    dense = [a for a, s in enumerate(tensor.strides) if s == "1" and load.shape[a] > 1]
    plain = [a for a in dense if not isinstance(load.offsets[a].type, TileType)]
    return plain[-1] if plain else last


def _spans(emitter: Emitter, load: Load, tensor: Tensor) -> dict[int, tuple[str, str]]:
    """Per axis that must be checked: names of the first index inside and the first beyond."""
    spans = {}
    for axis, (offset, extent) in enumerate(zip(load.offsets, load.shape, strict=True)):
        if isinstance(offset.type, TileType) or not is_checked(load.bounds, axis):
            continue
        at, view = offset_text(emitter, offset), tensor.extents[axis]
        first, past = emitter.names.fresh("first"), emitter.names.fresh("past")
        emitter.out.line(f"const int {first} = tw::start_inside({at}, {extent});")
        emitter.out.line(f"const int {past} = tw::stop_inside({at}, {view}, {extent});")
        spans[axis] = (first, past)
    return spans


def _index_arrays(emitter: Emitter, load: Load) -> dict[int, str]:
    """Per gathered axis: its coordinate in terms of the loop's variable."""
    return {
        axis: f"{settle(emitter, offset).name}[i{axis}]"
        for axis, offset in enumerate(load.offsets)
        if isinstance(offset.type, TileType)
    }


def _loop(copy: RowCopy, axes: list[int]) -> None:
    if not axes:
        _one_row(copy)
        return
    axis, *rest = axes
    head = f"for (int i{axis} = 0; i{axis} < {copy.load.shape[axis]}; ++i{axis})"
    with copy.emitter.out.block(head):
        _loop(copy, rest)


def _one_row(copy: RowCopy) -> None:
    emitter, out, inner = copy.emitter, copy.emitter.out, copy.inner
    extent, other = copy.load.shape[inner], copy.load.other
    held = zero_point(copy.tensor.dtype) if other is None else emitter.scalar(other)
    fill = _put(emitter, copy.array, held)
    inside = " && ".join(_tests(copy, inner)) or "true"
    if inner in copy.rows:
        _gather_row(copy, inside, fill)
        return
    first, past = copy.spans.get(inner, ("0", str(extent)))
    if inside != "true" or inner in copy.spans:
        out.line(f"const bool inside = {inside};")
        out.line(f"const int from = inside ? {first} : {extent};")
        out.line(f"const int to = inside && {past} > {first} ? {past} : from;")
        out.line(f"for (int i{inner} = 0; i{inner} < from; ++i{inner}) {fill}")
        out.line(f"for (int i{inner} = to; i{inner} < {extent}; ++i{inner}) {fill}")
        first, past = "from", "to"
    _copy_row(copy, first, past)


def _tests(copy: RowCopy, inner: int) -> list[str]:
    """What must hold outside of the row's axis for the row to lie inside the view."""
    found = []
    for axis in range(len(copy.load.shape)):
        if axis in copy.rows:
            found.append(f"(uint64_t){copy.rows[axis]} < (uint64_t){copy.tensor.extents[axis]}")
        elif axis in copy.spans and axis != inner:
            first, past = copy.spans[axis]
            found.append(f"i{axis} >= {first} && i{axis} < {past}")
    return found


def _row_start(copy: RowCopy) -> str:
    """The pointer to coordinate 0 of the row."""
    terms = []
    for axis, stride in enumerate(copy.tensor.strides):
        if axis == copy.inner or stride == "0":
            continue
        offset = offset_text(copy.emitter, copy.load.offsets[axis])
        at = copy.rows.get(axis, f"((int64_t){offset} + i{axis})")
        terms.append(f"(int64_t){at} * {stride}")
    return " + ".join((copy.tensor.pointer, *terms))


def _gather_row(copy: RowCopy, inside: str, fill: str) -> None:
    """The row's own axis is gathered: element by element."""
    emitter, tensor, inner = copy.emitter, copy.tensor, copy.inner
    at, stride = copy.rows[inner], tensor.strides[inner]
    if tensor.dtype.bits < 8:
        emitter.headers.add("codes.h")
        element = f"tw::get_code<{tensor.dtype.bits}>({_row_start(copy)}, {at})"
    else:
        element = f"({_row_start(copy)})[(int64_t){at} * {stride}]"
    put = _put(emitter, copy.array, emitter.tables.from_memory(tensor.dtype, element))
    extent = copy.load.shape[inner]
    with emitter.out.block(f"for (int i{inner} = 0; i{inner} < {extent}; ++i{inner})"):
        emitter.out.line(f"if ({inside}) {put} else {fill}")


def _copy_row(copy: RowCopy, first: str, past: str) -> None:
    emitter, out, tensor, inner = copy.emitter, copy.emitter.out, copy.tensor, copy.inner
    start, stride = offset_text(emitter, copy.load.offsets[inner]), tensor.strides[inner]
    if tensor.dtype.bits < 8:
        emitter.headers.add("codes.h")
        out.line(f"uint8_t codes[{copy.load.shape[inner]}];")
        span = f"(int64_t){start} + {first}, {past} - {first}"
        unpack = f"tw::unpack_codes<{tensor.dtype.bits}>"
        out.line(f"{unpack}(codes + {first}, {_row_start(copy)}, {span});")
        element = f"codes[i{inner}]"
    else:
        times = "" if stride == "1" else f" * {stride}"
        out.line(f"const auto row = {_row_start(copy)} + (int64_t){start}{times};")
        element = f"row[i{inner}{times}]"
    put = _put(emitter, copy.array, emitter.tables.from_memory(tensor.dtype, element))
    out.line("#pragma omp simd")
    out.line(f"for (int i{inner} = {first}; i{inner} < {past}; ++i{inner}) {put}")


def _put(emitter: Emitter, array: Array, held: str) -> str:
    terms = [f"i{a} * {s}" for a, s in enumerate(array.strides) if array.shape[a] >= 1]
    element = emitter.tables.to_array(array.dtype, array.ctype, held)
    return f"{array.name}[{' + '.join(terms) or '0'}] = {element};"


def settle(emitter: Emitter, value: Value) -> Array:
    """The array of a tile; one that only renames elements is written out here."""
    if value not in emitter.plan.virtual:
        return emitter.array(value)
    kind = tile_of(value)
    ctype = array_type(kind.dtype, half=value in emitter.plan.half)
    array = emitter.local(value.name or "tile", ctype, kind)
    nest = emitter.nest(kind.shape, read_directly)
    nest.add(emitter.put(array, nest.index, nest.value(value, nest.index).text))
    nest.write()
    return array
