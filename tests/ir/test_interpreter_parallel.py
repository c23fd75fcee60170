"""What the interpreter notices: deadlocks by name, poison, memory in use, barriers misused."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.diagnostics import InterpretError
from tilewright.ir.interpreter import interpret
from tilewright.ir.memory import TensorView
from tilewright.ir.parser import parse_kernel
from tilewright.ir.types import f32, i32

HEAD = """\
kernel @k(%t: tensor<f32, strides=[1], extents=[any]>, %n: tensor<i32, strides=[1], \
extents=[any]>), phase=scheduled {
  %zero: i32 = const value=0, dtype=i32
  %one: i32 = const value=1, dtype=i32
  %two: i32 = const value=2, dtype=i32
  %four: i32 = const value=4, dtype=i32
  %no: bool = const value=false, dtype=bool
  %f: f32 = const value=1.5, dtype=f32
  %x: tile<[4], f32> = full %f, shape=[4]
  %s: buffer<[4], f32> = buffer shape=[4], dtype=f32
  %ring: buffer<[2, 4], f32> = buffer shape=[2, 4], dtype=f32
  %full: barrier<2, 1> = barrier size=2, count=1
  %empty: barrier<2, 1> = barrier size=2, count=1
"""


def run(*lines: str, seed: int | None = None, grid: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The tensors after a block (or `grid` of them) ran `lines`: t = 0 .. 7, n = 0."""
    head, prologue = HEAD.split(" {\n", 1)
    body = prologue + "".join(f"  {line}\n" for line in (*lines, "yield []"))
    size = f"  %g: i32 = const value={grid}, dtype=i32\n  for_tiles [%g] (%block: i32) {{\n"
    kernel = parse_kernel(f"{head} {{\n{size}{body}  }}\n  yield []\n}}\n", "k.tile")
    t, n = np.arange(8.0), np.zeros(4, np.int64)
    interpret(kernel, [TensorView(t, f32), TensorView(n, i32)], seed=seed, limit=10_000)
    return t, n


def roles(first: str, second: str, names: str = '["load", "math"]') -> str:
    return (
        f"roles names={names}, warps=[4, 4], registers=[0, 0] "
        f"{{\n{first}\nyield []\n}} {{\n{second}\nyield []\n}}"
    )


COPY = "%c: token = copy %t, [%zero], %s"
LOAD = "%v: tile<[4], f32> = buffer.load %s"
TMA = 'copy %t, [%zero], %s, barrier=%full, slot=%zero, path="tma"'
STORE = "buffer.store %s, %x"
OUT = "%o: token = copy.out %s, %t, [%zero]"
MATRIX = (
    "%a: tile<[1, 4], f32> = reshape %x, shape=[1, 4]",
    "%b: tile<[4, 1], f32> = reshape %x, shape=[4, 1]",
    "%z: tile<[1, 1], f32> = full %f, shape=[1, 1]",
)
PRODUCT = "%p: pending<[1, 1], f32>, %q: token = mma.async %a, %b, %z"

NOTICED = {
    "read before any write": ([LOAD], "read of shared memory that nothing has written"),
    "read during a copy": ([COPY, LOAD], "read of a buffer that a copy is still writing"),
    "write during a copy": ([COPY, STORE], "write to a buffer that a copy is still writing"),
    "two copies at once": ([COPY, COPY.replace("%c", "%d")], "copy to a buffer that a copy"),
    "overwrite of what leaves": ([STORE, OUT, STORE], "write to a buffer that is still being read"),
    "copy over what leaves": ([STORE, OUT, COPY], "copy to a buffer that is still being read"),
    "end before it has left": ([STORE, OUT], "the block ends while s is still being read"),
    "end before it is there": ([COPY], "the block ends while s is still being written"),
    "end before a copy lands": (
        [f"%c: token = {TMA}"],
        "the block ends, copies to barrier slot 0 in flight",
    ),
    "a product read too early": (
        [*MATRIX, PRODUCT, "%r: tile<[1, 1], f32> = wait [], [%p]"],
        "a pending tile is read before its product was waited for",
    ),
    "a product read twice": (
        [*MATRIX, PRODUCT, "%r: tile<[1, 1], f32> = wait [%q], [%p]",
         "%u: tile<[1, 1], f32> = wait [%q], [%p]"],
        "a pending tile is used twice",
    ),
    "stage outside of the ring": (
        ["%v: buffer<[4], f32> = buffer.at %ring, [%two]"],
        "index 2 of a buffer's 2 stages",
    ),
    "slot outside of the barrier": (["barrier.arrive %full, %two"], "barrier slot 2 of 2"),
    "too many arrivals": (
        ["barrier.arrive %full, %zero, expect=16", "barrier.arrive %full, %zero"],
        "barrier 0: more than 1 arrivals in one phase",
    ),
    "bytes that nobody copies": (
        ["barrier.arrive %full, %zero, expect=32", f"%c: token = {TMA}",
         "barrier.wait %full, %zero, %zero"],
        r"deadlock.*full\[0\], parity 0 \(1 of 1 arrivals, 16 bytes missing\)",
    ),
    "bytes that nobody expects": (
        ["barrier.arrive %full, %zero", f"%c: token = {TMA}", "barrier.wait %full, %zero, %zero",
         LOAD],
        "read of a buffer that a copy is still writing",
    ),
    "nobody arrives": (
        ["barrier.wait %full, %one, %zero"],
        r"deadlock: .*a block waits for full\[1\], parity 0 \(0 of 1 arrivals, 0 bytes missing\)",
    ),
    "a failed check": (['check %no, text="n is even"'], "check failed: n is even"),
    "a false assumption": (["assume %no"], "an assumption of the kernel does not hold"),
    "a subview outside": (
        ["%v: tensor<f32, strides=[], extents=[]> = subview %t, %e"],
        "subview 8 of 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTICED)
def test_noticed(name: str) -> None:
    lines, text = NOTICED[name]
    with pytest.raises(InterpretError, match=text):
        run("%e: i32 = add %four, %four", *lines)


def test_a_copy_is_poison_until_its_wait() -> None:
    t, _ = run(COPY, "wait [%c], []", LOAD, "store %t, [%four], %v")
    assert t.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_copies_outside_the_view_give_zero() -> None:
    six = "%six: i32 = add %four, %two"
    t, _ = run(six, COPY.replace("%zero", "%six"), "wait [%c], []", LOAD, "store %t, [%zero], %v")
    assert t.tolist() == [6, 7, 0, 0, 4, 5, 6, 7]


def test_a_copy_that_is_off() -> None:
    t, _ = run(STORE, f"{COPY}, when=%no", LOAD, "store %t, [%zero], %v")
    assert t[:4].tolist() == [1.5] * 4


@pytest.mark.parametrize("reduce", ["add", "min", "max"])
def test_reducing_copies(reduce: str) -> None:
    t, _ = run(STORE, f'{OUT}, reduce="{reduce}"', "wait [%o], []")
    want = {"add": np.add, "min": np.minimum, "max": np.maximum}[reduce](np.arange(4.0), 1.5)
    np.testing.assert_array_equal(t[:4], want)


def test_waiting_for_the_reads_makes_no_writes_visible() -> None:
    """The buffer is free at once; the tensor changes by the end of the block."""
    read = "%w: tile<[4], f32> = load %t, [%zero], shape=[4]"
    t, _ = run(STORE, OUT, "wait [%o], [], reads_only=true", STORE, read, "store %t, [%four], %w")
    assert t.tolist() == [1.5] * 4 + [0, 1, 2, 3]
    t, _ = run(STORE, OUT, "wait [%o], []", read, "store %t, [%four], %w")
    assert t.tolist() == [1.5] * 8


def test_a_group_waits_for_its_copies() -> None:
    second = "%d: token = copy %t, [%four], %r"
    t, _ = run(
        COPY, "%r: buffer<[4], f32> = buffer.at %ring, [%one]", second,
        "%g: token = commit [%c, %d]", "wait [%g], []",
        "%v: tile<[4], f32> = buffer.load %r", "store %t, [%zero], %v",
    )  # fmt: skip
    assert t.tolist() == [4, 5, 6, 7] * 2


def test_arrivals_after_copies() -> None:
    """cp.async copies arrive when they have landed, and the waiter sees them."""
    t, _ = run(
        COPY, "barrier.arrive %full, %zero, after=%c", "barrier.wait %full, %zero, %zero", LOAD,
        "store %t, [%four], %v",
    )  # fmt: skip
    assert t.tolist() == [0, 1, 2, 3] * 2


def test_products_on_one_accumulator_complete_in_order() -> None:
    """The wait for the last product is a wait for all."""
    t, _ = run(
        *MATRIX, PRODUCT, "%p2: pending<[1, 1], f32>, %q2: token = mma.async %a, %b, %p",
        "%r: tile<[1, 1], f32> = wait [%q2], [%p2]", "%l: tile<[1], f32> = reshape %r, shape=[1]",
        "store %t, [%zero], %l",
    )  # fmt: skip
    assert t[0] == 1.5 + 2 * 4 * 1.5**2


PING = """\
named.sync number=1, warps=8
%r: i32 = atomic.add %n, [%zero], %one
element.store %n, [%one], %r
named.arrive number=2, warps=8"""
PONG = """\
%r: i32 = atomic.add %n, [%zero], %one
element.store %n, [%two], %r
named.arrive number=1, warps=8
named.sync number=2, warps=8"""


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_named_barriers_order_roles(seed: int | None) -> None:
    _, n = run(roles(PING, PONG), seed=seed)
    assert n.tolist() == [2, 1, 0, 0]


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_deadlock_names_roles_and_barriers(seed: int | None) -> None:
    waits = "barrier.wait %empty, %one, %zero", "named.sync number=3, warps=8"
    with pytest.raises(InterpretError) as caught:
        run(roles(*waits), seed=seed)
    text = str(caught.value)
    assert "deadlock" in text
    assert "a role among load, math waits for empty[1], parity 0" in text
    assert "a role among load, math waits for named barrier 3" in text


def test_more_warps_than_a_named_barrier_wants() -> None:
    with pytest.raises(InterpretError, match="named barrier 1: 8 warps, want 6"):
        run(roles("named.sync number=1, warps=6", "named.arrive number=1, warps=6"))


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_blocks_signal_each_other(seed: int | None) -> None:
    """A block waits for one that starts later."""
    _, n = run(
        "%first: bool = eq %block, %zero", "if %first {", "signal.wait %n, [%zero], %two",
        "element.store %n, [%one], %four", "yield []", "} {", "signal %n, [%zero], %one",
        "yield []", "}", grid=3, seed=seed,
    )  # fmt: skip
    assert n.tolist() == [2, 4, 0, 0]


@pytest.mark.parametrize("seed", [None, *range(4)])
def test_a_spinning_block_lets_others_run(seed: int | None) -> None:
    _, n = run(
        "%first: bool = eq %block, %zero", "if %first {", "while [] {",
        "%v: i32 = atomic.or %n, [%zero], %zero", "%w: bool = lt %v, %two", "condition %w", "} {",
        "yield []", "}", "element.store %n, [%one], %one", "yield []", "} {",
        "%a: i32 = atomic.add %n, [%zero], %one", "yield []", "}", grid=3, seed=seed,
    )  # fmt: skip
    assert n.tolist() == [2, 1, 0, 0]


@pytest.mark.parametrize("op", ["add", "max", "min", "or", "and", "exchange"])
def test_atomics_on_equal_places_happen_one_by_one(op: str) -> None:
    """Each element sees what those before it left, in row-major order."""
    _, n = run(
        "%i: tile<[4], i32> = arange %zero, size=4", "%w: tile<[4], i32> = full %two, shape=[4]",
        "%j: tile<[4], i32> = floordiv %i, %w", "%h: tile<[4], i32> = add %i, %w",
        f"%old: tile<[4], i32> = atomic.{op} %n, [%j], %h", "%k: tile<[4], i32> = add %i, %w",
        "%last: tile<[1], i32> = slice %old, start=[3], shape=[1]", "store %n, [%two], %last",
    )  # fmt: skip
    step = {
        "add": lambda a, b: a + b, "max": max, "min": min, "or": lambda a, b: a | b,
        "and": lambda a, b: a & b, "exchange": lambda a, b: b,
    }[op]  # fmt: skip
    assert n.tolist() == [step(step(0, 2), 3), step(step(0, 4), 5), step(0, 4), 0]
