# ruff: noqa: E501 (lines of IR text)
"""Reductions, control flow, gathers, atomics, buffers, views, print and check on the cpu target."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.codegen.cpu import emit_cpu
from tilewright.codegen.cpu.emitter import EXPRESSIONS, STATEMENTS
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instruction import REGISTRY
from tilewright.ir.layout import make
from tilewright.ir.types import parse_dtype
from tilewright.tests.codegen.cpu.harness import ISAS, check_equal, memory, output, parse, run_cpu

HEAD = """
kernel @{name}({params}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %two: i32 = const value=2, dtype=i32
  %grid: i32 = const value={blocks}, dtype=i32
  for_tiles [%grid] (%i: i32) {{
{body}
    yield []
  }}
  yield []
}}
"""
ANY = "tensor<{}, strides=[any, 1], extents=[any, any]>"
LINE = "tensor<{}, strides=[1], extents=[any]>"


def kernel(body: str, params: str, blocks: int = 1, name: str = "block") -> str:
    return HEAD.format(name=name, params=params, blocks=blocks, body=body)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16", "f16", "i32", "i8", "u64"])
def test_reductions_along_every_axis_at_the_edge_of_a_tensor(isa: str, dtype: str) -> None:
    rng = np.random.default_rng()
    body = f"    %t: tile<[8, 20], {dtype}> = load %x, [%zero, %zero], shape=[8, 20]\n"
    for k, op in enumerate(["sum", "reduce_max", "reduce_min", "prod"]):
        body += f"""
    %a{k}: tile<[8, 1], {dtype}> = {op} %t, axis=1
    %b{k}: tile<[1, 20], {dtype}> = {op} %t, axis=0
    %c{k}: tile<[1, 1], {dtype}> = {op} %a{k}, axis=0
    %o{k}: i32 = const value={k}, dtype=i32
    %p{k}: i32 = const value={8 + k}, dtype=i32
    store %y, [%zero, %o{k}], %a{k}
    store %z, [%p{k}, %zero], %b{k}
    store %z, [%o{k}, %zero], %c{k}
"""
    params = f"%x: {ANY.format(dtype)}, %y: {ANY.format(dtype)}, %z: {ANY.format(dtype)}"
    for shape in [(8, 20), (5, 17), (1, 1)]:
        x = rng.integers(0, 3, shape)
        args = [memory(x, dtype), output((8, 4), dtype), output((12, 20), dtype)]
        check_equal(kernel(body, params), args, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_a_maximum_keeps_nan_and_bools_fold(isa: str) -> None:
    body = """
    %t: tile<[4, 40], f32> = load %x, [%zero, %zero], shape=[4, 40]
    %a: tile<[4, 1], f32> = reduce_max %t, axis=1
    %b: tile<[1, 40], f32> = reduce_min %t, axis=0
    %h: f32 = const value=0.5, dtype=f32
    %hh: tile<[4, 40], f32> = full %h, shape=[4, 40]
    %m: tile<[4, 40], bool> = gt %t, %hh
    %c: tile<[4, 1], bool> = any %m, axis=1
    %d: tile<[1, 40], bool> = all %m, axis=0
    store %y, [%zero, %zero], %a
    store %z, [%zero, %zero], %b
    store %p, [%zero, %zero], %c
    store %q, [%zero, %zero], %d
"""
    f, b = ANY.format("f32"), ANY.format("bool")
    text = kernel(body, f"%x: {f}, %y: {f}, %z: {f}, %p: {b}, %q: {b}")
    x = np.random.default_rng().standard_normal((4, 40))
    x[1, 7] = np.nan
    args = [
        memory(x, "f32"), output((4, 1), "f32"), output((1, 40), "f32"),
        output((4, 1), "bool"), output((1, 40), "bool"),
    ]  # fmt: skip
    check_equal(text, args, isa)


SOFTMAX = """
    %t: tile<[4, 64], f32> = load %x, [%r, %zero], other=%low, shape=[4, 64]
    %m: tile<[4, 1], f32> = reduce_max %t, axis=1
    %mm: tile<[4, 64], f32> = broadcast %m, shape=[4, 64]
    %d: tile<[4, 64], f32> = sub %t, %mm
    %e: tile<[4, 64], f32> = exp %d
    %s: tile<[4, 1], f32> = sum %e, axis=1
    %ss: tile<[4, 64], f32> = broadcast %s, shape=[4, 64]
    %p: tile<[4, 64], f32> = div %e, %ss
    store %y, [%r, %zero], %p
