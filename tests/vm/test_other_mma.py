"""mma.m8n8k4 of f16 and mma.sp, against the manual's layouts, written out lane by lane."""

# ruff: noqa: E501  (lines of PTX stay whole)

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime import vm
from tilewright.tests.vm.registers import pack, program, vector

WARPS = 2


def small(rows: int, columns: int, kind: str = "f16") -> np.ndarray:
    low, high = {"u8": (0, 256), "s8": (-128, 128), "u4": (0, 16), "s4": (-8, 8)}.get(kind, (-4, 5))
    return np.random.default_rng().integers(low, high, (WARPS, rows, columns))


DTYPES: dict[str, Any] = {
    "f16": np.float16, "bf16": ml_dtypes.bfloat16, "tf32": np.float32, "s8": np.int8, "u8": np.uint8,
    "e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2, "f32": np.float32, "s32": np.int32,
}  # fmt: skip
BITS = {"f16": 16, "bf16": 16, "tf32": 32, "s8": 8, "u8": 8, "e4m3": 8, "e5m2": 8, "s4": 4, "u4": 4,
        "f32": 32, "s32": 32}  # fmt: skip


def codes(matrix: np.ndarray, kind: str) -> np.ndarray:
    """Element codes of small integers."""
    if kind in ("s4", "u4"):
        return matrix & 15
    return matrix.astype(DTYPES[kind]).view(f"u{BITS[kind] // 8}")


# -- m8n8k4 --------------------------------------------------------------------------------------


def quad_places(role: str, layout: str) -> list[list[tuple[int, int]]]:
    """Places in the four stacked matrices, with the manual's expressions."""
    found = []
    for lane in range(32):
        product = (lane % 16) // 4
        if role == "a" and layout == "row":
            mine = [((lane % 4) if lane < 16 else (lane % 4) + 4, i) for i in range(4)]
        elif role == "a":
            mine = [((i % 4) if lane < 16 else (i % 4) + 4, lane % 4) for i in range(4)]
        elif role == "b" and layout == "row":
            mine = [(lane % 4, i if lane < 16 else i + 4) for i in range(4)]
        elif role == "b":
            mine = [(i, lane % 4 if lane < 16 else (lane % 4) + 4) for i in range(4)]
        elif layout == "f16":
            mine = [((lane % 4) if lane < 16 else (lane % 4) + 4, i) for i in range(8)]
        else:
            mine = []
            for i in range(8):
                x = (lane & 1) + (i & 2)
                mine.append((x if lane < 16 else x + 4, (i & 4) + (lane & 2) + (i & 1)))
        rows = 4 if role == "b" else 8
        found.append([(rows * product + row, column) for row, column in mine])
    return found


@pytest.mark.parametrize(("d", "c"), [("f16", "f16"), ("f32", "f16"), ("f32", "f32")])
@pytest.mark.parametrize(("la", "lb"), list(itertools.product(("row", "col"), repeat=2)))
def test_m8n8k4_is_four_products(run_ptx: Any, la: str, lb: str, d: str, c: str) -> None:
    a, b, addend = small(32, 4), small(16, 8), small(32, 8)
    inputs = [
        pack(codes(a, "f16"), quad_places("a", la), 16),
        pack(codes(b, "f16"), quad_places("b", lb), 16),
        pack(codes(addend, c), quad_places("c", c), BITS[c]),
    ]
    counts = [x.shape[1] for x in inputs]
    registers = 4 if d == "f16" else 8
    text = program(
        f"mma.sync.aligned.m8n8k4.{la}.{lb}.{d}.f16.f16.{c} {vector('d', registers)}, "
        f"{vector('a', counts[0])}, {vector('b', counts[1])}, {vector('c', counts[2])};",
        [("a", counts[0], 32), ("b", counts[1], 32), ("c", counts[2], 32)], ("d", registers, 32),
    )  # fmt: skip
    got = np.zeros((WARPS, registers, 32), np.uint32)
    report = run_ptx(text, "k", 1, 32 * WARPS, [*inputs, got])
    product = a.reshape(WARPS, 4, 8, 4) @ b.reshape(WARPS, 4, 4, 8)
    want = product.reshape(WARPS, 32, 8) + addend
    np.testing.assert_array_equal(got, pack(codes(want, d), quad_places("c", d), BITS[d]))
    assert report is None or report.counters["mma_flops"] == {"f16": WARPS * 4 * 2 * 8 * 8 * 4}


# -- sparse --------------------------------------------------------------------------------------

SPARSE = [
    ("m16n8k16", "f16", "f16"), ("m16n8k16", "f16", "f32"), ("m16n8k16", "bf16", "f32"),
    ("m16n8k32", "f16", "f16"), ("m16n8k32", "bf16", "f32"), ("m16n8k8", "tf32", "f32"),
    ("m16n8k16", "tf32", "f32"), ("m16n8k32", "s8", "s32"), ("m16n8k32", "u8", "s32"),
    ("m16n8k64", "s8", "s32"), ("m16n8k64", "e4m3", "f32"), ("m16n8k64", "e5m2", "f32"),
    ("m16n8k64", "s4", "s32"), ("m16n8k128", "u4", "s32"),
]  # fmt: skip
LARGE = {
    "f16": 32,
    "bf16": 32,
    "tf32": 16,
    "s8": 64,
    "u8": 64,
    "e4m3": 64,
    "e5m2": 64,
    "s4": 128,
    "u4": 128,
}


