"""Conversion: every plan moves exactly what the direct permutation moves, and is the cheap kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.ir.layout import (
    Access,
    Layout,
    LayoutError,
    blocked,
    choose_swizzle,
    convert,
    count_conflicts,
    local,
    matrix_access,
    register_access,
    row_major,
    spatial,
)
from tilewright.tests.ir.layout.strategies import laws

AXES = ("warp", "lane", "reg")
POISON = -777


def spread(layout, tile, rng):
    """The registers that hold a tile; what holds nothing is poisoned."""
    held = layout.elements_at(*AXES)
    values = tile.reshape(-1)[held]
    return np.where(held >= 0, values, POISON + rng.integers(0, 7, held.shape))


def check_plan(source, target, kind=None):
    rng = np.random.default_rng(source.elements)
    tile = rng.integers(0, 10**6, source.shape)
    plan = convert(source, target)
    result = plan.apply(spread(source, tile, rng))
    held = target.elements_at(*AXES)
    assert (result[held >= 0] == tile.reshape(-1)[held[held >= 0]]).all()
    assert kind is None or plan.kind == kind
    return plan


@st.composite
def conversions(draw):
    """Two layouts that deal the same extents out to axes in different ways."""
    extents = draw(st.lists(st.sampled_from([2, 2, 2, 3, 4]), min_size=1, max_size=6))
    cut = draw(st.integers(0, len(extents)))

    def deal():
        strides = {"warp": 1, "lane": 1, "reg": 1}
        digits = []
        for extent in draw(st.permutations(list(enumerate(extents)))):
            axis = draw(st.sampled_from(["warp", "lane", "lane", "reg", "reg"]))
            digits.append((extent[0], (extent[1], strides[axis], axis)))
            strides[axis] *= extent[1]
        pieces = [piece for _, piece in sorted(digits)]
        copies = [(draw(st.sampled_from([1, 1, 2])), strides["lane"], "lane")]
        offset = [("reg", draw(st.sampled_from([0, 0, 1])))]
        return Layout([pieces[:cut], pieces[cut:]], copies=copies, offset=offset, bits=bits)

    bits = draw(st.sampled_from([4, 6, 8, 16, 32, 64]))
    return deal(), deal()


@laws
@given(conversions())
def test_any_plan_equals_the_direct_permutation(pair):
    check_plan(*pair)


@laws
@given(
    st.sampled_from([(3,), (5, 7), (8, 8), (12, 20), (16, 16), (4, 6, 8), (1, 1)]),
    st.sampled_from([1, 2, 4]),
    st.randoms(),
)
def test_coalesced_blocks_of_any_shape(shape, warps, random):
    orders = [random.sample(range(len(shape)), len(shape)) for _ in range(2)]
    layouts = [blocked(shape, warps=warps, order=order, bits=16) for order in orders]
    check_plan(*layouts)


def test_what_is_there_already_costs_nothing():
    accumulator = local(2, 1).product(spatial(8, 4), local(1, 2))
    assert check_plan(accumulator, accumulator, "nothing").cost == 0
    # Every lane has the whole row, the target wants one copy.
    assert check_plan(local(4).replicate(32, "lane"), local(4), "nothing").cost == 0


def test_lanes_take_their_own_copy_first():
    everywhere = local(4).replicate(32, "lane")
    every_other = Layout(local(4).dims, copies=[(16, 2, "lane")])
    check_plan(everywhere, every_other, "nothing")
    backwards = local(4, order=(0,)).group((2, 2)).permute(1, 0).replicate(32, "lane")
    check_plan(everywhere.group((2, 2)), backwards, "registers")


def test_registers_are_renamed_within_a_lane():
    plan = check_plan(local(2, 3), local(2, 3, order=(1, 0)), "registers")
    assert plan.registers == (0, 3, 1, 4, 2, 5)
    whole = local(4, 4).product(spatial(8, 4))
    check_plan(whole, local(4, 4, order=(1, 0)).product(spatial(8, 4)), "registers")


def test_a_broadcast_within_a_warp_is_one_shuffle_per_register():
    column = Layout([[(32, 1, "lane")]])
    everywhere = Layout([[(8, 1, "lane"), (4, 1, "reg")]], copies=[(4, 8, "lane")])
    plan = check_plan(column, everywhere, "lanes")
    assert len(plan.shuffles) == 4


def test_a_transpose_of_lanes_and_registers_takes_one_step_per_register():
    rows = spatial(4, 1).product(local(1, 4))
    columns = spatial(1, 4).product(local(4, 1))
    plan = check_plan(rows, columns, "lanes")
    assert len(plan.shuffles) == 4
    assert sum(step.is_local for step in plan.shuffles) == 1


def test_an_accumulator_becomes_an_8_bit_operand_within_quads():
    accumulator = local(2, 1).product(spatial(8, 4), local(1, 2))
    operand = local(2, 2, order=(1, 0)).product(spatial(8, 4), local(1, 4))
    plan = check_plan(local(1, 4).product(accumulator).with_bits(8), operand, "lanes")
    assert plan.unit == 2
    assert len(plan.shuffles) == 8
    assert all(source // 4 == lane // 4 for s in plan.shuffles for lane, source in enumerate(s[0]))


def test_eight_columns_per_lane_come_together_within_quads():
    accumulator = local(2, 1).product(spatial(8, 4), local(1, 2)).with_bits(16)
    rows = local(2, 1).product(spatial(8, 4), local(1, 8)).with_bits(16)
    plan = check_plan(local(1, 4).with_bits(16).product(accumulator), rows, "lanes")
    assert plan.unit == 2
    assert len(plan.shuffles) == 8
    assert sum(step.is_local for step in plan.shuffles) == 2


def test_pairs_of_halves_travel_together():
    source = spatial(8, 4).product(local(1, 2, bits=16))
    target = spatial(8, 4, order=(1, 0)).product(local(1, 2, bits=16))
    plan = check_plan(source, target, "lanes")
    assert plan.unit == 2
    assert len(plan.shuffles) == 1


def test_pairs_that_straddle_words_travel_alone():
    source = Layout([[(4, 1, "lane")], [(2, 1, "reg")]], offset=[("reg", 1)], bits=16)
    target = Layout([[(2, 1, "lane"), (2, 2, "lane")], [(2, 1, "reg")]], bits=16)
    assert check_plan(source, target, "lanes").unit == 1


def test_across_warps_only_shared_memory_helps():
    held = local(4, 16, bits=16)
    source = spatial(4, 1, axis="warp").product(spatial(8, 4), held)
    target = spatial(1, 4, axis="warp").product(spatial(32, 1), held)
    plan = check_plan(source, target, "shared")
    assert plan.exchange.conflicts == 0
    assert plan.exchange.load_width == 8


def test_a_swizzle_makes_the_trip_free_of_conflicts():
    accumulator = local(2, 1).product(spatial(8, 4), local(1, 2))
    source = spatial(4, 1, axis="warp").product(local(1, 8), accumulator).with_bits(16)
    target = blocked((64, 64), vector=8, warps=4, bits=16)
    plan = check_plan(source, target, "shared")
    assert plan.exchange.conflicts == 0
    assert plan.exchange.load_width == 8
    memory = plan.exchange.memory
    assert memory.bank_conflicts(source) == memory.bank_conflicts(target) == 0


def test_convert_refuses_what_is_no_conversion():
    with pytest.raises(LayoutError, match=r"\(4,\) is not \(5,\)"):
        convert(local(4), local(5))
    with pytest.raises(LayoutError, match="between registers"):
        convert(local(4), row_major((4,)))
    with pytest.raises(LayoutError, match="several elements share a place"):
        convert(local(4), Layout([[(4, 0, "")]]))


@pytest.mark.parametrize("bits", [4, 8, 16, 32])
@pytest.mark.parametrize("row_bytes", [32, 64, 128, 256, 512])
def test_swizzle_for_ldmatrix_and_wide_stores(bits, row_bytes):
    shape = (64, row_bytes * 8 // bits)
    vector = 128 // bits
    store = blocked(shape, vector=vector, warps=4, bits=bits)
    accesses = [register_access(store, bits, 16), matrix_access(shape, columns=vector)]
    memory = choose_swizzle(shape, bits, accesses)
    assert count_conflicts(memory, accesses) == 0
    assert memory.swizzle is not None
    assert memory.is_bijective()
    if row_bytes <= 128:
        # The forms that TMA and wgmma know.
        assert (memory.swizzle.base, memory.swizzle.shift) == (4, 3)


@pytest.mark.parametrize("shape", [(24, 24), (48, 40), (16, 72), (40, 104), (96, 96)])
def test_rows_of_odd_sizes_get_a_swizzle_or_padding(shape):
    accesses = [matrix_access(shape, columns=8)]
    memory = choose_swizzle(shape, 16, accesses)
    assert count_conflicts(memory, accesses) == 0
    assert memory.is_injective()
    assert (memory.address(*np.indices(shape)) * 2 % 16 == (np.arange(shape[1]) * 2 % 16)).all()


def test_a_transposed_read_of_words_gets_a_finer_swizzle():
    lanes = blocked((32, 32))
    accesses = [register_access(lanes, 32, 4), register_access(lanes.permute(1, 0), 32, 4)]
    memory = choose_swizzle((32, 32), 32, accesses)
    assert count_conflicts(memory, accesses) == 0
    assert memory.swizzle is not None
    assert memory.swizzle.base == 2


def test_no_swizzle_where_nothing_conflicts():
    lanes = blocked((32, 32), vector=4)
    assert choose_swizzle((32, 32), 32, [register_access(lanes, 32, 16)]) == row_major((32, 32))


@laws
@given(
    st.lists(st.integers(0, 255), min_size=8, max_size=32),
    st.sampled_from([4, 8, 16]),
    st.sampled_from([(64, 64), (64, 128), (64, 40)]),
)
def test_a_chosen_buffer_keeps_every_access_together(rows, width, shape):
    vector = width // 2
    numbers = np.array(rows)
    row, column = numbers % 64, numbers // 64 * vector
    access = Access((row[None], column[None]), np.ones((1, len(rows)), dtype=bool), width)
    memory = choose_swizzle(shape, 16, [access])
    first = memory.address(row, column)
    assert (first % vector == 0).all()
    for step in range(vector):
        assert (memory.address(row, column + step) == first + step).all()
    assert count_conflicts(memory, [access]) <= count_conflicts(row_major(shape, bits=16), [access])
