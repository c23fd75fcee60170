"""Matrix instructions against the fragment tables of the PTX manual, written out here once more, lane by lane."""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.tests.vm.references import FORMATS, rounded
from tilewright.tests.vm.registers import program

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n"
WARPS = 3
Place = tuple[int, int]


def place_a(shape: str, bits: int, lane: int, i: int) -> Place:
    """Row and column of a{i} of the multiplicand A."""
    group, thread = lane >> 2, lane % 4
    match shape, bits:
        case "m16n8k4", 32:
            return (group if i == 0 else group + 8), thread
        case "m16n8k8", 32:
            return (group if i in (0, 2) else group + 8), (thread if i < 2 else thread + 4)
        case "m8n8k4", 64:
            return group, thread
        case "m16n8k8", 16:
            return (group if i in (0, 1) else group + 8), thread * 2 + (i & 1)
        case "m16n8k16", 16:
            row = group if 0 <= i < 2 or 4 <= i < 6 else group + 8
            return row, (thread * 2 + (i & 1) if i < 4 else thread * 2 + (i & 1) + 8)
        case "m8n8k16", 8:
            return group, thread * 4 + i
        case "m16n8k16", 8:
            return (group if i < 4 else group + 8), thread * 4 + (i & 3)
        case "m16n8k32", 8:
            row = group if 0 <= i < 4 or 8 <= i < 12 else group + 8
            return row, (thread * 4 + (i & 3) if i < 8 else thread * 4 + (i & 3) + 16)
        case "m8n8k32", 4:
            return group, thread * 8 + (i & 7)
        case "m16n8k32", 4:
            return (group if i < 8 else group + 8), thread * 8 + (i & 7)
        case "m16n8k64", 4:
            row = group if 0 <= i < 8 or 16 <= i < 24 else group + 8
            return row, (thread * 8 + (i & 7) if i < 16 else thread * 8 + (i & 7) + 32)
        case "m16n8k256", 1:
            row = group if 0 <= i < 32 or 64 <= i < 96 else group + 8
            return row, (thread * 32 + (i & 31) if i < 64 else thread * 32 + (i & 31) + 128)
    raise AssertionError((shape, bits))


def place_b(shape: str, bits: int, lane: int, i: int) -> Place:
    """Row and column of b{i} of the multiplicand B."""
    group, thread = lane >> 2, lane % 4
    match shape, bits:
        case ("m16n8k4", 32) | ("m8n8k4", 64):
            return thread, group
        case "m16n8k8", 32:
            return (thread if i == 0 else thread + 4), group
        case "m16n8k8", 16:
            return thread * 2 + i, group
        case "m16n8k16", 16:
            return (thread * 2 + (i & 1) if i < 2 else thread * 2 + (i & 1) + 8), group
        case (("m8n8k16" | "m16n8k16"), 8):
            return thread * 4 + i, group
        case "m16n8k32", 8:
            return (thread * 4 + (i & 3) if i < 4 else thread * 4 + (i & 3) + 16), group
        case (("m8n8k32" | "m16n8k32"), 4):
            return thread * 8 + (i & 7), group
        case "m16n8k64", 4:
            return (thread * 8 + (i & 7) if i < 8 else thread * 8 + (i & 7) + 32), group
        case "m16n8k256", 1:
            return (thread * 32 + (i & 31) if i < 32 else thread * 32 + (i & 31) + 128), group
    raise AssertionError((shape, bits))


def place_c(lane: int, i: int) -> Place:
    """Row and column of c{i}."""
    return (lane >> 2 if i < 2 else (lane >> 2) + 8), (lane % 4) * 2 + (i & 1)


