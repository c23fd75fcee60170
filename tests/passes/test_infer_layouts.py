"""infer_layouts: every tile gets a layout, converts stand where demands clash, meaning stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.ir.instructions.atomic import Atomic
from tilewright.ir.instructions.memory import Load, Store
from tilewright.ir.instructions.reduce import Reduce, ReduceParts
from tilewright.ir.instructions.shape import Convert, Full
from tilewright.ir.interpreter import interpret
from tilewright.ir.kernel import Kernel
from tilewright.ir.layout import Layout, parse_layout
from tilewright.ir.memory import TensorView
from tilewright.ir.parser import parse_kernel
from tilewright.ir.targets.cuda import SM_80
from tilewright.ir.targets.devices import DEVICES
from tilewright.ir.types import f32
from tilewright.ir.values import TileType, tile_type
from tilewright.passes import choose_atoms, infer_layouts, simplify, split_reductions, vectorize
from tilewright.passes.layout_choices import Wish, coalesced, sector_ratio, without_copies
from tilewright.passes.layout_groups import find_groups
from tilewright.passes.runner import Context, Pass, run_passes

LAYOUTS = (simplify.PASS, choose_atoms.PASS, infer_layouts.PASS)


def lay_out(text: str, passes: Sequence[Pass] = LAYOUTS, warps: int = 4) -> Kernel:
    context = Context(SM_80, DEVICES["A100"], {"warps": warps})
    return run_passes(parse_kernel(text), passes, context, check=True)


def find(kernel: Kernel, *kinds: type) -> list:
    return [item for item in kernel.walk() if isinstance(item, kinds)]


def layouts_of(kernel: Kernel) -> list[Layout | None]:
    values = (v for item in kernel.walk() for v in item.results)
    return [v.type.layout for v in values if isinstance(v.type, TileType)]


def matrices(body: str, *names: str, dtype: str = "f32", classes: str = "x16B, 1") -> str:
    """A kernel of one block over matrices `names`, all offsets %zero."""
    kind = f"tensor<{dtype}, strides=[{classes}], extents=[any, any], aligned>"
    params = ", ".join(f"%{name}: {kind}" for name in names)
    return f"""kernel @test({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
{body}
    yield []
  }}
  yield []
}}
"""


SOFTMAX = matrices(
    """    %t: tile<[R, C], f32> = load %x, [%zero, %zero], shape=[R, C]
    %m: tile<[R, 1], f32> = reduce_max %t, axis=1
    %mb: tile<[R, C], f32> = broadcast %m, shape=[R, C]
    %d: tile<[R, C], f32> = sub %t, %mb
    %e: tile<[R, C], f32> = exp %d
    %s: tile<[R, 1], f32> = sum %e, axis=1
    %sb: tile<[R, C], f32> = broadcast %s, shape=[R, C]
    %r: tile<[R, C], f32> = div %e, %sb
    store %y, [%zero, %zero], %r""",
    "x",
    "y",
)


def softmax(rows: int, columns: int) -> str:
    return SOFTMAX.replace("R", str(rows)).replace("C", str(columns))


def test_every_tile_has_a_layout_and_softmax_needs_no_convert() -> None:
    for rows, columns in ((4, 128), (8, 1000), (1, 4096), (3, 5)):
        kernel = lay_out(softmax(rows, columns))
        assert kernel.phase == "laid_out"
        assert kernel.warps == 4
        assert all(layouts_of(kernel))
        assert not find(kernel, Convert)


def test_warps_take_rows_before_the_reduced_axis() -> None:
    (load, *_) = find(lay_out(softmax(4, 512)), Load)
    assert str(tile_type(load.results[0]).layout) == "[4, 512]{4:1@warp, 4:4@reg 32:1@lane 4:1@reg}"


def test_a_long_row_is_spread_over_warps_and_its_reduction_is_split() -> None:
    kernel = lay_out(softmax(1, 4096), (*LAYOUTS, split_reductions.PASS))
    assert len(find(kernel, ReduceParts)) == 2
    assert len(find(kernel, Convert)) == 2
    for item in find(kernel, Reduce):
        layout = tile_type(item.operand).layout
        assert all(piece.axis != "warp" for piece in layout.dims[item.axis])


def test_a_tile_and_its_transpose_clash_once() -> None:
    body = """    %t: tile<[32, 32], f32> = load %x, [%zero, %zero], shape=[32, 32]
    %u: tile<[32, 32], f32> = transpose %t, axes=[1, 0]
    %r: tile<[32, 32], f32> = add %t, %u
    store %y, [%zero, %zero], %r"""
    assert len(find(lay_out(matrices(body, "x", "y")), Convert)) == 1


def test_a_pure_transpose_converts_only_large_tiles() -> None:
    body = """    %t: tile<[N, N], f32> = load %x, [%zero, %zero], shape=[N, N]
    %u: tile<[N, N], f32> = transpose %t, axes=[1, 0]
    store %y, [%zero, %zero], %u"""
    for size, converts in ((64, 1), (8, 0)):
        kernel = lay_out(matrices(body.replace("N", str(size)), "x", "y"))
        assert len(find(kernel, Convert)) == converts


def test_chained_products_need_no_movement() -> None:
    """The accumulator of x · y is, as f16, the first operand of the next product."""
    body = """    %q: tile<[64, 64], f16> = load %x, [%zero, %zero], shape=[64, 64]
    %k: tile<[64, 64], f16> = load %y, [%zero, %zero], shape=[64, 64]
    %v: tile<[64, 64], f16> = load %z, [%zero, %zero], shape=[64, 64]
    %f: f32 = const value=0.0, dtype=f32
    %a: tile<[64, 64], f32> = full %f, shape=[64, 64]
    %s: tile<[64, 64], f32> = mma %q, %k, %a, atom="ATOM", warp_grid=[4, 1]
    %e: tile<[64, 64], f32> = exp %s
    %p: tile<[64, 64], f16> = cast %e, dtype=f16
    %b: tile<[64, 64], f32> = full %f, shape=[64, 64]
    %o: tile<[64, 64], f32> = mma %p, %v, %b, atom="ATOM", warp_grid=[4, 1]
    %h: tile<[64, 64], f16> = cast %o, dtype=f16
    store %w, [%zero, %zero], %h"""
    atom = SM_80.find_atom("mma.m16n8k16.f16.f32").name
    text = matrices(body.replace("ATOM", atom), "x", "y", "z", "w", dtype="f16")
    assert not find(lay_out(text), Convert)


def test_a_shared_constant_ties_no_layouts_together() -> None:
    body = """    %f: f32 = const value=1.0, dtype=f32
    %a: tile<[64, 64], f32> = full %f, shape=[64, 64]
    %t: tile<[64, 64], f32> = load %x, [%zero, %zero], shape=[64, 64]
    %r: tile<[64, 64], f32> = add %t, %a
    %s: tile<[64, 64], f32> = transpose %a, axes=[1, 0]
    %q: tile<[64, 64], f32> = mul %r, %s
    store %y, [%zero, %zero], %q"""
    kernel = lay_out(matrices(body, "x", "y"))
    assert not find(kernel, Convert)
    assert len(find(kernel, Full)) == 2


def test_layouts_of_the_text_win() -> None:
    layout = "[16, 32]{4:1@warp 4:1@reg, 32:1@lane}"
    body = """    %t: tile<[16, 32], f32> = load %x, [%zero, %zero], shape=[16, 32]
    %u: tile<[16, 32], f32, #0> = neg %t
    store %y, [%zero, %zero], %u"""
    kernel = lay_out(f"layout #0 = {layout}\n{matrices(body, 'x', 'y')}")
    assert {tile_type(v).layout for item in find(kernel, Load) for v in item.results} == {
        parse_layout(layout)
    }


def test_atomics_have_no_copies() -> None:
    kind = "tensor<i32, strides=[1], extents=[any]>"
    text = f"""kernel @test(%p: {kind}, %h: {kind}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %t: tile<[5], i32> = load %p, [%zero], shape=[5]
    %old: tile<[5], i32> = atomic.add %h, [%t], %t
    yield []
  }}
  yield []
}}
"""
    (item,) = find(lay_out(text), Atomic)
    assert not tile_type(item.results[0]).layout.copies


def test_a_group_holds_what_a_loop_carries() -> None:
    text = matrices(
        """    %n: i32 = const value=3, dtype=i32
    %one: i32 = const value=1, dtype=i32
    %t: tile<[8, 8], f32> = load %x, [%zero, %zero], shape=[8, 8]
    %r: tile<[8, 8], f32> = for %zero, %n, %one, [%t] (%i: i32, %a: tile<[8, 8], f32>) {
      %b: tile<[8, 8], f32> = transpose %a, axes=[1, 0]
      yield [%b]
    }
    store %y, [%zero, %zero], %r""",
        "x",
        "y",
    )
    kernel = parse_kernel(text)
    groups = find_groups(kernel)
    tiles = [v for item in kernel.walk() for v in item.results if isinstance(v.type, TileType)]
    assert len({groups.find(v)[0] for v in tiles}) == 1
    assert len(find(lay_out(text), Convert)) == 1  # where the tile turns


@pytest.mark.parametrize(
    ("classes", "dtype", "width"),
    [
        ("x16B, 1", "f32", 4),
        ("x16B, 1", "f16", 8),
        ("any, 1", "f32", 1),
        ("x16B, any", "f32", 1),
        ("1, x16B", "f16", 8),
        ("0, 1", "u8", 16),
    ],
)
def test_widths_follow_from_the_classes(classes: str, dtype: str, width: int) -> None:
    body = f"""    %t: tile<[64, 64], {dtype}> = load %x, [%zero, %zero], shape=[64, 64]
    store %y, [%zero, %zero], %t"""
    text = matrices(body, "x", "y", dtype=dtype, classes=classes)
    for item in find(lay_out(text, (*LAYOUTS, vectorize.PASS)), Load, Store):
        assert item.vector == width


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    vector=st.sampled_from([1, 2, 4, 8]),
    warps=st.sampled_from([1, 2, 3, 4, 8]),
    data=st.data(),
)
def test_coalesced_layouts_hold_every_element_and_use_every_lane(
    shape: list[int], vector: int, warps: int, data: st.DataObject
) -> None:
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    reduced = frozenset(data.draw(st.sets(st.sampled_from(range(len(shape))))))
    layout = coalesced(Wish(tuple(shape), order, vector, reduced=reduced), warps)
    assert all(have >= want for have, want in zip(layout.shape, shape, strict=True))
    assert layout.size("lane") == 32
    assert layout.size("warp") == warps
    table = layout.table()
    assert (table >= 0).all()
    single = without_copies(layout)
    assert single.is_bijective()


def test_sector_ratios() -> None:
    rows = coalesced(Wish((64, 64), (0, 1), 4), 4)
    assert sector_ratio(rows, (64, 64), 1, 32) == 1.0
    assert sector_ratio(rows, (64, 64), 0, 32) == 0.25  # two rows: 8 of 32 bytes
    fragment = parse_layout("[16, 8]{2:2@reg 8:4@lane, 4:1@lane 2:1@reg}")
    assert sector_ratio(fragment, (16, 8), 1, 16) == 0.5


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_program_of_shapes_is_laid_out_and_keeps_its_meaning(data: st.DataObject) -> None:
    """Random chains of shape changes, reductions and sums of tiles: solving never fails."""
    lines, shapes = [], [(data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20)))]
    lines.append(
        f"    %t0: tile<{list(shapes[0])}, f32> = load %x, [%zero, %zero], shape={list(shapes[0])}"
    )
    for step in range(1, 7):
        have = shapes[-1]
        kind = data.draw(
            st.sampled_from(["transpose", "reshape", "slice", "sum", "broadcast", "add"])
        )
        shape, text = _step(kind, have, f"%t{step - 1}", data)
        shapes.append(shape)
        lines.append(f"    %t{step}: tile<{list(shape)}, f32> = {text}")
    lines.append("    store %y, [%zero, %zero], %t6")
    text = matrices("\n".join(lines), "x", "y")
    values = np.arange(400.0).reshape(20, 20)
    outputs = []
    for kernel in (parse_kernel(text), lay_out(text, (*LAYOUTS, split_reductions.PASS))):
        y = TensorView(np.full((20, 20), -1.0), f32)
        interpret(kernel, [TensorView(values % 7, f32), y])
        outputs.append(y.values)
    np.testing.assert_array_equal(*outputs)


def _step(
    kind: str, have: tuple[int, int], name: str, data: st.DataObject
) -> tuple[tuple[int, int], str]:
    m, n = have
    match kind:
        case "transpose":
            return (n, m), f"transpose {name}, axes=[1, 0]"
        case "reshape":
            widths = [d for d in range(1, m * n + 1) if m * n % d == 0]
            width = data.draw(st.sampled_from(widths))
            return (m * n // width, width), f"reshape {name}, shape=[{m * n // width}, {width}]"
        case "slice":
            start = [data.draw(st.integers(0, extent - 1)) for extent in have]
            shape = [data.draw(st.integers(1, e - s)) for e, s in zip(have, start, strict=True)]
            return (shape[0], shape[1]), f"slice {name}, start={start}, shape={shape}"
        case "sum":
            axis = data.draw(st.integers(0, 1))
            return ((1, n) if axis == 0 else (m, 1)), f"sum {name}, axis={axis}"
        case "broadcast":
            want = [e if e > 1 else data.draw(st.integers(1, 9)) for e in have]
            return (want[0], want[1]), f"broadcast {name}, shape={want}"
        case _:
            return have, f"add {name}, {name}"
