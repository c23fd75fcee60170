"""The examples of other systems' layouts, written in ours, give what those systems state."""

import numpy as np
import pytest

from tilewright.ir.layout import (
    Layout,
    LayoutError,
    local,
    make,
    row_major,
    spatial,
    strided,
)


def grid(layout):
    """Cells `lane:reg`, row by row."""
    rows, columns = layout.shape
    places = [[layout.places(r, c)[0] for c in range(columns)] for r in range(rows)]
    return [" ".join(f"{p.get('lane', 0)}:{p.get('reg', 0)}" for p in row) for row in places]


@pytest.mark.parametrize(
    ("layout", "rows"),
    [
        (local(2, 3), ["0:0 0:1 0:2", "0:3 0:4 0:5"]),
        (local(2, 3, order=(1, 0)), ["0:0 0:2 0:4", "0:1 0:3 0:5"]),
        (spatial(2, 3), ["0:0 1:0 2:0", "3:0 4:0 5:0"]),
        (spatial(2, 3, order=(1, 0)), ["0:0 2:0 4:0", "1:0 3:0 5:0"]),
        (local(2, 1).product(spatial(2, 2)), ["0:0 1:0", "2:0 3:0", "0:1 1:1", "2:1 3:1"]),
        (spatial(2, 2).product(local(2, 1)), ["0:0 1:0", "0:1 1:1", "2:0 3:0", "2:1 3:1"]),
    ],
)
def test_tilus_spatial_and_local(layout, rows):
    assert grid(layout) == rows


def test_tilus_division_reduction_and_replication():
    fragment = local(2, 1).product(spatial(8, 4), local(1, 2))
    assert fragment.divide(local(1, 2)) == local(2, 1).product(spatial(8, 4))
    with pytest.raises(LayoutError):
        local(6).divide(local(4))
    reduced = spatial(2, 3).reduce(0)
    assert [[p.get("lane", 0) for p in reduced.places(0, c)] for c in range(3)] == [
        [0, 3],
        [1, 4],
        [2, 5],
    ]
    replicated = local(2).replicate(4, "lane")
    assert [p.get("reg", 0) for p in replicated.places(1)] == [1] * 4
    # A reshape of what one lane holds, which is refused there, is the same data here.
    assert local(2, 3).group((3, 2)) == local(3, 2)


def cute(shape, stride):
    """CuTe lists the fastest digit first: the reverse of ours, over one flat coordinate."""
    return Layout([[(e, s, "addr") for e, s in zip(shape[::-1], stride[::-1], strict=True)]])


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        (((6, 2), (8, 2)), ((4, 3), (3, 1)), ((2, 2, 3), (24, 2, 8))),
        (((20,), (2,)), ((5, 4), (4, 1)), ((5, 4), (8, 2))),
        (((10, 2), (16, 4)), ((5, 4), (1, 5)), ((5, 2, 2), (16, 80, 4))),
        (((4, 2, 3), (2, 1, 8)), ((4, 2, 3), (2, 1, 8)), ((2, 2, 2, 3), (4, 1, 2, 8))),
    ],
)
def test_cute_composition(outer, inner, expected):
    assert cute(*outer).compose(cute(*inner)) == cute(*expected)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (((4,), (1,)), ((6,), (4,))),
        (((6,), (4,)), ((4,), (1,))),
        (((4, 6), (1, 4)), ((1,), (0,))),
        (((4,), (2,)), ((2, 3), (1, 8))),
        (((2, 4), (1, 6)), ((3,), (2,))),
        (((2, 2), (1, 6)), ((3, 2), (2, 12))),
    ],
)
def test_cute_complement_in_24(layout, expected):
    assert cute(*layout).complement("addr", 24) == cute(*expected)


def test_cute_logical_divide_and_inverse():
    whole, tiler = cute((4, 2, 3), (2, 1, 8)), cute((4,), (2,))
    divided = whole.compose(tiler.concat(tiler.complement("addr", 24)))
    assert divided == strided(((2, 2), (3, 2)), ((1, 4), (8, 2)))
    assert cute((4, 8), (8, 1)).inverse() == cute((8, 4), (4, 1))


def test_cute_swizzle():
    """Swizzle<3,3,3> over 8 x 64 halves counts elements; stated in bytes it is (3, 4, 3)."""
    memory = row_major((8, 64), bits=16).swizzled(3, 4, 3)
    for offset in (0, 8, 64, 72, 65, 511):
        bits = offset >> 6 & 7
        assert memory.address(*divmod(offset, 64)) == offset ^ (bits << 3)