"""


@pytest.mark.parametrize("isa", ISAS)
def test_softmax_rows_of_any_length(isa: str) -> None:
    body = (
        """
    %four: i32 = const value=4, dtype=i32
    %low: f32 = const value=-inf, dtype=f32
    %r: i32 = mul %i, %four
"""
        + SOFTMAX
    )
    text = kernel(body, f"%x: {ANY.format('f32')}, %y: {ANY.format('f32')}", blocks=3)
    rng = np.random.default_rng()
    for columns in (64, 37, 1):
        x = rng.standard_normal((11, columns)) * 5
        # exp is within 4 units, the sum of 64 positive terms within 64 more.
        args = [memory(x, "f32"), output((11, columns), "f32")]
        check_equal(text, args, isa, relative=80 * 2.0**-24)


@pytest.mark.parametrize("isa", ISAS)
def test_loops_carry_scalars_and_tiles_through_break_and_continue(isa: str) -> None:
    body = """
    %f: f32 = const value=0.0, dtype=f32
    %acc: tile<[3, 8], f32> = full %f, shape=[3, 8]
    %old: tile<[3, 8], f32> = full %f, shape=[3, 8]
    %sum, %last, %count = for %zero, %n, %one, [%acc, %old, %zero] (%k: i32, %a: tile<[3, 8], f32>, %b: tile<[3, 8], f32>, %c: i32) {
      %r: i32 = mod %k, %two
      %odd: bool = eq %r, %one
      %c1: i32 = add %c, %k
      if %odd {
        continue [%b, %a, %c1]
      } {
        yield []
      }
      %t: tile<[3, 8], f32> = load %x, [%k, %zero], shape=[3, 8]
      %a1: tile<[3, 8], f32> = add %a, %t
      %stop: bool = gt %c1, %limit
      if %stop {
        break [%a1, %t, %c]
      } {
        yield []
      }
      %a2: tile<[3, 8], f32> = add %a1, %b
      yield [%a2, %t, %c1]
    }
    store %y, [%zero, %zero], %sum
    store %z, [%zero, %zero], %last
    %cz: tile<[1, 1], i32> = full %count, shape=[1, 1]
    store %w, [%zero, %zero], %cz
""".replace(
        "%sum, %last, %count = for",
        "%sum: tile<[3, 8], f32>, %last: tile<[3, 8], f32>, %count: i32 = for",
    )
    f = ANY.format("f32")
    params = f"%x: {f}, %y: {f}, %z: {f}, %w: {ANY.format('i32')}, %n: i32, %limit: i32"
    x = np.random.default_rng().integers(-4, 5, (20, 8))
    for n, limit in [(0, 100), (9, 100), (12, 10), (2, 0)]:
        args = [
            memory(x, "f32"), output((3, 8), "f32"), output((3, 8), "f32"),
            output((1, 1), "i32"), n, limit,
        ]  # fmt: skip
        check_equal(kernel(body, params), args, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_while_and_branches_give_tiles(isa: str) -> None:
    body = """
    %t: tile<[4, 8], i32> = load %x, [%zero, %zero], shape=[4, 8]
    %done: tile<[4, 8], i32>, %steps: i32 = while [%t, %zero] (%a: tile<[4, 8], i32>, %k: i32) {
      %more: bool = lt %k, %n
      condition %more
    } (%a2: tile<[4, 8], i32>, %k2: i32) {
      %p: i32 = mod %k2, %two
      %even: bool = eq %p, %zero
      %next: tile<[4, 8], i32> = if %even {
        %u: tile<[4, 8], i32> = add %a2, %a2
        yield [%u]
      } {
        %v: tile<[4, 8], i32> = neg %a2
        yield [%v]
      }
      %k3: i32 = add %k2, %one
      yield [%next, %k3]
    }
    store %y, [%zero, %zero], %done
    store %x, [%steps, %zero], %t
