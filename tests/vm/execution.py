"""One instruction on many values: a program around it, inputs of every awkward kind, comparisons.

`execute` is a fixture, so that tests/gpu runs the same cases on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

N = 1024
CHECKED = 384  # of them, where a reference in Python is slow
_LETTER = {"u": "u", "s": "i", "b": "u", "f": "f"}
_PACKED = {"f16x2": 32, "bf16x2": 32, "bf16": 16, "tf32": 32, "u16x2": 32, "s16x2": 32,
           "e4m3x2": 16, "e5m2x2": 16}  # fmt: skip
Execute = Callable[[str, "list[tuple[str, np.ndarray]]", str], np.ndarray]


def bits_of(kind: str) -> int:
    return _PACKED.get(kind) or int(kind[1:])


def dtype_of(kind: str) -> Any:
    if kind in _PACKED:
        return np.dtype(f"u{bits_of(kind) // 8}")
    return np.dtype(f"{_LETTER[kind[0]]}{bits_of(kind) // 8}")


def execute_with(
    run: Any, body: str, sources: list[tuple[str, np.ndarray]], target: str
) -> np.ndarray:
    """Runs `body`, which computes %o from %a, %b, %c, %d, for each element; `run` is `vm.run`."""
    n = len(sources[0][1])
    lines = []
    for index, (kind, _) in enumerate(sources):
        bits = bits_of(kind)
        lines.append(f".reg .b{bits} %{'abcd'[index]};")
        lines.append(
            f"ld.param.u64 %q, [p{index}]; mad.wide.u32 %q, %i, {bits // 8}, %q; "
            f"ld.global.b{bits} %{'abcd'[index]}, [%q];"
        )
    out = bits_of(target)
    params = ", ".join(f".param .u64 p{i}" for i in range(len(sources) + 1))
    text = f"""
.version 9.0
.target sm_90a
.address_size 64
.visible .entry k({params}) {{
  .reg .u64 %q; .reg .u32 %i, %t, %n; .reg .b{out} %o; .reg .pred %p, %p1, %p2;
  .reg .b32 %x, %y, %z; .reg .b64 %w, %w1; .reg .b16 %h, %h1;
  mov.u32 %t, %tid.x; mov.u32 %i, %ctaid.x; mov.u32 %n, %ntid.x; mad.lo.u32 %i, %i, %n, %t;
  {chr(10).join(lines)}
  {body}
  ld.param.u64 %q, [p{len(sources)}]; mad.wide.u32 %q, %i, {out // 8}, %q;
  st.global.b{out} [%q], %o;
  ret;
}}"""
    result = np.zeros(n, dtype_of(target))
    arrays = [
        np.ascontiguousarray(values.view(f"u{bits_of(kind) // 8}")) for kind, values in sources
    ]
    block = 128
    assert n % block == 0
    run(text, "k", n // block, block, [*arrays, result], checks="off")
    return result


def integers(kind: str, *, small: bool = False) -> np.ndarray:
    """Random over the whole range, and often at its edges; `small`: shift amounts and the like."""
    rng = np.random.default_rng()
    info = np.iinfo(dtype_of(kind))
    edges = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 31, 32, 33, 63, 64, 65, 7]
    values = [e for e in edges if info.min <= e <= info.max]
    if small:
        return rng.integers(0, 70, N).astype(dtype_of(kind))
    result = rng.integers(info.min, info.max, N, dtype=dtype_of(kind), endpoint=True)
    result[: len(values) * 8] = rng.permutation(np.repeat(np.array(values, dtype_of(kind)), 8))
    return rng.permutation(result)


def wrap(value: int, kind: str) -> int:
    bits = bits_of(kind)
    value &= (1 << bits) - 1
    return value - (1 << bits) if kind[0] == "s" and value >> (bits - 1) else value


def floats(kind: str) -> np.ndarray:
    """Random bits, values near each other, subnormals, zeros, infinities, NaN."""
    rng = np.random.default_rng()
    bits = bits_of(kind)
    raw = rng.integers(0, 1 << bits, N, dtype=f"u{bits // 8}" if bits < 64 else np.uint64)
    dtype = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16}[
        kind
    ]
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 3.0], dtype)
    values = raw.view(dtype)
    values[: 20 * len(special)] = np.tile(special, 20)
    near = rng.standard_normal(N // 2).astype(dtype)
    values[N // 2 :] = near
    return rng.permutation(values)


def drawn(kind: str, *, small: bool = False) -> np.ndarray:
    """Values of any type, seen as what the instruction reads: floats as their codes."""
    if kind in ("f16x2", "bf16x2"):
        low, high = (drawn(kind.removesuffix("x2")).astype(np.uint32) for _ in range(2))
        return high << np.uint32(16) | low
    if kind in ("f16", "bf16", "f32", "f64"):
        values = floats(kind).view(f"u{bits_of(kind) // 8}")
        rng, top = np.random.default_rng(), bits_of(kind) - 1
        tiny = rng.integers(0, 1 << (bits_of(kind) // 3), N // 16).astype(values.dtype)
        sign = rng.integers(0, 2, N // 16).astype(values.dtype) << values.dtype.type(top)
        values[: len(tiny)] = tiny | sign  # subnormals
        return values[rng.permutation(N)]
    return integers(kind if kind in ("s16", "s32", "s64") else f"u{bits_of(kind)}", small=small)


def check(
    execute: Execute, text: str, sources: Sequence[str], target: str,
    reference: Callable[..., int | None], *, small: Sequence[int] = (),
) -> None:  # fmt: skip
    """Compares codes; `reference` gets one Python integer per source (None: open)."""
    values = [(kind, drawn(kind, small=i in small)[:CHECKED]) for i, kind in enumerate(sources)]
    got = execute(text, values, target)
    rows = zip(*(v.tolist() for _, v in values), strict=True)
    for index, row in enumerate(rows):
        want = reference(*row)
        if want is None:
            continue
        have = (
            int(got[index]) if got.dtype.kind in "iu" else int(got.view(f"u{got.itemsize}")[index])
        )
        bits = bits_of(target)
        if ".relu" in text:  # what becomes of -0 is open
            have, want = (_without_minus_zero(code, target) for code in (have, want))
        same = (have - want) & ((1 << bits) - 1) == 0
        if not same:
            same = is_nan(have, target) and is_nan(want, target)
        assert same, f"{text}: {[hex(v) for v in row]} gave {have:#x}, not {want:#x}"


_PARTS = {"f16": 16, "bf16": 16, "f16x2": 16, "bf16x2": 16, "f32": 32, "u16": 8}


def _without_minus_zero(code: int, target: str) -> int:
    """A code whose floats that are -0 are +0 (`u16`: a pair of 8-bit floats)."""
    part = _PARTS.get(target)
    for shift in range(0, bits_of(target), part) if part else ():
        if code >> shift & ((1 << part) - 1) == 1 << (part - 1):
            code &= ~(1 << (shift + part - 1))
    return code


_EXPONENTS = {"f16": 0x7C00, "bf16": 0x7F80, "f32": 0x7F800000, "f64": 0x7FF0 << 48}


def is_nan(code: int, kind: str) -> bool:
    """Whether a code is a NaN; of pairs only both halves together are known to be the same."""
    bits = _EXPONENTS.get(kind)
    return bits is not None and code & (bits | bits >> 1 | (bits & -bits) - 1) > bits
