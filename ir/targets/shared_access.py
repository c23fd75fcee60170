"""How lanes read or write a register tile in shared memory: by matrices, or by the widest vectors.

A *matrix* access (`ldmatrix`, PTX ISA "Warp-level matrix load instruction") moves up to four 8 x 8
matrices of 16-bit elements: lane l gives the address of row l % 8 of matrix l / 8, and receives of
each matrix the 32 bits at row l / 4, column pair l % 4; *transposed*, at rows 2(l % 4) and the
next, column l / 4. It serves any element type whose registers lie in memory like that. A *vector*
access moves 1 to 16 neighbouring bytes per lane. The plan is derived from where the two layouts put
each element, so it holds for every layout; nothing here knows an atom.

The two layouts may be larger than the tile in different ways. What the registers hold outside of
the memory has no address: lanes whose element is such a ghost take no part in an access.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tilewright.ir.layout import Layout
from tilewright.ir.layout.banks import Access

Ints = npt.NDArray[np.int64]
Kind = Literal["matrix", "transposed", "vector"]
WIDTHS = (16, 8, 4, 2, 1)
_LANE = np.arange(32)


@dataclass(frozen=True)
class AccessGroup:
    """One instruction: its registers in order, and the coordinate that each lane addresses.

    `elements[warp, lane]` is the row-major number, in the memory, of the first element addressed;
    -1 where the lane takes no part.
    """

    registers: tuple[int, ...]
    elements: Ints

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """Which lanes take part."""
        return np.asarray(self.elements >= 0)


@dataclass(frozen=True)
class SharedPlan:
    """The accesses of all registers; `width` is bytes per lane (16 for the row of a matrix)."""

    kind: Kind
    width: int
    groups: tuple[AccessGroup, ...]

    def accesses(self, shape: tuple[int, ...]) -> list[Access]:
        """The same as requests, for counting bank conflicts; a matrix is a request of 8 lanes."""
        numbers = np.concatenate([group.elements for group in self.groups])
        if self.kind != "vector":
            numbers = numbers.reshape(-1, 8)
        numbers = np.unique(numbers, axis=0)
        places = np.unravel_index(np.maximum(numbers, 0), shape)
        coordinates = tuple(np.asarray(c, np.int64) for c in places)
        return [Access(coordinates, numbers >= 0, self.width)]


@functools.cache
def plan_shared_access(registers: Layout, memory: Layout, *, matrices: bool) -> SharedPlan:
    """How a tile in `registers` moves from or to `memory` (whole bytes).

    `matrices` says that `ldmatrix` may be used: the target has it and the tile is read.
    """
    numbers = _memory_numbers(registers, memory)
    addresses = np.where(numbers >= 0, _byte_addresses(memory)[numbers], -1)
    if matrices and (numbers >= 0).all():
        for kind in ("matrix", "transposed"):
            groups = _match_matrices(kind, addresses, numbers, memory.bits // 8)
            if groups is not None:
                return SharedPlan(kind, 16, groups)
    size = memory.bits // 8
    for width in WIDTHS:
        runs = _match_vectors(addresses, size, width) if width >= size else None
        if runs is not None:
            made = tuple(AccessGroup(run, numbers[:, :, run[0]]) for run in runs)
            return SharedPlan("vector", width, made)
    raise AssertionError("single elements always match")


def _memory_numbers(registers: Layout, memory: Layout) -> Ints:
    """The row-major numbers in `memory` of what (warp, lane, reg) hold; -1 for what is outside."""
    numbers = registers.elements_at("warp", "lane", "reg")
    if registers.shape == memory.shape:
        return numbers
    coordinates = np.unravel_index(np.maximum(numbers, 0), registers.shape)
    inside = numbers >= 0
    for places, extent in zip(coordinates, memory.shape, strict=True):
        inside = inside & (places < extent)
    safe = tuple(np.where(inside, places, 0) for places in coordinates)
    return np.where(inside, np.ravel_multi_index(safe, memory.shape), -1)


def _byte_addresses(memory: Layout) -> Ints:
    arrays = memory.place_arrays()
    line = arrays.get("addr", np.zeros(memory.shape, np.int64)).reshape(-1)
    return np.asarray(line * (memory.bits // 8))


def _match_matrices(
    kind: Literal["matrix", "transposed"], addresses: Ints, numbers: Ints, size: int
) -> tuple[AccessGroup, ...] | None:
    """Groups of up to four matrices, if every 32 bits of registers are one lane's share of one."""
    unit = 4 // size if size <= 4 else 0
    count = addresses.shape[2]
    if not unit or addresses.shape[1] != 32 or count % unit or (kind == "transposed" and size != 2):
        return None
    held = addresses.reshape(*addresses.shape[:2], -1, unit)
    rows = _row_lanes(kind)
    starts = held[:, rows[0]][..., 0] if kind == "matrix" else held[:, rows[0], :, rows[1]]
    if kind == "transposed":
        starts = np.moveaxis(starts, 0, 1)
    step = np.arange(unit) * size
    if kind == "matrix":
        expected = starts[:, _LANE // 4, :, None] + (_LANE % 4 * 4)[:, None, None] + step
    else:
        pair = _LANE % 4 * 2
        found = np.stack([starts[:, pair], starts[:, pair + 1]], axis=-1)
        expected = found + (_LANE // 4 * 2)[:, None, None]
    if (starts % 16).any() or (expected != held).any():
        return None
    firsts = numbers.reshape(*numbers.shape[:2], -1, unit)
    wanted = firsts[:, rows[0]][..., 0] if kind == "matrix" else firsts[:, rows[0], :, rows[1]]
    if kind == "transposed":
        wanted = np.moveaxis(wanted, 0, 1)
    return tuple(_matrix_groups(wanted, unit))


def _row_lanes(kind: str) -> tuple[Ints, Ints]:
    """For each of 8 rows: which lane's register, and which of its elements, starts the row."""
    rows = np.arange(8)
    return (rows * 4, rows * 0) if kind == "matrix" else (rows // 2, rows % 2)


def _matrix_groups(starts: Ints, unit: int) -> list[AccessGroup]:
    """`starts[warp, row, matrix]` in groups of four, then two, then one matrix."""
    groups = []
    first = 0
    while first < starts.shape[2]:
        left = starts.shape[2] - first
        take = 4 if left >= 4 else 2 if left >= 2 else 1
        matrix = first + np.minimum(_LANE // 8, take - 1)
        registers = tuple(range(first * unit, (first + take) * unit))
        groups.append(AccessGroup(registers, starts[:, _LANE % 8, matrix]))
        first += take
    return groups


def _match_vectors(addresses: Ints, size: int, width: int) -> list[tuple[int, ...]] | None:
    """Registers in runs of `width` aligned bytes that neighbour each other in every lane."""
    vector = width // size
    count = addresses.shape[2]
    if vector * size != width or count % vector:
        return None
    first = addresses[0, 0]
    ghosts_last = np.where(first >= 0, first, addresses.max() + 1 + np.arange(count))
    runs = np.argsort(ghosts_last, kind="stable").reshape(-1, vector)
    held = addresses[:, :, runs]
    real = held >= 0
    whole = real.all(axis=-1)
    aligned = (held[..., 0] % width == 0) & (np.diff(held, axis=-1) == size).all(axis=-1)
    if (whole != real.any(axis=-1)).any() or not aligned[whole].all():
        return None
    used = runs[np.any(whole, axis=(0, 1))]
    return sorted(tuple(int(r) for r in run) for run in used)