"""
    i = ANY.format("i32")
    x = np.random.default_rng().integers(-4, 5, (9, 8))
    for n in (0, 1, 4):
        check_equal(
            kernel(body, f"%x: {i}, %y: {i}, %n: i32"),
            [memory(x, "i32"), output((4, 8), "i32"), n],
            isa,
        )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f32", "i32", "bf16", "u4", "u3"])
def test_gathers_scatters_and_index_tiles(isa: str, dtype: str) -> None:
    body = f"""
    %cols: i32 = const value=24, dtype=i32
    %index: tile<[6], i32> = load %rows, [%zero], shape=[6]
    %t: tile<[6, 24], {dtype}> = load %x, [%index, %zero], shape=[6, 24]
    store %y, [%index, %zero], %t
    %c: tile<[24], i32> = arange %zero, size=24
    %r: tile<[6, 1], i32> = reshape %index, shape=[6, 1]
    %rr: tile<[6, 24], i32> = broadcast %r, shape=[6, 24]
    %c1: tile<[1, 24], i32> = reshape %c, shape=[1, 24]
    %cc: tile<[6, 24], i32> = broadcast %c1, shape=[6, 24]
    %last: tile<[6, 24], i32> = full %cols, shape=[6, 24]
    %one2: tile<[6, 24], i32> = full %one, shape=[6, 24]
    %back0: tile<[6, 24], i32> = sub %last, %cc
    %back: tile<[6, 24], i32> = sub %back0, %one2
    %mask: tile<[6, 24], bool> = ne %rr, %back
    %g: tile<[6, 24], {dtype}> = gather %x, [%rr, %back], mask=%mask
    scatter %z, [%rr, %back], %g, mask=%mask
"""
    many = ANY.format(dtype)
    params = f"%x: {many}, %y: {many}, %z: {many}, %rows: {LINE.format('i32')}"
    if dtype.startswith("u"):
        body = body.replace(
            "    store %y, [%index, %zero], %t\n", "    store %y, [%zero, %zero], %t\n"
        )
    rng = np.random.default_rng()
    x = rng.integers(0, 7, (10, 22))
    rows = np.array([3, 0, 11, 9, -1, 5])
    args = [
        memory(x, dtype), output((10, 22), dtype), output((10, 22), dtype), memory(rows, "i32"),
    ]  # fmt: skip
    check_equal(kernel(body, params), args, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f32", "i32", "i64", "bf16"])
def test_atomics_of_many_blocks_lose_nothing(isa: str, dtype: str) -> None:
    body = f"""
    %t: tile<[50], {dtype}> = load %x, [%zero], shape=[50]
    %p: tile<[50], i32> = load %place, [%zero], shape=[50]
    %old: tile<[50], {dtype}> = atomic.add %y, [%p], %t
    %top: tile<[50], {dtype}> = atomic.max %z, [%p], %t
    %v: {dtype} = element %x, [%zero]
    %before: {dtype} = atomic.add %y, [%one], %v
"""
    line = LINE.format(dtype)
    params = f"%x: {line}, %place: {LINE.format('i32')}, %y: {line}, %z: {line}"
    rng = np.random.default_rng()
    x, place = rng.integers(0, 2, 50), rng.integers(-1, 8, 50)
    args = [
        memory(x, dtype), memory(place, "i32"), memory(np.zeros(7), dtype),
        memory(np.zeros(7), dtype),
    ]  # fmt: skip
    check_equal(kernel(body, params, blocks=5), args, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_views_have_bounds_of_their_own(isa: str) -> None:
    body = """
    %low: i32 = element %offsets, [%i]
    %i1: i32 = add %i, %one
    %high: i32 = element %offsets, [%i1]
    %part: tensor<f32, strides=[any, 1], extents=[any, any]> = rows %x, %low, %high
    %k: i32 = extent %part, axis=0, dtype=i32
    %t: tile<[4, 8], f32> = load %part, [%zero, %zero], shape=[4, 8]
    %kk: f32 = cast %k, dtype=f32
    %f: tile<[4, 8], f32> = full %kk, shape=[4, 8]
    %u: tile<[4, 8], f32> = add %t, %f
    %out: tensor<f32, strides=[any, 1], extents=[any, any]> = subview %y, %i, axis=0
    store %out, [%zero, %zero], %u
    %row: tensor<f32, strides=[1], extents=[any]> = subview %part, %zero, axis=0
    %e: f32 = element %row, [%two]
    element.store %w, [%i], %e
