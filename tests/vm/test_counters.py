"""Counters against what the hardware's rules give by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tilewright.runtime import vm

Compile = Callable[..., str]

STRIDED = r"""
extern "C" __global__ void k(const float* a, float* b, int stride, int start) {
  b[threadIdx.x] = a[threadIdx.x * stride + start];
}"""


def line(report: vm.Report, text: str) -> dict[str, Any]:
    (found,) = [record for record in report.counters["lines"] if text in record["text"]]
    return found


@pytest.mark.parametrize(
    ("stride", "start", "sectors"), [(1, 0, 4), (1, 1, 5), (2, 0, 8), (8, 0, 32), (0, 3, 1)]
)
def test_sectors_of_a_warp_request(
    compile_ptx: Compile, stride: int, start: int, sectors: int
) -> None:
    a, b = np.ones(1024, "f"), np.zeros(96, "f")
    report = vm.run(compile_ptx(STRIDED), "k", 1, 96, [a, b, stride, start])
    loads = line(report, "ld.global")
    # Alignment differs by warp where a request starts inside of a sector; here all start alike.
    assert (loads["requests"], loads["sectors"], loads["bytes"]) == (3, 3 * sectors, 3 * 128)
    assert loads["efficiency"] == pytest.approx(128 / (32 * sectors))
    stores = line(report, "st.global")
    assert (stores["requests"], stores["sectors"]) == (3, 12)


SHARED = r"""
extern "C" __global__ void k(float* o, int stride) {
  __shared__ float s[32 * 33 + 1];
  for (int i = threadIdx.x; i < 32 * 33; i += 32) s[i] = i;
  __syncwarp();
  o[threadIdx.x] = *(volatile float*)&s[threadIdx.x * stride];
}"""


@pytest.mark.parametrize(("stride", "waves"), [(0, 1), (1, 1), (2, 2), (4, 4), (32, 32), (33, 1)])
def test_bank_conflicts_of_single_words(compile_ptx: Compile, stride: int, waves: int) -> None:
    o = np.zeros(32, "f")
    report = vm.run(compile_ptx(SHARED), "k", 1, 32, [o, stride])
    loads = line(report, "ld.volatile")
    assert (loads["wavefronts"], loads["ideal_wavefronts"]) == (waves, 1)
    assert loads["bank_conflicts"] == waves - 1
    np.testing.assert_array_equal(o, np.arange(32) * stride)


@pytest.mark.parametrize(
    ("row", "waves"), [(16, 4), (32, 8), (64, 16), (128, 32), (144, 4), (80, 4)]
)
def test_wavefronts_of_matrix_rows(row: int, waves: int) -> None:
    """ldmatrix.x4: four phases of eight 16-byte rows; rows 128 bytes apart share their banks."""
    text = f""".version 9.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 o) {{
  .shared .align 128 .b8 tile[{32 * row}]; .reg .b32 %r<5>, %t, %a; .reg .u64 %q;
  mov.u32 %t, %tid.x; mov.u32 %a, tile; mad.lo.u32 %a, %t, {row}, %a;
  st.shared.v4.u32 [%a], {{%t, %t, %t, %t}};
  bar.warp.sync -1;
  ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%r1, %r2, %r3, %r4}}, [%a];
  ld.param.u64 %q, [o]; mad.wide.u32 %q, %t, 4, %q; st.global.u32 [%q], %r4;
  ret; }}"""
    o = np.zeros(32, np.uint32)
    report = vm.run(text, "k", 1, 32, [o])
    np.testing.assert_array_equal(o, 24 + np.arange(32) // 4)
    loads = line(report, "ldmatrix")
    assert (loads["wavefronts"], loads["ideal_wavefronts"]) == (waves, 4)


def test_the_swizzled_matmul_has_no_conflicts_and_counts_its_work(
    compile_ptx: Compile, matmul_source: str
) -> None:
    a, b, c = (
        np.zeros((64, 128), np.uint16),
        np.zeros((64, 128), np.uint16),
        np.zeros((64, 64), "f"),
    )
    report = vm.run(
        compile_ptx(matmul_source), "matmul", 1, 256, [a, b, c, 64, 64, 128], shared=24576
    )
    counters = report.counters
    assert counters["shared"]["bank_conflicts"] == 0
    assert counters["mma_flops"] == {"bf16": 2 * 64 * 64 * 128}
    assert counters["bytes"] == {"plain": 64 * 64 * 4, "cp.async": 2 * 64 * 128 * 2, "bulk": 0}
    assert counters["instructions"]["matrix"] == 8 * 4 * 8
    data = json.loads(report.to_json())
    assert data["counters"]["shared"] == counters["shared"] and data["races"] == []
    assert "bank conflicts" in str(report) and "bf16" in str(report)


def test_issued_instructions_count_warps_with_active_lanes(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(float* o, int n) {
  float v = threadIdx.x;
  if (threadIdx.x < n) { for (int i = 0; i < 10; i++) v = __sinf(v); o[threadIdx.x] = v; }
}""")
    for n, warps in ((128, 4), (32, 1), (33, 2), (0, 0)):
        report = vm.run(ptx, "k", 1, 128, [np.zeros(128, "f"), n], checks="off")
        assert report.counters["instructions"].get("special", 0) == 10 * warps