def test_triton_blocked():
    """sizePerThread [1, 4], threadsPerWarp [8, 4], warpsPerCTA [4, 1], order [1, 0], tile 64 x 32.

    A linear layout: each bit of (register, lane, warp) flips the bits of its basis vector.
    """
    layout = local(2, 2).product(spatial(4, 1, axis="warp"), spatial(8, 4), local(1, 4))
    bases = {
        "reg": [(0, 1), (0, 2), (0, 16), (32, 0)],
        "lane": [(0, 4), (0, 8), (1, 0), (2, 0), (4, 0)],
        "warp": [(8, 0), (16, 0)],
    }
    check_linear(layout, bases)


def check_linear(layout, bases):
    assert {axis: layout.size(axis) for axis in bases} == {a: 1 << len(v) for a, v in bases.items()}
    table = layout.table()
    places = dict(zip(("warp", "lane", "reg"), np.indices(table.shape[:3]), strict=True))
    for dim in range(2):
        expected = np.zeros(table.shape[:3], dtype=int)
        for axis, vectors in bases.items():
            for bit, vector in enumerate(vectors):
                expected ^= (places[axis] >> bit & 1) * vector[dim]
        assert (table[..., dim] == expected).all()


def test_triton_mma_and_dot_operand():
    """NvidiaMma version 2, warpsPerCTA [2, 2], tile 32 x 16."""
    fragment = local(2, 1).product(spatial(8, 4), local(1, 2))
    layout = spatial(2, 2, axis="warp").product(fragment)
    bases = {
        "reg": [(0, 1), (8, 0)],
        "lane": [(0, 2), (0, 4), (1, 0), (2, 0), (4, 0)],
        "warp": [(0, 8), (16, 0)],
    }
    check_linear(layout, bases)


def test_triton_slice_of_a_parent():
    """SliceLayout(dim=1, parent): lanes and warps along dim 1 hold copies, registers vanish."""
    parent = local(1, 2).product(spatial(2, 2, axis="warp"), spatial(8, 4), local(1, 4))
    rows = parent.reduce(1)
    assert rows.shape == (16, 1)
    assert rows.size("reg") == 1
    for row in range(16):
        owners = {(p["warp"], p["lane"]) for p in rows.places(row, 0)}
        found = {(p["warp"], p["lane"]) for c in range(64) for p in parent.places(row, c)}
        assert owners == found


@pytest.mark.parametrize(
    ("vector", "per_phase", "max_phase"), [(8, 1, 8), (8, 2, 4), (8, 4, 2), (4, 1, 8)]
)
def test_triton_swizzled_shared(vector, per_phase, max_phase):
    """Column c of row r is stored at ((c / vec) ^ (r / perPhase % maxPhase)) * vec + c % vec."""
    columns = max(64 // per_phase, vector * max_phase)
    base = (vector * 2).bit_length() - 1
    width = max_phase.bit_length() - 1
    row_bit = (columns * 2 * per_phase).bit_length() - 1
    memory = row_major((32, columns), bits=16).swizzled(width, base, row_bit - base)
    r, c = np.indices((32, columns))
    phase = r // per_phase % max_phase
    expected = r * columns + ((c // vector) ^ phase) * vector + c % vector
    assert (memory.address(r, c) == expected).all()


def test_axe_shards_replicas_and_offsets():
    """A 64 x 32 tile over a mesh of 2 x 2 devices: rows sharded, copies along the other axis."""
    tile = make(
        (64, 32),
        [[(2, 2, "device"), (32, 32, "addr")], [(32, 1, "addr")]],
        copies=[(2, 1, "device")],
        offset=[("addr", 4096)],
    )
    assert tile.axes == ("device", "addr")
    assert tile.places(33, 5) == (
        {"device": 2, "addr": 4096 + 37},
        {"device": 3, "addr": 4096 + 37},
    )
    # Tiling is a product of an outer layout over devices and an inner one in memory.
    outer = spatial(2, 1, axis="device").product(
        spatial(1, 1, axis="device").replicate(2, "device")
    )
    assert outer.product(row_major((32, 32))) == tile.replace(offset=())


def test_sizes_that_are_no_powers_of_two():
    tile = local(3, 1).product(spatial(4, 6), local(1, 5))
    assert tile.shape == (12, 30)
    assert (tile.size("lane"), tile.size("reg")) == (24, 15)
    assert tile.is_bijective()
    lanes, registers = np.arange(24)[:, None], np.arange(15)
    rows, columns = tile.coordinates(lane=lanes, reg=registers)
    assert (rows == lanes // 6 + registers // 5 * 4).all()
    assert (columns == lanes % 6 * 5 + registers % 5).all()
