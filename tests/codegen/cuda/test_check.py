"""print and check inside kernels, and the text of generated CUDA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tilewright.codegen.cuda import emit_cuda
from tilewright.ir.targets.cuda import SM_80
from tilewright.ir.types import f32, i32
from tilewright.runtime.vm import Fault, run
from tilewright.tests.codegen.cuda.harness import (
    Tensor,
    compile_kernel,
    lower,
    pack,
    run_both,
    tensor_text,
)
from tilewright.tests.codegen.cuda.test_reduce import softmax

GOLDENS = Path(__file__).parent / "goldens"


def test_print_shows_scalars_and_tiles_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"""kernel @show({tensor_text("x", "i32")}, %s: f32), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %t: tile<[5], i32> = load %x, [%zero], shape=[5]
    %p: bool = lt %s, %s
    print [%s, %t, %p], text="{{{{}}}} s={{}} t={{}} 100% {{}}"
    yield []
  }}
  yield []
}}
"""
    report = run_both(text, [Tensor(i32, [3, -1, 4, 1, -5]), 0.1])
    capsys.readouterr()
    assert "".join(report.output).strip() == "{} s=0.100000001 t=[3 -1 4 1 -5] 100% False"


def test_a_failed_check_stops_the_kernel_with_its_text() -> None:
    text = f"""kernel @guard({tensor_text("x", "f32")}), phase=tile {{
  %zero: i32 = const value=0, dtype=i32
  for_tiles [] {{
    %t: tile<[37], f32> = load %x, [%zero], shape=[37]
    %z: f32 = const value=0.0, dtype=f32
    %zt: tile<[37], f32> = full %z, shape=[37]
    %ok: tile<[37], bool> = ge %t, %zt
    check %ok, text="x is negative"
    %n: i32 = extent %x, axis=0, dtype=i32
    %full: bool = gt %n, %zero
    check %full, text="x is empty"
    yield []
  }}
  yield []
}}
"""
    good = np.arange(37.0)
    run_both(text, [Tensor(f32, good)])
    kernel = lower(text)
    bad = good.copy()
    bad[36] = -1
    source, ptx = compile_kernel(kernel)
    tensor = Tensor(f32, bad)
    tensor.place()
    with pytest.raises(Fault, match="x is negative"):
        run(ptx, source.entry, 1, source.threads, pack(kernel, [tensor]))


@pytest.mark.parametrize("name", ["softmax", "add"])
def test_generated_text(name: str, request: pytest.FixtureRequest) -> None:
    """The CUDA that a person reads; `--update-goldens` writes it anew."""
    text = softmax(4, 100) if name == "softmax" else ADD
    source = emit_cuda(lower(text), SM_80).text
    golden = GOLDENS / f"{name}.cu"
    if request.config.getoption("--update-goldens", default=False):
        golden.write_text(source)
    assert source == golden.read_text()


def test_emission_is_deterministic() -> None:
    texts = {emit_cuda(lower(softmax(3, 70)), SM_80).text for _ in range(3)}
    assert len(texts) == 1


ADD_PARAMS = ", ".join(tensor_text(name, "f16", aligned=True) for name in "xyz")
ADD = f"""kernel @add({ADD_PARAMS}), phase=tile {{
  %b: i32 = const value=1024, dtype=i32
  %c: i32 = const value=1023, dtype=i32
  %n: i32 = extent %x, axis=0, dtype=i32
  %n1: i32 = add %n, %c
  %g: i32 = floordiv %n1, %b
  for_tiles [%g] (%i: i32) {{
    %o: i32 = mul %i, %b
    %u: tile<[1024], f16> = load %x, [%o], shape=[1024]
    %v: tile<[1024], f16> = load %y, [%o], shape=[1024]
    %w: tile<[1024], f16> = add %u, %v
    store %z, [%o], %w
    yield []
  }}
  yield []
}}
"""
