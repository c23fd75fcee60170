"""The race detector: correct programs are clean, and each removed synchronization is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tilewright.runtime import vm

SHARED = 3 * (64 + 64) * 32 * 2
Compile = Callable[..., str]


def run_matmul(ptx: str, **options: object) -> vm.Report:
    m, n, k = 70, 64, 256
    rng = np.random.default_rng()
    a, b = (rng.integers(0, 1 << 14, s, dtype=np.uint16) for s in ((m, k), (n, k)))
    c = np.zeros((m, n), "f")
    return vm.run(ptx, "matmul", (1, 2), 256, [a, b, c, m, n, k], shared=SHARED, **options)


def edited(source: str, mark: str) -> str:
    """The source without the statement on the marked line."""
    lines = [line for line in source.split("\n") if f"// {mark}" not in line]
    assert len(lines) == source.count("\n")
    return "\n".join(lines)


def test_the_pipelined_matmul_has_no_races(compile_ptx: Compile, matmul_source: str) -> None:
    ptx = compile_ptx(matmul_source)
    for seed in range(3):
        report = run_matmul(ptx, seed=seed)
        assert report.races == []
        assert report.warnings == []


def test_a_missing_wait_is_reported(compile_ptx: Compile, matmul_source: str) -> None:
    report = run_matmul(compile_ptx(edited(matmul_source, "WAIT")))
    races = [race for race in report.races if "cp.async.wait_group" in race.missing]
    assert races
    text = str(races[0])
    assert "cp.async write" in text and "ldmatrix" in text and "/k.cu:" in text


def test_a_missing_block_barrier_is_reported(compile_ptx: Compile, matmul_source: str) -> None:
    report = run_matmul(compile_ptx(edited(matmul_source, "BARRIER")))
    assert any("__syncthreads" in race.missing for race in report.races)


EXCHANGE = r"""
extern "C" __global__ void k(int* o) {
  __shared__ int s[256];
  s[threadIdx.x] = threadIdx.x;
  SYNC;
  o[threadIdx.x] = s[threadIdx.x ^ MASK];
}"""


def exchange(compile_ptx: Compile, sync: str, mask: int) -> vm.Report:
    source = EXCHANGE.replace("SYNC", sync).replace("MASK", str(mask))
    o = np.zeros(256, np.int32)
    report = vm.run(compile_ptx(source), "k", 1, 256, [o])
    np.testing.assert_array_equal(o, np.arange(256) ^ mask)
    return report


def test_exchange_through_shared_memory_needs_the_right_barrier(compile_ptx: Compile) -> None:
    assert exchange(compile_ptx, "__syncthreads()", 77).races == []
    assert exchange(compile_ptx, "__syncwarp()", 5).races == []
    (race,) = exchange(compile_ptx, "__syncwarp()", 37).races
    assert "__syncthreads" in race.missing
    assert race.earlier.warp != race.later.warp
    (race,) = exchange(compile_ptx, "", 5).races
    assert "__syncwarp" in race.missing
    assert race.earlier.warp == race.later.warp


def test_bytes_next_to_each_other_do_not_race(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(unsigned char* o, int step) {
  __shared__ unsigned char s[256];
  s[threadIdx.x * step] = threadIdx.x; o[threadIdx.x * step] = s[threadIdx.x * step] + 1;
}""")
    o = np.zeros(256, np.uint8)
    assert vm.run(ptx, "k", 1, 256, [o, 1]).races == []
    np.testing.assert_array_equal(o, (np.arange(256) + 1).astype(np.uint8))
    assert any("different values" in str(w) for w in vm.run(ptx, "k", 1, 32, [o, 0]).warnings)
    assert vm.run(ptx, "k", 1, 64, [o, 0]).races