def pack(matrix: np.ndarray, place: Any, shape: str, bits: int) -> np.ndarray:
    """Element codes (warps, rows, columns) to registers (warps, registers, lanes) of 32 (or 64) bits."""
    count = matrix[0].size // 32
    wide = 64 if bits == 64 else 32
    per = wide // bits
    registers = np.zeros((len(matrix), count // per, 32), f"u{wide // 8}")
    for lane in range(32):
        for i in range(count):
            row, column = place(shape, bits, lane, i)
            code = matrix[:, row, column].astype(registers.dtype)
            registers[:, i // per, lane] |= code << registers.dtype.type(i % per * bits)
    return registers


FORMS = [
    ("m16n8k8", "f16", "f32"), ("m16n8k16", "f16", "f32"), ("m16n8k16", "f16", "f16"), ("m16n8k8", "bf16", "f32"),
    ("m16n8k16", "bf16", "f32"), ("m16n8k4", "tf32", "f32"), ("m16n8k8", "tf32", "f32"), ("m8n8k4", "f64", "f64"),
    ("m8n8k16", "s8", "s32"), ("m16n8k16", "s8", "s32"), ("m16n8k32", "s8", "s32"), ("m16n8k32", "u8", "s32"),
    ("m16n8k32", "e4m3", "f32"), ("m16n8k32", "e5m2", "f32"), ("m8n8k32", "s4", "s32"), ("m16n8k32", "u4", "s32"),
    ("m16n8k64", "s4", "s32"), ("m16n8k256", "b1", "s32"),
]  # fmt: skip
CODES: dict[str, tuple[int, Any]] = {
    "f16": (16, np.float16), "bf16": (16, ml_dtypes.bfloat16), "tf32": (32, np.float32), "f64": (64, np.float64),
    "s8": (8, np.int8), "u8": (8, np.uint8), "e4m3": (8, ml_dtypes.float8_e4m3fn), "e5m2": (8, ml_dtypes.float8_e5m2),
    "s4": (4, None), "u4": (4, None), "b1": (1, None),
}  # fmt: skip


def values(kind: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Random small values: codes, and what they mean in float64."""
    rng = np.random.default_rng()
    bits, dtype = CODES[kind]
    if kind in ("s4", "u4", "b1"):
        codes = rng.integers(0, 1 << bits, shape)
        meaning = np.where((codes >= 8) & (kind == "s4"), codes - 16, codes)
        return codes.astype(np.uint32), meaning.astype("f8")
    small = rng.integers(0 if kind == "u8" else -4, 5, shape).astype(dtype)
    if kind in ("s8", "u8"):
        small = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
    return small.view(f"u{bits // 8}"), small.astype("f8")


@pytest.mark.parametrize(("shape", "kind", "result"), FORMS)
def test_mma_fragments(run_ptx: Any, shape: str, kind: str, result: str) -> None:
    m, rest = shape[1:].split("n")
    n, k = (int(x) for x in rest.split("k"))
    m = int(m)
    bits = CODES[kind][0]
    a_codes, a = values(kind, (WARPS, m, k))
    b_codes, b = values(kind, (WARPS, k, n))
    c = np.random.default_rng().integers(-9, 10, (WARPS, m, n)).astype("f8")
    wide = 64 if bits == 64 else 32
    fragments = [pack(a_codes, place_a, shape, bits), pack(b_codes, place_b, shape, bits)]
    c_dtype = {"f32": np.float32, "f16": np.float16, "s32": np.int32, "f64": np.float64}[result]
    c_bits = np.dtype(c_dtype).itemsize * 8
    raw = c.astype(c_dtype).view(f"u{c_bits // 8}")
    fragments.append(pack(raw, lambda s, b, lane, i: place_c(lane, i), shape, c_bits))
    counts = [f.shape[1] for f in fragments]
    data = np.concatenate([f.astype(f"u{wide // 8}") for f in fragments], axis=1)
    names = [f"%v{i}" for i in range(sum(counts))]
    groups = np.split(np.array(names), np.cumsum(counts)[:-1])
    loads = "\n".join(
        f"ld.global.b{wide} {x}, [%q+{i * 32 * wide // 8}];" for i, x in enumerate(names)
    )
    stores = "\n".join(
        f"st.global.b{wide} [%s+{i * 32 * wide // 8}], %d{i};" for i in range(counts[2])
    )
    braces = ["{" + ", ".join(g) + "}" for g in groups]
    d = "{" + ", ".join(f"%d{i}" for i in range(counts[2])) + "}"
    extra = ".xor.popc" if kind == "b1" else ""
    types = f"{result}.{kind}.{kind}.{result}"
    text = f"""{HEAD}.visible .entry k(.param .u64 a, .param .u64 b) {{
    .reg .b{wide} %v<{len(names)}>, %d<{counts[2]}>; .reg .u64 %q, %s; .reg .u32 %t, %w, %l;
    mov.u32 %t, %tid.x; shr.u32 %w, %t, 5; and.b32 %l, %t, 31;
    ld.param.u64 %q, [a]; ld.param.u64 %s, [b];
    mad.wide.u32 %q, %w, {len(names) * 32 * wide // 8}, %q; mad.wide.u32 %q, %l, {wide // 8}, %q;
    mad.wide.u32 %s, %w, {counts[2] * 32 * wide // 8}, %s; mad.wide.u32 %s, %l, {wide // 8}, %s;
    {loads}
    mma.sync.aligned.{shape}.row.col.{types}{extra} {d}, {", ".join(braces)};
    {stores}
    ret; }}"""
    got = np.zeros((WARPS, counts[2], 32), f"u{wide // 8}")
    report = run_ptx(text, "k", 1, 32 * WARPS, [data, got])
    product = (a[:, :, :, None] != b[:, None]).sum(axis=2) if kind == "b1" else a @ b
    want = pack((product + c).astype(c_dtype).view(f"u{c_bits // 8}"),
                lambda s, b, lane, i: place_c(lane, i), shape, c_bits)  # fmt: skip
    np.testing.assert_array_equal(got, want.astype(got.dtype))
    assert report is None or report.counters["mma_flops"] == {kind: 2 * m * n * k * WARPS}


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("trans", ["", ".trans"])
def test_ldmatrix_and_stmatrix(run_ptx: Any, count: int, trans: str) -> None:
    """Matrix j's row r is at the address of lane 8j + r; lane l gets row l / 4, columns 2(l % 4) and the next."""
    rng = np.random.default_rng()
    x = rng.integers(0, 1 << 16, (count, 8, 8), dtype=np.uint16)
    order = rng.permutation(8 * count)  # rows stand anywhere in shared memory
    registers = [f"%r{i}" for i in range(count)]
    vector = "{" + ", ".join(registers) + "}"
    outputs = "\n".join(f"st.global.b32 [%s+{128 * i}], {r};" for i, r in enumerate(registers))
    text = f"""{HEAD}.visible .entry k(.param .u64 a, .param .u64 o, .param .u64 p, .param .u64 b) {{
    .shared .align 16 .b8 tile[512]; .reg .b32 %r<4>, %t, %y, %a, %z; .reg .u64 %q, %s; .reg .b64 %v; .reg .pred %p;
    mov.u32 %t, %tid.x; mov.u32 %y, tile;
    setp.ge.u32 %p, %t, {8 * count}; mov.u32 %a, %y;
    ld.param.u64 %q, [p]; mad.wide.u32 %q, %t, 4, %q; @!%p ld.global.u32 %z, [%q];
    @!%p mad.lo.u32 %a, %z, 16, %y;
    ld.param.u64 %q, [a]; mad.wide.u32 %q, %t, 16, %q; mad.lo.u32 %z, %t, 16, %y;
    .reg .b64 %e, %f; @!%p ld.global.v2.b64 {{%e, %f}}, [%q]; @!%p st.shared.v2.b64 [%z], {{%e, %f}};
    bar.warp.sync -1;
    ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {vector}, [%a];
    ld.param.u64 %s, [o]; mad.wide.u32 %s, %t, 4, %s;
    {outputs}
    bar.warp.sync -1;
    stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 [%a], {vector};
    bar.warp.sync -1;
    ld.param.u64 %q, [b]; mad.wide.u32 %q, %t, 16, %q;
    @!%p ld.shared.v2.b64 {{%e, %f}}, [%z]; @!%p st.global.v2.b64 [%q], {{%e, %f}};
    ret; }}"""
    memory = np.zeros((8 * count, 8), np.uint16)
    memory[order] = x.reshape(-1, 8)
    got, back = np.zeros((count, 32, 2), np.uint16), np.zeros((8 * count, 8), np.uint16)
    report = run_ptx(text, "k", 1, 32, [memory, got, order.astype(np.uint32), back])
    for j in range(count):
        matrix = x[j].T if trans else x[j]
        for lane in range(32):
            want = matrix[lane // 4, 2 * (lane % 4) : 2 * (lane % 4) + 2]
            np.testing.assert_array_equal(got[j, lane], want)
    np.testing.assert_array_equal(back, memory)
    assert report is None or report.races == []


@pytest.mark.parametrize("mode", ["rz", "rm", "rp"])
def test_f64_products_round_in_every_direction(run_ptx: Any, mode: str) -> None:
    """One fused multiply-add after another, which is one of the orders that the manual allows."""
    rng = np.random.default_rng()
    a, b, c = (rng.standard_normal((1, r, 32)) for r in (1, 1, 2))
    text = program(
        f"mma.sync.aligned.m8n8k4.row.col.{mode}.f64.f64.f64.f64 {{%d0, %d1}}, {{%a0}}, {{%b0}}, {{%c0, %c1}};",
        [("a", 1, 64), ("b", 1, 64), ("c", 2, 64)], ("d", 2, 64),
    )  # fmt: skip
    got = np.zeros((1, 2, 32))
    run_ptx(text, "k", 1, 32, [a, b, c, got])
    for lane, i in itertools.product(range(32), range(2)):
        row, column = lane >> 2, (lane % 4) * 2 + i
        total = Fraction(float(c[0, i, lane]))
        for k in range(4):
            exact = (
                Fraction(float(a[0, 0, 4 * row + k])) * Fraction(float(b[0, 0, 4 * column + k]))
                + total
            )
            total = Fraction(rounded(exact, mode, FORMATS["f64"])) if exact else exact
        assert got[0, i, lane] == float(total)
