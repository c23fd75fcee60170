"""`unpack_bits`: packed loads become bytes and views where whole bytes allow it."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.codegen.cuda import emit_cuda
from tilewright.ir.instructions.buffer import Copy
from tilewright.ir.instructions.memory import Bytes, Load
from tilewright.ir.instructions.shape import Convert, View
from tilewright.ir.interpreter import interpret
from tilewright.ir.kernel import Kernel
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import numpy_class
from tilewright.ir.packing import row_bytes
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_kernel
from tilewright.ir.types import parse_dtype
from tilewright.ir.values import element_type
from tilewright.passes.unpack_bits import unpack_bits
from tilewright.runtime.nvrtc import compile_cuda
from tilewright.tests.codegen.cuda.harness import Tensor, run_both
from tilewright.tests.passes.products import SM_80, check_golden, context, lower, matmul

PACKED = ("u1", "u2", "u3", "u4", "i4", "u5", "i6", "u7", "f4e2m1", "f6e3m2", "f6e2m3")


def weights(dtype: str, tile: tuple[int, int, int] = (32, 64, 64), stages: int = 3) -> Kernel:
    """The matmul whose second operand is packed and cast to f16 in the loop."""
    text = print_kernel(matmul(tile=tile, result="f32", stages=stages))
    shape = f"[{tile[1]}, {tile[2]}]"
    text = text.replace("%b: tensor<f16", f"%b: tensor<{dtype}")
    text = text.replace(f"%y: tile<{shape}, f16> = load", f"%codes: tile<{shape}, {dtype}> = load")
    cast = f"      %y: tile<{shape}, f16> = cast %codes, dtype=f16\n      %yt:"
    return parse_kernel(text.replace("      %yt:", cast))


def codes_of(dtype: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
    kind = parse_dtype(dtype)
    codes = rng.integers(0, 1 << kind.bits, shape).astype(kind.container)
    return kind.decode(codes).astype(numpy_class(kind))


def test_golden() -> None:
    check_golden(lower(weights("u4", (16, 16, 16)), "unpack_bits"), "unpack_bits")


@pytest.mark.parametrize("dtype", PACKED)
def test_bytes_are_loaded_and_viewed(dtype: str, rng: np.random.Generator) -> None:
    kernel = lower(weights(dtype), "unpack_bits")
    items = list(kernel.walk())
    loaded = {element_type(item.results[0]).name for item in items if isinstance(item, Load)}
    assert loaded == {"f16", "u8"}
    assert any(isinstance(item, View) for item in items)
    kinds = [parse_dtype(name) for name in ("f16", dtype, "f32")]
    for m, n, k in ((37, 45, 53), (3, 70, 129)):
        x, y = rng.integers(-2, 3, (m, k)), codes_of(dtype, (n, k), rng)
        arrays = (x.astype(np.float64), y, np.full((m, n), 77.0))
        views = [TensorView(a.copy(), kind) for a, kind in zip(arrays, kinds, strict=True)]
        interpret(kernel, views)
        np.testing.assert_array_equal(views[2].values, x @ y.T)


def test_pairs_of_a_fragment_need_no_convert() -> None:
    kernel = lower(weights("u4"), "unpack_bits")
    assert not any(isinstance(item, Convert) for item in kernel.walk())


def test_packed_operands_are_copied_ahead() -> None:
    kernel = lower(weights("u4"), "overlap")
    copies = [item for item in kernel.walk() if isinstance(item, Copy)]
    assert {(c.path, c.width) for c in copies} == {("cp_async", 16)}
    assert {element_type(c.tensor).name for c in copies} == {"f16", "u8"}


@pytest.mark.parametrize(("dtype", "depth"), [("u4", 17), ("u3", 12), ("nf4", 16)])
def test_what_fits_no_rule_stays(dtype: str, depth: int) -> None:
    """Rows that end inside of a byte, or codes of which 0 is not the number 0."""
    kernel = lower(weights(dtype, (16, 16, depth)), "unpack_bits")
    assert not any(isinstance(item, Bytes) for item in kernel.walk())


@pytest.mark.parametrize("dtype", PACKED)
@pytest.mark.parametrize("shape", [(40, 72, 130), (5, 64, 64)])
def test_products_of_packed_weights_on_the_virtual_machine(
    dtype: str, shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    m, n, k = shape
    kind = parse_dtype(dtype)
    x = Tensor(parse_dtype("f16"), rng.integers(-2, 3, (m, k)), pitch=-k % 8)
    w = Tensor(kind, codes_of(dtype, (n, k), rng), pitch=-row_bytes(k, kind.bits) % 16)
    y = Tensor(parse_dtype("f32"), np.full((m, n), 77.0), pitch=-n % 4)
    report = run_both(weights(dtype), [x, w, y])
    assert not report.races and not report.warnings


def test_u4_needs_no_conversion_instruction() -> None:
    """Nibbles become f16 pairs by masks and one packed subtraction."""
    kernel = lower(weights("u4", (64, 64, 64)), "select")
    source = emit_cuda(kernel, SM_80)
    ptx = compile_cuda(source.text, arch="sm_80", name=source.entry, options=source.options).ptx
    assert "sub.f16x2" in ptx
    assert "cvt.rn.f16" not in ptx and "cvt.rn.f32.u" not in ptx


def test_kernels_without_packed_tensors_are_untouched() -> None:
    kernel = lower(matmul(), "infer_layouts")
    assert print_kernel(unpack_bits(kernel, context())) == print_kernel(kernel)
