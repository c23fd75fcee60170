"""Atomics: every operation and type, with lanes that collide, on global and shared memory."""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tilewright.runtime import vm

N = 256
OPERATIONS: dict[str, Any] = {
    "add": lambda old, v, w: old + v,
    "min": lambda old, v, w: min(old, v),
    "max": lambda old, v, w: max(old, v),
    "and": lambda old, v, w: old & v,
    "or": lambda old, v, w: old | v,
    "xor": lambda old, v, w: old ^ v,
    "exch": lambda old, v, w: v,
    "cas": lambda old, v, w: w if old == v else old,
    "inc": lambda old, v, w: 0 if old >= v else old + 1,
    "dec": lambda old, v, w: v if old == 0 or old > v else old - 1,
}
CASES = [
    *((o, k) for o in ("add", "min", "max") for k in ("u32", "s32", "u64", "s64")),
    *((o, k) for o in ("and", "or", "xor", "exch", "cas") for k in ("b32", "b64")),
    ("inc", "u32"), ("dec", "u32"), ("add", "f32"), ("add", "f64"), ("cas", "b16"),
]  # fmt: skip


def program(operation: str, kind: str, space: str, *, returns: bool) -> str:
    bits = int(kind[1:])
    register = "%h" if bits == 16 else "%r" if bits == 32 else "%d"
    second = f", {register}2" if operation == "cas" else ""
    target = f"{register}3, " if returns else ""
    opcode = "atom" if returns else "red"
    size = bits // 8
    store = f"ld.param.u64 %q, [old]; mad.wide.u32 %q, %t, {size}, %q; st.global.b{bits} [%q], {register}3;"
    return f""".version 9.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 memory, .param .u64 place, .param .u64 value, .param .u64 other, .param .u64 old) {{
  .shared .align 16 .b8 s[64]; .reg .b16 %h<4>; .reg .b32 %r<4>, %t, %p, %y; .reg .b64 %d<4>, %q, %m, %z;
  .reg .pred %w, %n;
  mov.u32 %t, %tid.x; setp.lt.u32 %w, %t, 4; mov.u64 %z, s;
  ld.param.u64 %m, [memory]; mad.wide.u32 %q, %t, {size}, %m;
  mad.wide.u32 %d3, %t, {size}, %z;
  @%w ld.global.b{bits} {register}1, [%q]; @%w st.shared.b{bits} [%d3], {register}1;
  bar.sync 0;
  ld.param.u64 %q, [place]; mad.wide.u32 %q, %t, 4, %q; ld.global.u32 %p, [%q];
  ld.param.u64 %q, [value]; mad.wide.u32 %q, %t, {size}, %q; ld.global.b{bits} {register}1, [%q];
  ld.param.u64 %q, [other]; mad.wide.u32 %q, %t, {size}, %q; ld.global.b{bits} {register}2, [%q];
  {"mov.u64 %m, %z;" if space == "shared" else ""}
  mad.wide.u32 %m, %p, {size}, %m;
  {opcode}.{space}.{operation}.{kind} {target}[%m], {register}1{second};
  {store if returns else ""}
  bar.sync 0;
  ld.param.u64 %m, [memory]; mad.wide.u32 %q, %t, {size}, %m; mad.wide.u32 %d3, %t, {size}, %z;
  {f"@%w ld.shared.b{bits} {register}1, [%d3]; @%w st.global.b{bits} [%q], {register}1;" if space == "shared" else ""}
  ret; }}"""


