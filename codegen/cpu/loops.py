"""Running a loop nest: without checks where all loads lie inside, through edge arrays elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tilewright.codegen.cpu.dtypes import array_type
from tilewright.codegen.cpu.emitter import EXPRESSIONS, Emitter, tile_of
from tilewright.codegen.cpu.nest import Nest, Term
from tilewright.codegen.cpu.places import Array
from tilewright.codegen.cpu.rows import fill_rows
from tilewright.codegen.cpu.tensors import (
    is_checked,
    is_nonnegative,
    offset_text,
    read_directly,
)
from tilewright.ir.instructions.memory import Load
from tilewright.ir.values import Value

Build = Callable[[Nest], None]


@dataclass(frozen=True)
class Visit:
    """One load that a nest reads, and the index at which it does."""

    value: Value
    load: Load
    index: tuple[Term, ...]


def walk_elements(
    emitter: Emitter,
    shape: tuple[int, ...],
    build: Build,
    *,
    reorder: bool = True,
    dense: tuple[int, ...] = (),
    **options: Any,
) -> None:
    """Emit the nest that `build` describes; `dense` names axes along which a store is dense."""
    visits = _find_loads(emitter, shape, build, options)
    limits = options.get("limits") or tuple(str(extent) for extent in shape)
    tests = [t for visit in visits for t in _tests(emitter, visit, shape, limits)]
    order = _choose_order(emitter, shape, visits, dense) if reorder else ()
    tests = list(dict.fromkeys(tests))

    def write(rule: Any) -> None:
        nest = emitter.nest(shape, rule, order=order, **options)
        build(nest)
        nest.write()

    if not tests:
        with emitter.out.block(""):
            write(read_directly)
        return
    with emitter.out.block(f"if ({' && '.join(tests)})"):
        write(read_directly)
    with emitter.out.block("else"):
        arrays: dict[Value, Array] = {}
        for visit in visits:
            if visit.value not in arrays:
                kind = tile_of(visit.value)
                array = emitter.local("edge", array_type(kind.dtype), kind)
                fill_rows(emitter, visit.load, array)
                arrays[visit.value] = array
        write(lambda nest, value, index: emitter.array_element(arrays[value], index))


def _find_loads(
    emitter: Emitter, shape: tuple[int, ...], build: Build, options: dict[str, Any]
) -> list[Visit]:
    found: list[Visit] = []

    def note(nest: Nest, value: Value, index: tuple[Term, ...]) -> Term:
        load = emitter.plan.definition[value]
        assert isinstance(load, Load)
        found.append(Visit(value, load, index))
        return Term("0", max((i.depth for i in index), default=0))

    taken = set(emitter.names.taken)
    build(emitter.nest(shape, note, **options))
    emitter.names.taken = taken
    return found


def _tests(
    emitter: Emitter, visit: Visit, shape: tuple[int, ...], limits: tuple[str, ...]
) -> list[str]:
    """Conditions under which all elements that the nest reads lie inside the view."""
    tensor, found = emitter.tensors[visit.load.tensor], []
    for axis, offset in enumerate(visit.load.offsets):
        if not is_checked(visit.load.bounds, axis):
            continue
        at, extent = offset_text(emitter, offset), visit.load.shape[axis]
        name = visit.index[axis].text
        length = str(extent)
        if name.startswith("i") and name[1:].isdigit() and shape[int(name[1:])] == extent:
            length = limits[int(name[1:])]
        if not is_nonnegative(emitter.plan, offset):
            found.append(f"{at} >= 0")
        found.append(f"(int64_t){at} + {length} <= {tensor.extents[axis]}")
    return found


def _choose_order(
    emitter: Emitter, shape: tuple[int, ...], visits: list[Visit], dense: tuple[int, ...]
) -> tuple[int, ...]:
    """Row-major, but with the axis innermost along which most of memory is dense."""
    votes = dict.fromkeys(range(len(shape)), 0)
    for axis in dense:
        votes[axis] += 1
    for visit in visits:
        strides = emitter.tensors[visit.load.tensor].strides
        for index, stride in zip(visit.index, strides, strict=True):
            if stride == "1" and index.text[0] == "i" and index.text[1:].isdigit():
                votes[int(index.text[1:])] += 1
    moving = [axis for axis in votes if shape[axis] > 1]
    if not moving:
        return ()
    best = max(moving, key=lambda axis: (votes[axis], axis))
    return (*(axis for axis in range(len(shape)) if axis != best), best)


def fill_array(emitter: Emitter, value: Value, array: Array) -> None:
    """Copy all elements of a tile into an array."""

    def build(nest: Nest) -> None:
        nest.add(emitter.put(array, nest.index, nest.value(value, nest.index).text))

    walk_elements(emitter, array.shape, build)


def compute_array(emitter: Emitter, value: Value) -> None:
    """Compute all elements of a tile into its array, where it is defined."""
    item, array = emitter.plan.definition[value], emitter.array(value)

    def build(nest: Nest) -> None:
        found = EXPRESSIONS[type(item)](nest, item, nest.index).text
        if array.ctype.startswith("tw::"):
            found = nest.unrounded(found)
        nest.add(emitter.put(array, nest.index, found))

    walk_elements(emitter, array.shape, build)
