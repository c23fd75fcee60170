"""Fragment layouts against the tables of the PTX manual, written out by hand, and by multiplying.

The tables below state, lane by lane and register by register, what the manual's figures show. The
product test uses only what a lane holds: that every pair of operand places of an atom that share a
k contributes to the accumulator place of some lane, exactly once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tilewright.ir.layout import LayoutError
from tilewright.ir.targets import CUDA_TARGETS, Atom, default_device, find_device
from tilewright.ir.targets.fragments import fragment_layouts, registers_per_lane

SM_80 = CUDA_TARGETS["sm_80"]
ATOMS = SM_80.atoms
Place = Callable[[int, int, int], tuple[int, int]]


def _half_x(g: int, t: int, i: int) -> tuple[int, int]:
    row = g if i < 2 or 4 <= i < 6 else g + 8
    return row, t * 2 + (i & 1) if i < 4 else t * 2 + (i & 1) + 8


def _half_y(g: int, t: int, i: int) -> tuple[int, int]:
    return (t * 2 + (i & 1) if i < 2 else t * 2 + (i & 1) + 8), g


def _tf32_x(g: int, t: int, i: int) -> tuple[int, int]:
    return (g if i in (0, 2) else g + 8), (t if i in (0, 1) else t + 4)


def _tf32_y(g: int, t: int, i: int) -> tuple[int, int]:
    return (t if i == 0 else t + 4), g


def _int8_x(g: int, t: int, i: int) -> tuple[int, int]:
    row = g if i < 4 or 8 <= i < 12 else g + 8
    return row, t * 4 + (i & 3) if i < 8 else t * 4 + (i & 3) + 16


def _int8_y(g: int, t: int, i: int) -> tuple[int, int]:
    return (t * 4 + (i & 3) if i < 4 else t * 4 + (i & 3) + 16), g


def _accumulator(g: int, t: int, i: int) -> tuple[int, int]:
    return (g if i < 2 else g + 8), t * 2 + (i & 1)


MANUAL: dict[str, tuple[tuple[Place, int], tuple[Place, int]]] = {
    "mma.m16n8k16": ((_half_x, 8), (_half_y, 4)),
    "mma.m16n8k8": ((_tf32_x, 4), (_tf32_y, 2)),
    "mma.m16n8k32": ((_int8_x, 16), (_int8_y, 8)),
}


def _family(atom: Atom) -> str:
    return ".".join(atom.name.split(".")[:2])


@pytest.mark.parametrize("atom", [a for a in ATOMS if _family(a) in MANUAL], ids=lambda a: a.name)
def test_fragments_are_those_of_the_manual(atom: Atom) -> None:
    (x, x_count), (y, y_count) = MANUAL[_family(atom)]
    for layout, place, count in (
        (atom.x, x, x_count),
        (atom.y, y, y_count),
        (atom.acc, _accumulator, 4),
    ):
        table = layout.table()
        assert table.shape == (1, 32, count, 2)
        for lane in range(32):
            for i in range(count):
                assert tuple(table[0, lane, i]) == place(lane // 4, lane % 4, i), (lane, i)


@pytest.mark.parametrize("atom", ATOMS, ids=lambda a: a.name)
def test_shapes_and_bits_agree(atom: Atom) -> None:
    m, n, k = atom.shape
    assert (atom.x.shape, atom.y.shape, atom.acc.shape) == ((m, k), (k, n), (m, n))
    operand = 32 if atom.operand.name == "tf32" else atom.operand.bits
    assert atom.x.bits == atom.y.bits == operand
    assert atom.acc.bits == atom.accumulator.bits
    assert atom.acc.is_bijective()


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (4, 1), (1, 3)])
@pytest.mark.parametrize("atom", ATOMS, ids=lambda a: a.name)
def test_every_warp_holds_what_its_accumulator_needs(atom: Atom, grid: tuple[int, int]) -> None:
    rows, columns = grid
    m, n, k = 2 * rows * atom.shape[0], 3 * columns * atom.shape[1], 2 * atom.shape[2]
    x, y, acc = fragment_layouts(atom, (m, n, k), grid)
    assert (x.shape, y.shape, acc.shape) == ((m, k), (k, n), (m, n))
    for warp in range(rows * columns):
        held = {tuple(c) for c in acc.table()[warp].reshape(-1, 2)}
        wanted_rows, wanted_columns = {i for i, _ in held}, {j for _, j in held}
        assert len(held) == m * n // (rows * columns)
        assert {tuple(c) for c in x.table()[warp].reshape(-1, 2)} == {
            (i, c) for i in wanted_rows for c in range(k)
        }
        assert {tuple(c) for c in y.table()[warp].reshape(-1, 2)} == {
            (c, j) for j in wanted_columns for c in range(k)
        }


@pytest.mark.parametrize("atom", ATOMS, ids=lambda a: a.name)
def test_registers_of_the_tile_are_whole_atoms_in_row_major_order(atom: Atom) -> None:
    am, an, ak = atom.shape
    x, y, acc = fragment_layouts(atom, (4 * am, 6 * an, 2 * ak), (2, 2))
    for layout, part, reps in ((x, atom.x, (2, 2)), (y, atom.y, (2, 3)), (acc, atom.acc, (2, 3))):
        unit = part.size("reg")
        table, inner = layout.table()[0], part.table()[0]
        for rep in np.ndindex(*reps):
            first = int(np.ravel_multi_index(rep, reps)) * unit
            corner = np.multiply(rep, part.shape)
            assert (table[:, first : first + unit] == inner + corner).all()


def test_a_product_that_atoms_do_not_tile_is_refused_with_the_numbers() -> None:
    atom = SM_80.find_atom("mma.m16n8k16.f16.f32")
    with pytest.raises(LayoutError, match="m = 48 is no multiple of 32"):
        fragment_layouts(atom, (48, 16, 16), (2, 1))
    with pytest.raises(LayoutError, match="k = 8 is no multiple of 16"):
        fragment_layouts(atom, (32, 16, 8), (2, 1))


def test_registers_count_bits() -> None:
    atom = SM_80.find_atom("mma.m16n8k16.f16.f32")
    x, y, acc = fragment_layouts(atom, (128, 128, 16), (2, 2))
    assert [registers_per_lane(part) for part in (x, y, acc)] == [16, 16, 128]


def test_every_target_has_a_device_and_devices_have_targets() -> None:
    for target in CUDA_TARGETS.values():
        assert default_device(target).target == target.name
    assert find_device("H200").shared_bytes_per_block == 232448
    with pytest.raises(Exception, match="unknown device 'H300'"):
        find_device("H300")
