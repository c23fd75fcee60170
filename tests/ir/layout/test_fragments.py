"""Hardware fragments are layouts: each against the index formulas of the PTX manual."""

import numpy as np
import pytest

from tilewright.ir.layout import (
    blocked,
    can_view,
    convert,
    local,
    matrix_access,
    row_major,
    spatial,
)

ACCUMULATOR = local(2, 1).product(spatial(8, 4), local(1, 2))
A16 = local(2, 2, order=(1, 0)).product(spatial(8, 4), local(1, 2))
B16 = local(2, 1).product(spatial(4, 8, order=(1, 0)), local(2, 1))


def check_formula(layout, formula):
    """`formula(group, member, register)` is the coordinate that the manual states."""
    table = layout.table()[0]
    for lane in range(32):
        for register in range(table.shape[1]):
            assert tuple(table[lane, register]) == formula(lane >> 2, lane & 3, register)
    assert layout.is_bijective()


def test_mma_m16n8k16():
    check_formula(ACCUMULATOR, lambda g, t, i: (g + 8 * (i >= 2), 2 * t + (i & 1)))
    check_formula(
        A16, lambda g, t, i: (g + 8 * (i in (2, 3, 6, 7)), 2 * t + (i & 1) + 8 * (i >= 4))
    )
    check_formula(B16, lambda g, t, i: (2 * t + (i & 1) + 8 * (i >= 2), g))


def test_mma_m16n8k8_tf32():
    a = local(2, 2, order=(1, 0)).product(spatial(8, 4))
    b = local(2, 1).product(spatial(4, 8, order=(1, 0)))
    check_formula(a, lambda g, t, i: (g + 8 * (i in (1, 3)), t + 4 * (i >= 2)))
    check_formula(b, lambda g, t, i: (t + 4 * i, g))


def test_mma_m16n8k32_of_bytes():
    a = local(2, 2, order=(1, 0)).product(spatial(8, 4), local(1, 4))
    b = local(2, 1).product(spatial(4, 8, order=(1, 0)), local(4, 1))
    check_formula(
        a, lambda g, t, i: (g + 8 * (4 <= i < 8 or i >= 12), 4 * t + (i & 3) + 16 * (i >= 8))
    )
    check_formula(b, lambda g, t, i: (4 * t + (i & 3) + 16 * (i >= 4), g))


def test_mma_m8n8k4_of_doubles():
    check_formula(spatial(8, 4), lambda g, t, i: (g, t))
    check_formula(spatial(8, 4).product(local(1, 2)), lambda g, t, i: (g, 2 * t + i))


@pytest.mark.parametrize("columns", [8, 24, 64, 256])
def test_wgmma_accumulator(columns):
    layout = spatial(4, 1, axis="warp").product(local(1, columns // 8), ACCUMULATOR)
    table = layout.table()
    warp, lane, d = np.indices(table.shape[:3])
    assert (table[..., 0] == 16 * warp + lane // 4 + 8 * (d % 4 // 2)).all()
    assert (table[..., 1] == 8 * (d // 4) + 2 * (lane % 4) + d % 2).all()


def test_ldmatrix_delivers_fragments():
    matrix = spatial(8, 4).product(local(1, 2))
    check_formula(matrix, lambda g, t, i: (g, 2 * t + i))
    # Four matrices in the order (rows 0-7, k 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15).
    assert local(2, 2, order=(1, 0)).product(matrix) == A16
    # Transposed, each lane gets two rows of one column.
    transposed = matrix.permute(1, 0)
    check_formula(transposed, lambda g, t, i: (2 * t + i, g))
    assert local(2, 1).product(transposed) == B16
    # The test of a compiler: does this layout consist of matrices, and in which order?
    warps = spatial(2, 1, axis="warp").product(local(4, 2), A16)
    assert warps.divide(matrix) == spatial(2, 1, axis="warp").product(
        local(4, 2), local(2, 2, order=(1, 0))
    )


def test_an_accumulator_in_pairs_along_n_is_an_a_operand():
    accumulator = local(1, 8).product(ACCUMULATOR)
    pairs = accumulator.group((16, 4, 16))
    first = pairs.slice((0, 0, 0), (16, 1, 16)).group((16, 16))
    assert first.same(A16.with_bits(16))
    # All four at once: the tile consists of A operands, in this order.
    assert accumulator.divide(A16) == local(1, 4)
    assert accumulator.same(local(1, 4).product(A16))
    assert convert(accumulator, local(1, 4).product(A16)).kind == "nothing"
    # And the same for a warpgroup: its rows are the register-A operand of wgmma m64.
    group = spatial(4, 1, axis="warp").product(accumulator)
    assert group.same(spatial(4, 1, axis="warp").product(local(1, 4), A16).with_bits(16))


def test_operands_shared_by_warps_are_replicated():
    """Warps (2, 4) over an m x n tile: A is the same for all 4 along n."""
    a = spatial(2, 1, 4, axis="warp").reduce(2).group((2, 1)).product(A16)
    assert a.shape == (32, 16)
    assert a.size("warp") == 8
    warps = [sorted(place["warp"] for place in a.places(row, 0)) for row in (0, 16)]
    assert warps == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_sub_byte_operands_are_views_of_wide_loads():
    """64 u4 codes per lane as 32 bytes: two 16-byte loads, then the A operands of four atoms."""
    wide = local(2).product(spatial(32), local(16))
    atoms = local(1, 8).product(A16)
    assert can_view(wide, 8, atoms, 4)
    assert wide.vector_width(row_major((1024,), bits=8)) == 16
    assert not can_view(wide, 8, atoms, 8)


@pytest.mark.parametrize(
    ("swizzle", "row_bytes"), [((1, 4, 3), 32), ((2, 4, 3), 64), ((3, 4, 3), 128)]
)
def test_canonical_swizzles_of_tma(swizzle, row_bytes):
    """Chunk c of 16 bytes in row r moves to chunk c ^ (r * row_bytes / 128 % chunks)."""
    memory = row_major((16, row_bytes // 2), bits=16).swizzled(*swizzle)
    chunks = row_bytes // 16
    for row in range(16):
        for chunk in range(chunks):
            moved = chunk ^ (row * row_bytes // 128 % chunks)
            address = memory.address(row, chunk * 8)
            assert address * 2 == row * row_bytes + moved * 16
    reads = matrix_access(memory.shape, columns=8)
    assert memory.is_bijective()
    assert reads.coordinates[0].shape == (2 * chunks, 8)


def test_coalesced_loads_feed_fragments_through_memory():
    load = blocked((64, 64), vector=8, warps=4, bits=16)
    store = row_major((64, 64), bits=16).swizzled(3, 4, 3)
    assert load.vector_width(store) == 8
    assert store.bank_conflicts(load) == 0


def test_addresses_of_registers_are_a_composition():
    """A store's index arithmetic, over lanes and registers alone, swizzle included."""
    memory = row_major((64, 64), bits=16).swizzled(3, 4, 3)
    accumulator = spatial(4, 1, axis="warp").product(local(1, 8), ACCUMULATOR)
    for registers in (accumulator, blocked((64, 64), vector=8, warps=4)):
        address = memory.compose(registers.inverse("warp", "lane", "reg"))
        table = registers.table()
        places = np.indices(table.shape[:3])
        assert (address.address(*places) == memory.address(*np.moveaxis(table, -1, 0))).all()
        assert memory.bank_conflicts(registers) == 0
