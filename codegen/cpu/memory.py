"""Statements on global memory: stores, scatters, elements, and views; gathers as expressions."""

from __future__ import annotations

from collections.abc import Sequence

from tilewright.codegen.cpu.dtypes import stored_type, zero_point
from tilewright.codegen.cpu.emitter import Emitter, expression, statement
from tilewright.codegen.cpu.loops import walk_elements
from tilewright.codegen.cpu.nest import Nest, Term
from tilewright.codegen.cpu.places import Array, Tensor, dense_strides
from tilewright.codegen.cpu.rows import settle
from tilewright.codegen.cpu.tensors import (
    address,
    is_checked,
    is_nonnegative,
    offset_text,
)
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instructions.memory import (
    Bytes,
    Element,
    ElementStore,
    Gather,
    Load,
    Rows,
    Scatter,
    Store,
    Subview,
)
from tilewright.ir.types import u8
from tilewright.ir.values import TileType, Value, shape_of, tensor_type


@expression(Load)
def element_of_load(nest: Nest, item: Load, index: tuple[Term, ...]) -> Term:
    """Whatever the nest's rule for loads says: memory, or an edge array."""
    if tensor_type(item.tensor).packing is not None:
        raise LanguageError(
            f"{item.tensor.name or 'a packed tensor'} is packed for mma and has no elements here",
            "contract it: tw.mma(x, codes.T, acc, scale=..., zero=...)",
            location=item.location,
        )
    return nest.read(nest, item.results[0], index)


@expression(Gather)
def element_of_gather(nest: Nest, item: Gather, index: tuple[Term, ...]) -> Term:
    """A conditional read: inside the view and where the mask holds."""
    emitter = nest.emitter
    tensor = emitter.tensors[item.tensor]
    at = [nest.value(i, index) for i in item.index]
    tests = inside_tests(tensor, [i.text for i in at])
    depth = max([i.depth for i in at] + [i.depth for i in index])
    if item.mask is not None:
        mask = nest.value(item.mask, index)
        depth, tests = max(depth, mask.depth), [mask.text, *tests]
    other = zero_point(tensor.dtype) if item.other is None else emitter.scalar(item.other)
    held = emitter.tables.from_memory(tensor.dtype, element_text(emitter, tensor, at))
    text = f"{' && '.join(tests) or 'true'} ? {held} : {other}"
    return nest.define(emitter.held(item.results[0]), text, depth, item.results[0].name or "v")


def inside_tests(tensor: Tensor, coordinates: Sequence[str]) -> list[str]:
    """Conditions that say that `coordinates` lie inside the view (negative ones wrap to large)."""
    return [
        f"(uint64_t)(int64_t){c} < (uint64_t){extent}"
        for c, extent in zip(coordinates, tensor.extents, strict=True)
    ]


def element_text(emitter: Emitter, tensor: Tensor, coordinates: Sequence[Term | str]) -> str:
    """The element (its code, for less than 8 bits) at `coordinates`, unchecked."""
    at = [c if isinstance(c, str) else c.text for c in coordinates]
    if tensor.dtype.bits < 8:
        emitter.headers.add("codes.h")
        row = row_pointer(tensor, at[:-1])
        return f"tw::get_code<{tensor.dtype.bits}>({row}, {at[-1]})"
    return f"{tensor.pointer}[{_offset(tensor, at)}]"


def row_pointer(tensor: Tensor, leading: Sequence[str]) -> str:
    """The pointer to the row of a packed tensor at the leading coordinates."""
    terms = [f"(int64_t)({c}) * {s}" for c, s in zip(leading, tensor.strides, strict=False)]
    return " + ".join((tensor.pointer, *terms))


def _offset(tensor: Tensor, at: Sequence[str]) -> str:
    terms = [
        f"(int64_t)({c})" if stride == "1" else f"(int64_t)({c}) * {stride}"
        for c, stride in zip(at, tensor.strides, strict=True)
        if stride != "0"
    ]
    return " + ".join(terms) or "0"


@statement(Store)
def emit_store(emitter: Emitter, item: Store) -> None:
    """A nest over the part of the tile that lies inside the view."""
    tensor = emitter.tensors[item.tensor]
    if tensor.dtype.bits < 8:
        _store_codes(emitter, item, tensor)
        return
    if any(isinstance(offset.type, TileType) for offset in item.offsets):
        _store_rows(emitter, item, tensor)
        return
    offsets = [offset_text(emitter, o) for o in item.offsets]
    shape = shape_of(item.value)

    def build(nest: Nest) -> None:
        held = nest.value(item.value, nest.index).text
        place = address(nest, tensor, list(zip(offsets, nest.index, strict=True)))
        if tensor.dtype.name in ("f16", "bf16"):
            held = nest.unrounded(held)
        if tensor.dtype.name == "f16" and nest.loops and place.endswith(f"[i{nest.loops[-1]}]"):
            _store_f16_row(nest, place, held)
        else:
            nest.add(f"{place} = {emitter.tables.to_memory(tensor.dtype, held)};")

    dense = tuple(axis for axis, stride in enumerate(tensor.strides) if stride == "1")
    with emitter.out.block(""):
        starts, limits = _limits(emitter, item, tensor, shape)
        walk_elements(emitter, shape, build, dense=dense, starts=starts, limits=limits)


