"""Casts: every pair of types agrees with `ir.types`, on special values and on random ones."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.types import DType, parse_dtype
from tilewright.tests.codegen.cuda.harness import Tensor, run_both, tensor_text

NAMES = (
    *("bool", "u1", "u2", "u3", "i4", "u5", "i6", "i7", "u8", "i8", "u16", "i16", "u32", "i32"),
    *("u64", "i64", "f16", "bf16", "tf32", "f32", "f64", "f8e4m3", "f8e5m2", "f4e2m1", "f6e3m2"),
    *("f6e2m3", "f3_e1m1", "f5_e4m0", "f8_e2m5", "f8_e6m1", "f8_e7m0", "e8m0", "nf4"),
)
COUNT = 512


def values_of(dtype: DType, rng: np.random.Generator) -> np.ndarray:
    """All codes up to 8 bits; above, special values and random codes."""
    if dtype.bits <= 8:
        codes = np.arange(COUNT) % (1 << dtype.bits)
        values = dtype.decode(codes.astype(dtype.container))
        return np.asarray(values != 0 if dtype.kind == "bool" else values)
    high = (1 << dtype.bits) - 1
    codes = rng.integers(0, high, COUNT, dtype=np.uint64, endpoint=True).astype(dtype.container)
    values = dtype.decode(codes)
    if dtype.is_float:
        near = rng.standard_normal(COUNT // 2) * 2.0 ** rng.integers(-20, 20, COUNT // 2)
        with np.errstate(over="ignore"):
            values[: COUNT // 2] = dtype.decode(dtype.encode(near))
            edges = [
                0.0,
                -0.0,
                0.5,
                1.5,
                2.5,
                -2.5,
                448.0,
                464.0,
                65504.0,
                65520.0,
                2.0**31,
                2.0**63,
            ]
            values[: len(edges)] = dtype.decode(dtype.encode(np.array(edges)))
    else:
        edges = [0, 1, 2, 127, 128, 255, int(dtype.max), int(dtype.max) - 1]
        values[: len(edges)] = edges
        values[len(edges) : COUNT // 4] //= 1 << int(dtype.bits // 2)
    return np.asarray(values)


@pytest.mark.parametrize("source", NAMES)
def test_casts_from(source: str, rng: np.random.Generator) -> None:
    start = NAMES.index(source) % 3
    targets = [name for name in NAMES[start::3] if name != source]  # each meets a third
    dtype = parse_dtype(source)
    params = [tensor_text("x", source, aligned=True)]
    params += [tensor_text(f"y{i}", name, aligned=True) for i, name in enumerate(targets)]
    lines = []
    for i, name in enumerate(targets):
        lines.append(f"    %c{i}: tile<[{COUNT}], {name}> = cast %t, dtype={name}")
        lines.append(f"    store %y{i}, [%zero], %c{i}")
    text = f"""kernel @casts({", ".join(params)}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %t: tile<[{COUNT}], {source}> = load %x, [%zero], shape=[{COUNT}]
{chr(10).join(lines)}
    yield []
  }}
  yield []
}}
"""
    outputs = [
        Tensor(
            parse_dtype(name),
            np.full(COUNT, parse_dtype(name).decode(np.array([0], parse_dtype(name).container))[0]),
        )
        for name in targets
    ]
    run_both(text, [Tensor(dtype, values_of(dtype, rng)), *outputs])