@pytest.mark.parametrize("space", ["global", "shared"])
@pytest.mark.parametrize(("operation", "kind"), CASES)
def test_atomics_act_one_after_another(operation: str, kind: str, space: str) -> None:
    rng = np.random.default_rng()
    dtype = np.dtype({"u": "u", "s": "i", "b": "u", "f": "f"}[kind[0]] + str(int(kind[1:]) // 8))
    place = rng.integers(0, 4, N).astype(np.uint32)
    start, value, other = (rng.integers(0, 9, n).astype(dtype) for n in (4, N, N))
    for returns in (True, False) if operation not in ("exch", "cas") else (True,):
        memory, old = start.copy(), np.zeros(N, dtype)
        report = vm.run(
            program(operation, kind, space, returns=returns),
            "k",
            1,
            N,
            [memory, place, value, other, old],
        )
        want, found = start.copy(), np.zeros(N, dtype)
        for lane in range(N):
            found[lane] = want[place[lane]]
            want[place[lane]] = OPERATIONS[operation](want[place[lane]], value[lane], other[lane])
        np.testing.assert_array_equal(memory, want)
        if returns:
            np.testing.assert_array_equal(old, found)
        assert report.races == []


@pytest.mark.parametrize("kind", ["f16x2", "bf16x2"])
def test_packed_halves_add_element_by_element(kind: str) -> None:
    text = program("add", "u32", "global", returns=False).replace(
        "red.global.add.u32", f"red.global.add.noftz.{kind}"
    )
    one = np.uint32(0x3C003C00 if kind == "f16x2" else 0x3F803F80)
    memory, value = np.zeros(4, np.uint32), np.full(N, one)
    place = (np.arange(N) % 4).astype(np.uint32)
    vm.run(text, "k", 1, N, [memory, place, value, value, np.zeros(N, np.uint32)])
    assert (memory == (0x54005400 if kind == "f16x2" else 0x42804280)).all()  # 64.0


SUBNORMALS = """.version 9.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 memory, .param .u64 value) {{
  .shared .align 4 .f32 s; .reg .u64 %q, %v; .reg .f32 %f, %g; .reg .u32 %t; .reg .pred %p;
  mov.u32 %t, %tid.x; setp.eq.u32 %p, %t, 0; ld.param.u64 %q, [memory]; ld.param.u64 %v, [value];
  mad.wide.u32 %v, %t, 4, %v; ld.global.f32 %f, [%v];
  ld.global.f32 %g, [%q]; @%p st.shared.f32 [s], %g; bar.sync 0;
  {opcode}.global.add.f32 {global_target}[%q], %f; {opcode}.shared.add.f32 {shared_target}[s], %f;
  bar.sync 0; ld.shared.f32 %g, [s]; @%p st.global.f32 [%q+4], %g; ret; }}"""


@pytest.mark.parametrize("returns", [False, True])
def test_f32_sums_flush_subnormals_in_global_memory_only(returns: bool) -> None:
    tiny = np.float32(2.0**-130)
    names = {"opcode": "atom", "global_target": "%g, ", "shared_target": "%g, "} if returns else {
        "opcode": "red", "global_target": "", "shared_target": ""}  # fmt: skip
    for start, values in (
        (tiny, [tiny, 0]),
        (0, [2.0**-126, -(2.0**-126) + 2.0**-130]),
        (1.5, [2.0, 3.0]),
    ):
        memory = np.array([start, 7], np.float32)
        vm.run(SUBNORMALS.format(**names), "k", 1, 2, [memory, np.array(values, np.float32)])
        full = np.float32(start) + np.float32(values[0]) + np.float32(values[1])
        assert memory[1] == full
        if full > 1:
            assert memory[0] == full
        else:  # a subnormal is zero wherever it appears
            assert memory[0] in (0, np.float32(2.0**-126))


def test_cas_of_128_bits_compares_bits() -> None:
    """As floats, -0 would equal 0, and a NaN not itself."""
    text = """.version 9.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 memory) {
  .reg .u64 %q, %d<3>; .reg .b128 %a, %b, %c; .reg .u32 %t;
  mov.u32 %t, %tid.x; ld.param.u64 %q, [memory]; mad.wide.u32 %q, %t, 48, %q;
  ld.global.b128 %a, [%q+16]; ld.global.b128 %b, [%q+32];
  atom.global.cas.b128 %c, [%q], %a, %b; st.global.b128 [%q+16], %c; ret; }"""
    nan, minus = 0x7FF0DEADBEEF0001, 1 << 63
    rows = [
        [nan, nan, nan, nan, 1, 2],
        [0, 5, minus, 5, 1, 2],
        [minus, nan, minus, nan, 3, 4],
        [7, 0, 7, minus, 1, 2],
    ]
    memory = np.array(rows, np.uint64)
    vm.run(text, "k", 1, 4, [memory])
    want = [[*(r[4:] if r[:2] == r[2:4] else r[:2]), *r[:2], *r[4:]] for r in rows]
    np.testing.assert_array_equal(memory, np.array(want, np.uint64))