"""
    cube = "tensor<f32, strides=[any, any, 1], extents=[any, any, any]>"
    params = (
        f"%x: {ANY.format('f32')}, %offsets: {LINE.format('i32')}, %y: {cube}, "
        f"%w: {LINE.format('f32')}"
    )
    rng = np.random.default_rng()
    args = [
        memory(rng.standard_normal((13, 9)).astype(np.float32), "f32"),
        memory(np.array([0, 3, 9, 10]), "i32"), output((3, 4, 8), "f32"), output((3,), "f32"),
    ]  # fmt: skip
    check_equal(kernel(body, params, blocks=3), args, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f32", "bf16", "u4", "i6", "f6e3m2"])
def test_shapes_are_renamed_without_moving(isa: str, dtype: str) -> None:
    body = f"""
    %t: tile<[6, 16], {dtype}> = load %x, [%zero, %zero], shape=[6, 16]
    %flat: tile<[96], {dtype}> = reshape %t, shape=[96]
    %cube: tile<[4, 3, 8], {dtype}> = reshape %flat, shape=[4, 3, 8]
    %turn: tile<[3, 4, 8], {dtype}> = transpose %cube, axes=[1, 0, 2]
    %part: tile<[2, 4, 8], {dtype}> = slice %turn, start=[1, 0, 0], shape=[2, 4, 8]
    %low: tile<[8, 8], {dtype}> = reshape %part, shape=[8, 8]
    store %y, [%zero, %zero], %low
"""
    params = f"%x: {ANY.format(dtype)}, %y: {ANY.format(dtype)}"
    x = np.random.default_rng().integers(0, 8, (5, 16))
    args = [memory(x, dtype), output((8, 8), dtype)]
    check_equal(kernel(body, params), args, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_buffers_are_local_and_copies_complete(isa: str) -> None:
    body = """
    %ring: buffer<[2, 8, 16], f16> = buffer shape=[2, 8, 16], dtype=f16
    %a: buffer<[8, 16], f16> = buffer.at %ring, [%one]
    %b: buffer<[8, 16], f16> = buffer.at %ring, [%zero]
    %token: token = copy %x, [%zero, %zero], %a
    %no: bool = const value=false, dtype=bool
    %none: token = copy %x, [%one, %one], %a, when=%no
    %both: token = commit [%token, %none]
    wait [%both], []
    %t: tile<[8, 16], f16> = buffer.load %a
    %u: tile<[8, 16], f16> = add %t, %t
    buffer.store %b, %u
    %turned: buffer<[16, 8], f16> = buffer.transpose %b, axes=[1, 0]
    %part: buffer<[4, 8], f16> = buffer.part %turned, start=[2, 0], shape=[4, 8]
    %half: buffer<[4, 4], f16> = buffer.block %part, %one, axis=1, size=4
    %v: tile<[4, 4], f16> = buffer.load %half
    store %y, [%zero, %zero], %v
    %done: token = copy.out %b, %z, [%zero, %zero]
    wait [%done], []
"""
    f = ANY.format("f16")
    x = np.random.default_rng().standard_normal((7, 13)).astype(np.float16)
    args = [memory(x, "f16"), output((4, 4), "f16"), output((6, 20), "f16")]
    check_equal(kernel(body, f"%x: {f}, %y: {f}, %z: {f}"), args, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_an_update_in_place_reads_before_it_writes(isa: str) -> None:
    body = """
    %t: tile<[4, 4], f32> = load %x, [%zero, %zero], shape=[4, 4]
    %turned: tile<[4, 4], f32> = transpose %t, axes=[1, 0]
    store %x, [%zero, %zero], %turned
    %u: tile<[4, 4], f32> = add %t, %t
    store %y, [%zero, %zero], %u
"""
    f = ANY.format("f32")
    args = [memory(np.arange(16).reshape(4, 4), "f32"), output((4, 4), "f32")]
    check_equal(kernel(body, f"%x: {f}, %y: {f}"), args, isa)


def test_a_failed_check_names_itself_and_print_writes_lines(capfd: pytest.CaptureFixture) -> None:
    body = """
    %t: tile<[2, 3], i32> = load %x, [%zero, %zero], shape=[2, 3]
    %h: f32 = const value=0.1, dtype=f32
    print [%i, %h, %t], text="block {} has {}: {}"
    %z: tile<[2, 3], i32> = full %zero, shape=[2, 3]
    %ok: tile<[2, 3], bool> = ge %t, %z
    check %ok, text="only positive numbers"
    store %y, [%zero, %zero], %t
