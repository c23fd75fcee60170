"""wmma: loads, products and stores of every shape and type, through memory only (fragments are opaque)."""

# ruff: noqa: E501  (lines of PTX stay whole)

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime import vm

# shape, type of A and B, their registers, type of C and D, its registers
FORMS = [
    *((shape, "f16", (8, 8), result, 4 if result == "f16" else 8)
      for shape in ("m16n16k16", "m8n32k16", "m32n8k16") for result in ("f16", "f32")),
    ("m16n16k16", "bf16", (4, 4), "f32", 8), ("m8n32k16", "bf16", (2, 8), "f32", 8),
    ("m32n8k16", "bf16", (8, 2), "f32", 8), ("m16n16k8", "tf32", (4, 4), "f32", 8),
    ("m8n8k4", "f64", (1, 1), "f64", 2),
    *((shape, kind, counts, "s32", 8) for kind in ("s8", "u8")
      for shape, counts in (("m16n16k16", (2, 2)), ("m8n32k16", (1, 4)), ("m32n8k16", (4, 1)))),
    ("m8n8k32", "s4", (1, 1), "s32", 2), ("m8n8k32", "u4", (1, 1), "s32", 2),
    ("m8n8k128", "b1", (1, 1), "s32", 2),
]  # fmt: skip
DTYPES: dict[str, Any] = {
    "f16": np.float16, "bf16": ml_dtypes.bfloat16, "tf32": np.float32, "f64": np.float64,
    "s8": np.int8, "u8": np.uint8, "f32": np.float32, "s32": np.int32,
}  # fmt: skip
BITS = {"s4": 4, "u4": 4, "b1": 1}


def draw(kind: str, rows: int, columns: int) -> np.ndarray:
    """Small integers, whose products and sums are exact in every type."""
    low, high = {"u8": (0, 256), "u4": (0, 16), "b1": (0, 2), "s4": (-8, 8)}.get(kind, (-3, 4))
    return np.random.default_rng().integers(low, high, (rows, columns))


def stored(matrix: np.ndarray, kind: str, layout: str, extra: int) -> tuple[np.ndarray, int]:
    """The bytes of a matrix with `extra` elements of poison between its lines, and its stride."""
    lines = matrix if layout == "row" else matrix.T
    padded = np.full((lines.shape[0], lines.shape[1] + extra), 1)
    padded[:, : lines.shape[1]] = lines
    bits = BITS.get(kind)
    if bits is None:
        return np.ascontiguousarray(padded.astype(DTYPES[kind])), padded.shape[1]
    codes = padded.reshape(-1, 8 // bits) & ((1 << bits) - 1)
    packed = (codes << (bits * np.arange(8 // bits))).sum(1).astype(np.uint8)
    return packed, padded.shape[1]


def names(letter: str, count: int) -> str:
    return "{" + ", ".join(f"%{letter}{i}" for i in range(count)) + "}"


def program(
    form: Any, layouts: tuple[str, str, str], strides: tuple[int, int, int], space: str
) -> str:
    shape, kind, counts, result, registers = form
    wide = "b64" if kind == "f64" else "b32"
    accumulator = {"f16": "b32", "s32": "b32"}.get(result, result)
    types = {"f16": f"{result}.{result}"}.get(kind, f"{result}.{kind}.{kind}.{result}")
    operation = "xor.popc." if kind == "b1" else ""
    row, column, c_layout = layouts
    return f"""
.version 9.0
.target sm_90a
.address_size 64
.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d) {{
  .reg .{wide} %a<9>, %b<9>; .reg .{accumulator} %c<9>; .reg .u64 %p, %q; .reg .u32 %s, %w; .reg .b32 %v;
  .shared .align 32 .b8 tile[8192]; .reg .pred %t;
  mov.u32 %w, %tid.y;
  ld.param.u64 %p, [a]; mov.u32 %s, {strides[0]};
  wmma.load.a.sync.aligned.{row}.{shape}.global.{kind} {names("a", counts[0])}, [%p], %s;
  ld.param.u64 %p, [b];
  wmma.load.b.sync.aligned.{column}.{shape}.{kind} {names("b", counts[1])}, [%p], {strides[1]};
  ld.param.u64 %p, [c];
  wmma.load.c.sync.aligned.{c_layout}.{shape}.global.{result} {names("c", registers)}, [%p], {strides[2]};
  wmma.mma.{operation}sync.aligned.{row}.{column}.{shape}.{types} {names("c", registers)}, {names("a", counts[0])}, {names("b", counts[1])}, {names("c", registers)};
  ld.param.u64 %p, [d];
  wmma.store.d.sync.aligned.{c_layout}.{shape}{space}.{result} [%p], {names("c", registers)}, {strides[2]};
  ret;
}}"""


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f"{f[0]}-{f[1]}-{f[3]}")
def test_wmma_multiplies_what_it_loads(run_ptx: Any, form: Any) -> None:
    shape, kind, _, result, _ = form
    m, rest = shape[1:].split("n")
    n, k = (int(x) for x in rest.split("k"))
    m = int(m)
    a, b, c = draw(kind, m, k), draw(kind, k, n), draw(result, m, n)
    small = kind in BITS
    choices = [("row", "col", "row"), ("row", "col", "col")] if small else [
        (x, y, z) for x in ("row", "col") for y in ("row", "col") for z in ("row", "col")]  # fmt: skip
    for layouts in choices:
        extras = (128, 128, 4) if small else (16, 8, 4)
        (x, lda), (y, ldb), (z, ldc) = (
            stored(v, t, layout, extra)
            for v, t, layout, extra in zip(
                (a, b, c), (kind, kind, result), layouts, extras, strict=True
            )
        )
        got = np.full_like(z, 77)
        text = program(form, layouts, (lda, ldb, ldc), ".global")
        report = run_ptx(text, "k", 1, 32, [x, y, z, got])
        if kind == "b1":
            product = (a[:, :, None] != b[None]).sum(1)
        else:
            product = a @ b
        want = (product + c) if layouts[2] == "row" else (product + c).T
        np.testing.assert_array_equal(got[:, : want.shape[1]], want.astype(got.dtype))
        assert (got[:, want.shape[1] :] == 77).all(), "the padding was written"
        if report is None:  # a GPU has none
            continue
        assert report.races == [] and report.warnings == []
        assert report.counters["mma_flops"] == {kind: 2 * m * n * k}


def test_wmma_of_rows_that_are_out_of_bounds_is_a_fault() -> None:
    form = FORMS[1]
    x = np.zeros((16, 16), np.float16)
    text = program(form, ("row", "col", "row"), (16, 16, 16), ".global")
    with pytest.raises(vm.Fault, match=r"wmma\.load\.b"):
        vm.run(
            text, "k", 1, 32, [x, x[:8].copy(), np.zeros((16, 16), "f4"), np.zeros((16, 16), "f4")]
        )
