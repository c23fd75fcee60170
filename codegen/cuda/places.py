"""C expressions for coordinates and for which register holds what.

A coordinate is a sum of digits of lane, warp and register number. Register numbers are compile-time
constants once loops are unrolled, so their digits cost nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from tilewright.codegen.cuda.emitter import Emitter, layout_of
from tilewright.ir.diagnostics import InternalError
from tilewright.ir.layout import DimensionTerm, Layout
from tilewright.ir.values import TileType, Value, tile_type

AXES = ("warp", "lane", "reg")


def coordinate(e: Emitter, layout: Layout, dim: int, register: str) -> str:
    """The coordinate along `dim` of the element in `register` of this lane."""
    sizes = {"lane": 32, "warp": e.warps, "reg": layout.size("reg")}
    sources = {"lane": "lane", "warp": "warp", "reg": register}
    return sum_of(
        digit(sources[t.axis], sizes[t.axis], t.divisor, t.modulus, t.coefficient)
        for t in layout.dimension_terms(dim)
    )


def digit(source: str, size: int, divisor: int, modulus: int, coefficient: int) -> str:
    """`source / divisor % modulus * coefficient`, without what does nothing; source < size."""
    if source == "0" or modulus == 1:
        return "0"
    text = source
    if divisor > 1:
        text = f"{text} / {divisor}"
    if divisor * modulus < size:
        text = f"{text} % {modulus}"
    if coefficient > 1:
        text = f"{text} * {coefficient}"
    return text


def sum_of(parts: Iterable[str]) -> str:
    """`a + b`, without zeros."""
    kept = [part for part in parts if part != "0"]
    return " + ".join(kept) if kept else "0"


def all_of(conditions: Iterable[str]) -> str:
    """`a && b`, without what is always true; "" where nothing is left."""
    return " && ".join(c for c in conditions if c)


def is_inside_tile(e: Emitter, kind: TileType, register: str) -> str:
    """The condition that a register holds an element of the tile and no ghost; "" if always."""
    assert kind.layout is not None
    return all_of(
        f"{coordinate(e, kind.layout, dim, register)} < {extent}"
        for dim, extent in enumerate(kind.shape)
        if kind.layout.shape[dim] > extent
    )


def is_representative(e: Emitter, layout: Layout) -> str:
    """The condition that picks one of the lanes that hold copies of an element; "" if always."""
    sizes = {"lane": 32, "warp": e.warps}
    terms: list[DimensionTerm] = [t for t in layout.copy_terms() if t.axis != "reg"]
    conditions = [f"{digit(t.axis, sizes[t.axis], t.divisor, t.modulus, 1)} == 0" for t in terms]
    for axis, size in sizes.items():
        if 1 < layout.size(axis) < size or (layout.size(axis) == 1 and size > 1):
            conditions.append(f"{axis} < {layout.size(axis)}")
    return all_of(conditions)


Coordinates = npt.NDArray[np.int64]
Project = Callable[[Coordinates], Coordinates]
"""From coordinates (…, rank) of a result to those of the operand that they read."""


def find_register_map(
    source: TileType, target: TileType, project: Project | None = None
) -> tuple[int, ...] | None:
    """For each register of `target` the register of `source`, in the same lane, that it reads.

    None where some lane lacks what it needs, or lanes differ. Ghosts read register 0.
    """
    assert source.layout is not None and target.layout is not None
    if project is None and source.layout is target.layout:
        return tuple(range(target.layout.size("reg")))
    held = _numbers(source)
    table = target.layout.table()
    real = ((table >= 0) & (table < np.array(target.shape, np.int64))).all(axis=-1)
    wanted = table if project is None else project(table)
    strides = _row_major_strides(source.shape)
    numbers = np.where(real, (wanted * strides).sum(-1), -1)
    return _match(held, numbers)


def _numbers(kind: TileType) -> Coordinates:
    """Row-major numbers in the tile of what (warp, lane, reg) hold, -1 for ghosts."""
    assert kind.layout is not None
    table = kind.layout.table()
    real = ((table >= 0) & (table < np.array(kind.shape, np.int64))).all(axis=-1)
    return np.where(real, (table * _row_major_strides(kind.shape)).sum(-1), -1)


def _row_major_strides(shape: Sequence[int]) -> Coordinates:
    strides = np.ones(len(shape), np.int64)
    for d in reversed(range(len(shape) - 1)):
        strides[d] = strides[d + 1] * shape[d + 1]
    return strides


def _match(held: Coordinates, wanted: Coordinates) -> tuple[int, ...] | None:
    if held.shape[:2] != wanted.shape[:2]:
        places = tuple(np.maximum(held.shape[:2], wanted.shape[:2]))
        held = np.broadcast_to(held, (*places, held.shape[2])) if _spreads(held, places) else held
        wanted = (
            np.broadcast_to(wanted, (*places, wanted.shape[2]))
            if _spreads(wanted, places)
            else wanted
        )
        if held.shape[:2] != wanted.shape[:2]:
            return None
    found = []
    for register in range(wanted.shape[2]):
        want = wanted[:, :, register]
        fits = ((held == want[:, :, None]) | (want < 0)[:, :, None]).all(axis=(0, 1))
        if not fits.any():
            return None
        found.append(int(np.argmax(fits)))
    return tuple(found)


def _spreads(table: Coordinates, places: tuple[int, ...]) -> bool:
    return all(have in (1, want) for have, want in zip(table.shape[:2], places, strict=True))


@functools.cache
def register_expression(mapping: tuple[int, ...], register: str) -> str | None:
    """`mapping[register]` as a sum of digits of the register number; None where it is none."""
    terms = _digits(np.array(mapping, np.int64), 1)
    if terms is None:
        return None
    size = len(mapping)
    start = [str(mapping[0])] if mapping[0] else []
    return sum_of([digit(register, size, d, m, c) for d, m, c in terms if c] + start)


def _digits(mapping: Coordinates, divisor: int) -> list[tuple[int, int, int]] | None:
    """(divisor, modulus, coefficient) per digit, fastest first."""
    line = mapping - mapping[0]
    if len(line) == 1:
        return []
    step = int(line[1])
    length = 1
    while length < len(line) and line[length] == length * step:
        length += 1
    while len(line) % length:
        length -= 1
    if length == 1 or step < 0:
        return None
    rows = line.reshape(-1, length)
    if (rows - rows[:, :1] != rows[0]).any():
        return None
    rest = _digits(rows[:, 0], divisor * length)
    return None if rest is None else [(divisor, length, step), *rest]


def emit_renaming(e: Emitter, source: Value, target: Value, project: Project | None = None) -> None:
    """target[r] = source[mapping[r]]: the result exists in every lane already."""
    mapping = find_register_map(tile_type(source), tile_type(target), project)
    if mapping is None:
        raise InternalError(
            f"{source!r} does not hold what {target!r} needs: a convert is missing before it"
        )
    if mapping == tuple(range(len(mapping))) and len(mapping) == layout_of(source).size("reg"):
        e.alias(target, e.name(source))
        return
    origin = e.name(source)
    name = e.declare(target)
    if register_expression(mapping, "r") is None:  # no digits: one assignment per register
        for register, place in enumerate(mapping):
            e.line(f"{name}[{register}] = {origin}[{place}];")
        return
    with e.loop(len(mapping)) as r:
        e.line(f"{name}[{r}] = {origin}[{register_expression(mapping, r)}];")