"""
    i = ANY.format("i32")
    text = kernel(body, f"%x: {i}, %y: {i}")
    x = np.arange(6).reshape(2, 3)
    assert run_cpu(text, [memory(x, "i32"), output((2, 3), "i32")], ISAS[0]) is None
    assert capfd.readouterr().out == ("block 0 has 0.10000000149011612: [[0, 1, 2], [3, 4, 5]]\n")
    y = output((2, 3), "i32")
    failed = run_cpu(text, [memory(-x, "i32"), y], ISAS[0])
    assert failed == "check failed: only positive numbers"
    assert (y.values() == 2**31 - 1).all()


def test_blocks_that_wait_for_each_other_finish_or_report_the_deadlock() -> None:
    body = """
    %v: i32 = add %i, %one
    signal.wait %flag, [%zero], {}
    element.store %y, [%i], %v
    signal %flag, [%zero], %one
"""
    i = LINE.format("i32")
    good = kernel(body.format("%i"), f"%flag: {i}, %y: {i}", blocks=6)
    args = [memory(np.zeros(1), "i32"), output((6,), "i32")]
    check_equal(good, args, ISAS[0])
    bad = kernel(body.format("%v"), f"%flag: {i}, %y: {i}", blocks=6)
    failed = run_cpu(bad, [memory(np.zeros(1), "i32"), output((6,), "i32")], ISAS[0])
    assert failed is not None and "deadlock" in failed and "flag" in failed


@pytest.mark.parametrize("isa", ISAS)
def test_packed_rows_are_readable_as_bytes(isa: str) -> None:
    body = """
    %raw: tensor<u8, strides=[any, 1], extents=[any, any]> = bytes %x
    %t: tile<[4, 8], u8> = load %raw, [%zero, %zero], shape=[4, 8]
    store %y, [%zero, %zero], %t
"""
    text = kernel(body, f"%x: {ANY.format('u3')}, %y: {ANY.format('u8')}")
    x = np.random.default_rng().integers(0, 8, (3, 11))
    check_equal(text, [memory(x, "u3"), output((4, 8), "u8")], isa)


def test_every_instruction_of_a_tile_kernel_has_code_or_is_refused_by_name() -> None:
    terminators = {"yield", "break", "continue", "condition"}
    elsewhere = {"for_tiles", *terminators}  # the entry and the loops write these
    refused = {"roles"}
    missing = {
        name
        for name, (cls, _) in REGISTRY.items()
        if "tile" in cls.phases and cls not in STATEMENTS and cls not in EXPRESSIONS
    }
    assert missing == elsewhere | refused


def test_roles_are_refused_by_name() -> None:
    body = """
    roles names=["load", "math"], warps=[1, 1], registers=[0, 0] {
      yield []
    } {
      yield []
    }
"""
    with pytest.raises(LanguageError, match=r"kernel block has roles \(load, math\)"):
        emit_cpu(parse(kernel(body, f"%x: {ANY.format('f32')}")), "avx2")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("have", "want"), [("u8", "u4"), ("i32", "f16"), ("u4", "u8"), ("u6", "u3")]
)
def test_a_view_keeps_the_bits_of_every_lane(isa: str, have: str, want: str) -> None:
    bits, wanted = parse_dtype(have).bits, parse_dtype(want).bits
    columns = 8 * bits // wanted
    # The operand's registers are read column pairs first: view must follow the layout, not memory.
    source = make((4, 8), [[(4, 1, "lane")], [(2, 1, "reg"), (4, 2, "reg")]])
    result = make((4, columns), [[(4, 1, "lane")], [(columns, 1, "reg")]])
    body = f"""
    %t: tile<[4, 8], {have}, #0> = load %x, [%zero, %zero], shape=[4, 8]
    %v: tile<[4, {columns}], {want}, #1> = view %t, dtype={want}, layout=#1
    store %y, [%zero, %zero], %v
"""
    text = f"layout #0 = {source}\nlayout #1 = {result}" + kernel(
        body, f"%x: {ANY.format(have)}, %y: {ANY.format(want)}"
    )
    x = np.random.default_rng().integers(0, 16, (4, 8)) * (2**10 + 1 if have == "i32" else 1)
    check_equal(text, [memory(x, have), output((4, columns), want)], isa)