def test_reuse_of_shared_memory_without_a_barrier_is_a_race(compile_ptx: Compile) -> None:
    source = r"""
extern "C" __global__ void k(int* o) {
  __shared__ int s[128];
  int v = 0;
  for (int i = 0; i < 3; i++) {
    s[threadIdx.x] = i + threadIdx.x; __syncthreads(); v += s[127 - threadIdx.x];
    __syncthreads(); // REUSE
  }
  o[threadIdx.x] = v;
}"""
    o = np.zeros(128, np.int32)
    assert vm.run(compile_ptx(source), "k", 1, 128, [o]).races == []
    changed = source.replace("__syncthreads(); // REUSE", "")
    races = vm.run(compile_ptx(changed), "k", 1, 128, [o]).races
    assert any(
        r.earlier.what.startswith("read") and r.later.what.startswith("write") for r in races
    )


BLOCKS = r"""
__device__ unsigned int count;
extern "C" __global__ void k(int* part, int* total) {
  __shared__ bool last;
  part[blockIdx.x] = blockIdx.x + 1;
  FENCE;
  if (threadIdx.x == 0) last = atomicAdd(&count, 1) == gridDim.x - 1;
  __syncthreads();
  if (last && threadIdx.x == 0) {
    FENCE;
    int sum = 0; for (int i = 0; i < gridDim.x; i++) sum += part[i];
    *total = sum;
  }
}"""


@pytest.mark.parametrize("blocks", [7, 700])
def test_the_last_block_may_read_what_others_released(compile_ptx: Compile, blocks: int) -> None:
    for fence, clean in (("__threadfence()", True), ("", False)):
        part, total = np.zeros(blocks, np.int32), np.zeros(1, np.int32)
        ptx = compile_ptx(BLOCKS.replace("FENCE", fence))
        report = vm.run(ptx, "k", blocks, 32, [part, total])
        assert total[0] == blocks * (blocks + 1) // 2
        assert (report.races == []) is clean


def test_blocks_that_write_one_place_race(compile_ptx: Compile) -> None:
    ptx = compile_ptx('extern "C" __global__ void k(int* o) { o[threadIdx.x] = blockIdx.x; }')
    for blocks in (2, 300):
        (race,) = vm.run(ptx, "k", blocks, 32, [np.zeros(32, np.int32)]).races
        assert race.space == "global" and race.earlier.block != race.later.block


def test_histogram_by_atomics_is_clean(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(const unsigned char* x, int* h, int n) {
  __shared__ int s[64];
  if (threadIdx.x < 64) s[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&s[x[i] & 63], 1);
  __syncthreads();
  if (threadIdx.x < 64) atomicAdd(&h[threadIdx.x], s[threadIdx.x]);
}""")
    x = np.random.default_rng().integers(0, 256, 5001, dtype=np.uint8)
    h = np.zeros(64, np.int32)
    report = vm.run(ptx, "k", 3, 128, [x, h, len(x)])
    np.testing.assert_array_equal(h, np.bincount(x & 63, minlength=64))
    assert report.races == [] and report.warnings == []


@pytest.mark.parametrize("processes", ["1", "2"])
def test_races_in_global_memory_name_the_argument_and_the_byte(
    compile_ptx: Compile, monkeypatch: pytest.MonkeyPatch, processes: str
) -> None:
    monkeypatch.setenv("TILEWRIGHT_VM_PROCESSES", processes)
    ptx = compile_ptx(
        'extern "C" __global__ void k(int* a, int* b) { b[3] = blockIdx.x; a[5] = threadIdx.x; }'
    )
    report = vm.run(ptx, "k", 200, 32, [np.zeros(9, "i4"), np.zeros(9, "i4")])
    assert all("at 0x7" in str(race) for race in report.races)
    assert {race.where for race in report.races} == {
        "byte 12 of `k_param_1`", "byte 20 of `k_param_0`",
    }  # fmt: skip
    (warning,) = vm.run(ptx, "k", 1, 32, [np.zeros(9, "i4"), np.zeros(9, "i4")]).warnings
    assert "different values to byte 20 of `k_param_0` in one step" in str(warning)