def _store_f16_row(nest: Nest, place: str, held: str) -> None:
    """A dense row is collected as f32 and converted at once."""
    axis, outer = nest.loops[-1], nest.depth - 1
    row, index = nest.emitter.names.fresh("row"), f"i{axis}"
    base = place.removesuffix(f"[{index}]")
    start, limit = nest.starts[axis], nest.limits[axis]
    nest.add(f"alignas(64) float {row}[{nest.shape[axis]}];", outer)
    nest.add(f"{row}[{index}] = {held};")
    span = f"{limit} - {start}" if start != "0" else limit
    nest.after(f"tw::narrow_row({base} + {start}, {row} + {start}, {span});", outer)


def _limits(
    emitter: Emitter, item: Store, tensor: Tensor, shape: tuple[int, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Per axis the first index to store and the first beyond."""
    starts, limits = [], []
    for axis, (offset, extent) in enumerate(zip(item.offsets, shape, strict=True)):
        start, limit = "0", str(extent)
        if is_checked(item.bounds, axis):
            at = offset_text(emitter, offset)
            if not is_nonnegative(emitter.plan, offset):
                start = emitter.names.fresh("first")
                emitter.out.line(f"const int {start} = tw::start_inside({at}, {extent});")
            limit = emitter.names.fresh("past")
            view = tensor.extents[axis]
            emitter.out.line(f"const int {limit} = tw::stop_inside({at}, {view}, {extent});")
        starts.append(start)
        limits.append(limit)
    return tuple(starts), tuple(limits)


def _store_rows(emitter: Emitter, item: Store, tensor: Tensor) -> None:
    """A store to rows that index tiles choose: every element checks its place."""
    with emitter.out.block(""):
        rows = {
            axis: settle(emitter, offset)
            for axis, offset in enumerate(item.offsets)
            if isinstance(offset.type, TileType)
        }

        def build(nest: Nest) -> None:
            at = []
            for axis, index in enumerate(nest.index):
                if axis in rows:
                    at.append(emitter.array_element(rows[axis], (index,)).text)
                else:
                    at.append(f"{offset_text(emitter, item.offsets[axis])} + {index.text}")
            held = emitter.tables.to_memory(tensor.dtype, nest.value(item.value, nest.index).text)
            tests = " && ".join(inside_tests(tensor, [f"({c})" for c in at])) or "true"
            nest.add(f"if ({tests}) {element_text(emitter, tensor, at)} = {held};")

        walk_elements(emitter, shape_of(item.value), build, vector=False)


def _store_codes(emitter: Emitter, item: Store, tensor: Tensor) -> None:
    """A store of packed codes: the tile's codes first, then whole rows of bytes."""
    shape = shape_of(item.value)
    emitter.headers.add("codes.h")
    with emitter.out.block(""):
        codes = code_array(emitter, item.value)
        starts, limits = _limits(emitter, item, tensor, shape)
        rank = len(shape)
        for axis in range(rank - 1):
            emitter.out.line(
                f"for (int i{axis} = {starts[axis]}; i{axis} < {limits[axis]}; ++i{axis})"
            )
        at = [offset_text(emitter, o) for o in item.offsets]
        row = row_pointer(tensor, [f"(int64_t){at[a]} + i{a}" for a in range(rank - 1)])
        first, past = starts[-1], limits[-1]
        start = " + ".join(f"i{a} * {s}" for a, s in enumerate(codes.strides[:-1])) or "0"
        emitter.out.line(
            f"tw::pack_codes<{tensor.dtype.bits}>({row}, {codes.name} + {start} + {first}, "
            f"(int64_t){at[-1]} + {first}, {past} - {first}, {tensor.extents[-1]});"
        )


def code_array(emitter: Emitter, value: Value) -> Array:
    """A new array with the codes of a tile of a type of at most 8 bits."""
    shape = shape_of(value)
    kind = value.type
    assert isinstance(kind, TileType)
    name = emitter.names.fresh("codes")
    size = 1
    for extent in shape:
        size *= extent
    emitter.allocate("uint8_t", name, size)
    array = Array(name, "uint8_t", kind.dtype, shape, dense_strides(shape), size)

    def build(nest: Nest) -> None:
        held = nest.value(value, nest.index).text
        code = f"(uint8_t){held}"
        if not kind.dtype.is_integer:
            code = emitter.tables.to_memory(kind.dtype, held)
        place = " + ".join(
            f"{i.text} * {s}" for i, s in zip(nest.index, array.strides, strict=True)
        )
        nest.add(f"{name}[{place or '0'}] = {code};")

    walk_elements(emitter, shape, build, reorder=False)
    return array


@statement(Scatter)
def emit_scatter(emitter: Emitter, item: Scatter) -> None:
    """A nest of conditional writes."""
    tensor = emitter.tensors[item.tensor]

    def build(nest: Nest) -> None:
        at = [nest.value(i, nest.index).text for i in item.index]
        held = nest.value(item.value, nest.index).text
        tests = inside_tests(tensor, at)
        if item.mask is not None:
            tests = [nest.value(item.mask, nest.index).text, *tests]
        nest.add(f"if ({' && '.join(tests) or 'true'}) {put_text(emitter, tensor, at, held)}")

    walk_elements(emitter, shape_of(item.value), build, reorder=False, vector=False)


def put_text(emitter: Emitter, tensor: Tensor, at: Sequence[str], held: str) -> str:
    """The statement that writes one element, unchecked."""
    if tensor.dtype.bits < 8:
        emitter.headers.add("codes.h")
        code = held if tensor.dtype.is_integer else emitter.tables.to_memory(tensor.dtype, held)
        row = row_pointer(tensor, at[:-1])
        return f"tw::put_code<{tensor.dtype.bits}>({row}, {at[-1]}, (uint8_t){code});"
    element = element_text(emitter, tensor, at)
    return f"{element} = {emitter.tables.to_memory(tensor.dtype, held)};"


@statement(Element)
def emit_element(emitter: Emitter, item: Element) -> None:
    """A checked scalar read."""
    tensor = emitter.tensors[item.tensor]
    at = [offset_text(emitter, i) for i in item.index]
    held = emitter.tables.from_memory(tensor.dtype, element_text(emitter, tensor, at))
    tests = " && ".join(inside_tests(tensor, at)) or "true"
    emitter.define_scalar(item.results[0], f"{tests} ? {held} : {zero_point(tensor.dtype)}")


@statement(ElementStore)
def emit_element_store(emitter: Emitter, item: ElementStore) -> None:
    """A checked scalar write."""
    tensor = emitter.tensors[item.tensor]
    at = [offset_text(emitter, i) for i in item.index]
    tests = " && ".join(inside_tests(tensor, at)) or "true"
    put = put_text(emitter, tensor, at, emitter.scalar(item.value))
    emitter.out.line(f"if ({tests}) {put}")


@statement(Rows)
def emit_rows(emitter: Emitter, item: Rows) -> None:
    """A new pointer and a new extent of axis 0."""
    tensor, name = emitter.tensors[item.tensor], emitter.names.of(item.results[0])
    low, high = offset_text(emitter, item.low), offset_text(emitter, item.high)
    out, view = emitter.out, tensor.extents[0]
    first, count = emitter.names.fresh(f"{name}_low"), emitter.names.fresh(f"{name}_extent0")
    out.line(f"const int64_t {first} = tw::least<int64_t>(tw::most<int64_t>({low}, 0), {view});")
    past = f"tw::least<int64_t>(tw::most<int64_t>({high}, {first}), {view})"
    out.line(f"const int64_t {count} = {past} - {first};")
    pointer = f"{tensor.pointer} + {first} * {tensor.strides[0]}"
    out.line(f"{stored_type(tensor.dtype)}* const {name} = {pointer};")
    emitter.tensors[item.results[0]] = Tensor(
        name, tensor.dtype, (count, *tensor.extents[1:]), tensor.strides
    )


@statement(Bytes)
def emit_bytes(emitter: Emitter, item: Bytes) -> None:
    """The same memory, whose last axis counts bytes."""
    tensor = emitter.tensors[item.tensor]
    *leading, last = tensor.extents
    count = f"(({last} * {tensor.dtype.bits} + 7) / 8)"
    emitter.tensors[item.results[0]] = Tensor(tensor.pointer, u8, (*leading, count), tensor.strides)


@statement(Subview)
def emit_subview(emitter: Emitter, item: Subview) -> None:
    """A new pointer; one axis less."""
    tensor, name = emitter.tensors[item.tensor], emitter.names.of(item.results[0])
    at, axis = offset_text(emitter, item.index), item.axis
    pointer = f"{tensor.pointer} + (int64_t){at} * {tensor.strides[axis]}"
    emitter.out.line(f"{stored_type(tensor.dtype)}* const {name} = {pointer};")
    emitter.tensors[item.results[0]] = Tensor(
        name,
        tensor.dtype,
        tensor.extents[:axis] + tensor.extents[axis + 1 :],
        tensor.strides[:axis] + tensor.strides[axis + 1 :],
    )
