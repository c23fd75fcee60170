"""Products with scales are written out for targets without them, and mean the same."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.instructions.matmul import Mma, MmaScaled
from tilewright.ir.parser import parse_kernel
from tilewright.ir.types import parse_dtype
from tilewright.passes.choose_atoms import choose_atoms
from tilewright.tests.codegen.cuda.harness import Tensor, run_both
from tilewright.tests.passes.products import context

TEXT = """
kernel @scaled(%x: tensor<f16, strides=[x16B, 1], extents=[any, any], aligned>, \
%w: tensor<{codes}, strides=[x16B, 1], extents=[any, any], aligned>, \
%s: tensor<f16, strides=[any, 1], extents=[any, any]>, \
%z: tensor<u8, strides=[any, 1], extents=[any, any]>, \
%y: tensor<f32, strides=[any, 1], extents=[any, any]>), phase=tile {{
  %one: i32 = const value=1, dtype=i32
  %zero: i32 = const value=0, dtype=i32
  for_tiles [%one] (%i: i32) {{
    %a: tile<[16, 64], f16> = load %x, [%zero, %zero], shape=[16, 64]
    %b: tile<[32, 64], {codes}> = load %w, [%zero, %zero], shape=[32, 64]
    %scale: tile<[{groups}, 32], f16> = load %s, [%zero, %zero], shape=[{groups}, 32]
    %middle: tile<[{groups}, 32], u8> = load %z, [%zero, %zero], shape=[{groups}, 32]
    %bt: tile<[64, 32], {codes}> = transpose %b, axes=[1, 0]
    %f: f32 = const value=1.0, dtype=f32
    %acc: tile<[16, 32], f32> = full %f, shape=[16, 32]
    %r: tile<[16, 32], f32> = mma.scaled %a, %bt, %scale, %acc{middle}
    store %y, [%zero, %zero], %r
    yield []
  }}
  yield []
}}
"""


@pytest.mark.parametrize("codes", ["u4", "u8", "i3"])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("middle", ["", ", zero=%middle"])
def test_scaled_products_on_the_virtual_machine(
    codes: str, groups: int, middle: str, rng: np.random.Generator
) -> None:
    kernel = parse_kernel(TEXT.format(codes=codes, groups=groups, middle=middle))
    kind = parse_dtype(codes)
    weights = kind.decode(rng.integers(0, 1 << kind.bits, (32, 64)).astype(kind.container))
    scales = 2.0 ** rng.integers(-2, 3, (groups, 32))
    args = [
        Tensor(parse_dtype("f16"), rng.integers(-3, 4, (16, 64))),
        Tensor(kind, weights),
        Tensor(parse_dtype("f16"), scales),
        Tensor(parse_dtype("u8"), rng.integers(0, 9, (groups, 32))),
        Tensor(parse_dtype("f32"), np.full((16, 32), 77.0)),
    ]
    report = run_both(kernel, args)
    assert not report.races and not report.warnings


def test_one_product_per_group() -> None:
    kernel = parse_kernel(TEXT.format(codes="u4", groups=4, middle=""))
    made = list(choose_atoms(kernel, context()).walk())
    assert sum(isinstance(item, Mma) for item in made) == 4
    assert not any(isinstance(item, MmaScaled) for item in made)