def stored_places(k: int, bits: int) -> list[list[tuple[int, int]]]:
    """Of A's stored half: the manual's first columns, of which half are stored."""
    per = 32 // bits  # elements of a register, which come out of twice as many columns
    count = 16 * k // 2 // 32
    found = []
    for lane in range(32):
        group, thread = lane >> 2, lane % 4
        mine = []
        for i in range(count):
            first = thread * 2 * per + (8 * per if i >= 2 * per else 0)
            row = group if (i // per) % 2 == 0 else group + 8
            mine.append((row, first // 2 + i % per))
        found.append(mine)
    return found


def b_places(k: int, bits: int) -> list[list[tuple[int, int]]]:
    per = 32 // bits
    return [
        [((lane % 4) * per + i % per + i // per * 4 * per, lane >> 2) for i in range(k * 8 // 32)]
        for lane in range(32)
    ]


def c_places() -> list[list[tuple[int, int]]]:
    return [
        [((lane >> 2) + 8 * (i >> 1), (lane % 4) * 2 + (i & 1)) for i in range(4)]
        for lane in range(32)
    ]


def choose(k: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Random structure: metadata nibbles (warps, 16, chunks), and columns of the stored elements."""
    rng = np.random.default_rng()
    unit = 2 if kind in ("s4", "u4") else 1
    if kind == "tf32":
        which = rng.integers(0, 2, (WARPS, 16, k // 2))
        return np.where(which, 0b1110, 0b0100), 2 * np.arange(k // 2) + which
    chunks = k // (4 * unit)
    pairs = np.array(list(itertools.combinations(range(4), 2)))[
        rng.integers(0, 6, (WARPS, 16, chunks))
    ]
    units = (4 * np.arange(chunks)[:, None] + pairs).reshape(WARPS, 16, -1)
    columns = (unit * units[..., None] + np.arange(unit)).reshape(WARPS, 16, -1)
    return pairs[..., 0] | pairs[..., 1] << 2, columns


def metadata(nibbles: np.ndarray, kind: str, k: int, selector: int) -> np.ndarray:
    """The metadata register, (warps, 1, lanes), random in the lanes that hold none."""
    words = np.random.default_rng().integers(0, 1 << 32, (WARPS, 1, 32), dtype=np.uint64)
    narrow = kind in ("f16", "bf16", "tf32")
    large = k == LARGE[kind]
    per_word = 4 if narrow else 8
    for group in range(8):
        for upper in range(2):
            row = nibbles[:, group + 8 * upper]
            for half in range(2 if large else 1):
                part = row[:, half * per_word : (half + 1) * per_word]
                word = (
                    (part.astype(np.uint64) << (4 * np.arange(per_word, dtype=np.uint64)))
                    .sum(1)
                    .astype(np.uint64)
                )
                if narrow:
                    lane = 4 * group + (2 * selector + half if large else selector)
                    keep = words[:, 0, lane] & np.uint64(0xFFFF << (16 * (1 - upper)))
                    words[:, 0, lane] = keep | word << np.uint64(16 * upper)
                else:
                    words[:, 0, 4 * group + 2 * (half if large else selector) + upper] = word
    return words.astype(np.uint32)


@pytest.mark.parametrize("ordered", ["", "::ordered_metadata"])
@pytest.mark.parametrize(("shape", "kind", "result"), SPARSE)
def test_sparse_products(run_ptx: Any, shape: str, kind: str, result: str, ordered: str) -> None:
    k = int(shape.split("k")[1])
    bits, large = BITS[kind], k == LARGE[kind]
    narrow = kind in ("f16", "bf16", "tf32")
    lanes = (2 if large else 1) * (1 if narrow else 2)
    stored, b, addend = small(16, k // 2, kind), small(k, 8, kind), small(16, 8)
    nibbles, columns = choose(k, kind)
    dense = np.zeros((WARPS, 16, k), np.int64)
    np.put_along_axis(dense, columns, stored, axis=2)
    want = dense @ b + addend
    for selector in range(4 // lanes):
        inputs = [
            pack(codes(stored, kind), stored_places(k, bits), bits),
            pack(codes(b, kind), b_places(k, bits), bits),
            pack(codes(addend, result), c_places(), BITS[result]),
            metadata(nibbles, kind, k, selector),
        ]
        counts = [x.shape[1] for x in inputs]
        registers = counts[2]
        types = f"{result}.{kind}.{kind}.{result}"
        text = program(
            f"mma.sp{ordered}.sync.aligned.{shape}.row.col.{types} {vector('d', registers)}, "
            f"{vector('a', counts[0])}, {vector('b', counts[1])}, {vector('c', counts[2])}, %e0, {selector};",
            [(letter, count, 32) for letter, count in zip("abce", counts, strict=True)],
            ("d", registers, 32),
        )
        got = np.zeros((WARPS, registers, 32), np.uint32)
        run_ptx(text, "k", 1, 32 * WARPS, [*inputs, got])
        np.testing.assert_array_equal(got, pack(codes(want, result), c_places(), BITS[result]))


def test_impossible_metadata_is_a_fault() -> None:
    inputs = [np.zeros((1, n, 32), np.uint32) for n in (2, 2, 2, 1)]  # indices 0 and 0
    text = program(
        "mma.sp.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%d0, %d1}, {%a0, %a1}, {%b0, %b1}, {%c0, %c1}, %e0, 0;",
        [("a", 2, 32), ("b", 2, 32), ("c", 2, 32), ("e", 1, 32)], ("d", 2, 32),
    )  # fmt: skip
    with pytest.raises(vm.Fault, match="metadata"):
        vm.run(text, "k", 1, 32, [*inputs, np.zeros((1, 2, 32), np.uint32)])
