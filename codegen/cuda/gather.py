"""Single elements of global memory: gathers and scatters by index tiles, and scalar elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tilewright.codegen.cuda.elements import write_code
from tilewright.codegen.cuda.emitter import Emitter, emits, layout_of
from tilewright.codegen.cuda.places import all_of, is_inside_tile, is_representative, sum_of
from tilewright.codegen.cuda.region import index_type, inside, offset_terms
from tilewright.ir.diagnostics import ShapeError
from tilewright.ir.instructions.memory import Element, ElementStore, Gather, Scatter
from tilewright.ir.values import Value, element_type, tile_type


def element_address(
    e: Emitter, tensor: Value, index: Sequence[Value], at: Callable[[Value], str]
) -> tuple[str, str]:
    """The condition that an element lies in the view, and its address; `at` gives indices."""
    names = e.tensors[tensor]
    kind = index_type(tuple(index))
    places = tuple(at(i) for i in index)
    held = all_of(inside(p, extent, kind) for p, extent in zip(places, names.extents, strict=True))
    return held, sum_of((names.pointer, *offset_terms(names, places, kind)))


def element_value(
    e: Emitter, tensor: Value, index: Sequence[Value], at: Callable[[Value], str]
) -> tuple[str, str]:
    """The condition that an element lies in the view, and its stored value."""
    held, address = element_address(e, tensor, index, at)
    dtype = element_type(tensor)
    if dtype.bits >= 8:
        return held, f"*({address})"
    names = e.tensors[tensor]
    kind = index_type(tuple(index))
    places = tuple(at(i) for i in index)
    row = sum_of((names.pointer, *offset_terms(names, places[:-1], kind)))
    code = e.call(f"tw_get_bits<{dtype.bits}>", row, places[-1])
    return held, write_code(e, dtype, code)


@emits(Gather)
def emit_gather(item: Gather, e: Emitter) -> None:
    e.comment(item)
    result = item.results[0]
    dtype = element_type(result)
    fill = e.literal(dtype, 0)
    name = e.declare(result)
    with e.loop(e.registers(result)) as r:
        held, value = element_value(e, item.tensor, item.index, lambda v: e.element(v, r))
        other = fill if item.other is None else e.element(item.other, r)
        mask = "" if item.mask is None else e.element(item.mask, r)
        condition = all_of((is_inside_tile(e, tile_type(result), r), mask, held))
        e.line(f"{name}[{r}] = {f'{condition} ? {value} : {other}' if condition else value};")


@emits(Scatter)
def emit_scatter(item: Scatter, e: Emitter) -> None:
    e.comment(item)
    _check_whole_bytes(item.tensor)
    once = is_representative(e, layout_of(item.value))
    with e.block(f"if ({once})" if once else ""), e.loop(e.registers(item.value)) as r:
        held, address = element_address(e, item.tensor, item.index, lambda v: e.element(v, r))
        mask = "" if item.mask is None else e.element(item.mask, r)
        condition = all_of((is_inside_tile(e, tile_type(item.value), r), mask, held))
        store = f"*({address}) = {e.element(item.value, r)};"
        e.line(f"if ({condition}) {store}" if condition else store)


@emits(Element)
def emit_element(item: Element, e: Emitter) -> None:
    """All lanes read the same address: one transaction."""
    e.comment(item)
    held, value = element_value(e, item.tensor, item.index, e.name)
    zero = e.literal(element_type(item.tensor), 0)
    e.define(item.results[0], f"{held} ? {value} : {zero}" if held else value)


@emits(ElementStore)
def emit_element_store(item: ElementStore, e: Emitter) -> None:
    e.comment(item)
    _check_whole_bytes(item.tensor)
    held, address = element_address(e, item.tensor, item.index, e.name)
    e.line(f"if ({all_of((once_per_block(e), held))}) *({address}) = {e.name(item.value)};")


def once_per_block(e: Emitter) -> str:
    """The condition that holds in one lane of the block, or of the role that runs this."""
    return f"threadIdx.x == {e.first_warp * 32}"


def _check_whole_bytes(tensor: Value) -> None:
    dtype = element_type(tensor)
    if dtype.bits < 8:
        raise ShapeError(
            f"a single element of {dtype.bits} bits in {tensor.name or 'a tensor'} splits a byte",
            "store a tile whose rows fill whole bytes",
        )
