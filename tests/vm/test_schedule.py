"""Blocks that wait for each other, spinning lanes, divergence and reconvergence."""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tilewright.runtime import vm

Compile = Callable[..., str]

GRID_BARRIER = r"""
__device__ unsigned arrived;
extern "C" __global__ void k(int* x, int* y) {
  x[blockIdx.x * blockDim.x + threadIdx.x] = blockIdx.x;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(&arrived, 1);
    while (*(volatile unsigned*)&arrived < gridDim.x) {}
    __threadfence();
  }
  __syncthreads();
  int other = gridDim.x - 1 - blockIdx.x;
  y[blockIdx.x * blockDim.x + threadIdx.x] = x[other * blockDim.x + threadIdx.x];
}"""


@pytest.mark.parametrize("blocks", [3, 40])
def test_all_blocks_of_a_grid_barrier_run_together(compile_ptx: Compile, blocks: int) -> None:
    """40 blocks of 512 lanes are more than a gang holds at first."""
    x, y = np.zeros((2, blocks, 512), np.int32)
    report = vm.run(compile_ptx(GRID_BARRIER), "k", blocks, 512, [x, y])
    want = np.broadcast_to(np.arange(blocks)[::-1, None], (blocks, 512))
    np.testing.assert_array_equal(y, want)
    assert report.races == []


def test_a_lock_passes_from_lane_to_lane(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
__device__ int lock;
extern "C" __global__ void k(int* total) {
  bool done = false;
  while (!done) {
    if (atomicCAS(&lock, 0, 1) == 0) {
      __threadfence();
      *(volatile int*)total = *(volatile int*)total + threadIdx.x;
      __threadfence();
      atomicExch(&lock, 0);
      done = true;
    }
  }
}""")
    total = np.zeros(1, np.int32)
    report = vm.run(ptx, "k", 3, 64, [total])
    assert total[0] == 3 * sum(range(64)) and report.races == []


def test_a_spin_that_nobody_ends_is_a_deadlock(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(volatile int* flag) {
  if (threadIdx.x < 32) while (*flag == 0) {}
  __syncthreads();
  if (threadIdx.x == 40) *flag = 1;
}""")
    with pytest.raises(vm.Fault, match="deadlock"):
        vm.run(ptx, "k", 1, 64, [np.zeros(1, np.int32)])


def test_paths_of_different_length_meet_again(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(int* o, int* meets) {
  int v = 0;
  for (int i = 0; i < (threadIdx.x * 7) % 13; i++) { v += i; if (v % 3 == 0) { v += 2; continue; } v ^= 5; }
  meets[threadIdx.x] = __activemask() == ~0u;
  o[threadIdx.x] = v;
}""")
    o, meets = np.zeros(128, np.int32), np.zeros(128, np.int32)
    vm.run(ptx, "k", 1, 128, [o, meets])

    def value(thread: int) -> int:
        v = 0
        for i in range(thread * 7 % 13):
            v += i
            v = v + 2 if v % 3 == 0 else v ^ 5
        return v

    np.testing.assert_array_equal(o, [value(t) for t in range(128)])
    assert meets.all()


def test_the_same_seed_gives_the_same_run(compile_ptx: Compile, matmul_source: str) -> None:
    ptx = compile_ptx(matmul_source)
    a, b = np.random.default_rng().integers(0, 1 << 14, (2, 64, 96), dtype=np.uint16)
    results = []
    for _ in range(2):
        c = np.zeros((64, 64), "f")
        report = vm.run(ptx, "matmul", 1, 256, [a, b, c, 64, 64, 96], shared=24576, seed=7)
        results.append((c.tobytes(), report.to_json()))
    assert results[0] == results[1]


def test_overlapping_and_strided_arguments_are_one_memory(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(const int* a, int* b, int stride) {
  int v = a[threadIdx.x * stride]; __syncthreads(); b[threadIdx.x] = v + 1; }""")
    memory = np.arange(200, dtype=np.int32)
    want = memory.copy()
    want[10:42] = memory[0:96:3] + 1
    vm.run(ptx, "k", 1, 32, [memory[0:96:3], memory[10:42], 3])
    np.testing.assert_array_equal(memory, want)
    fixed = np.arange(32, dtype=np.int32)
    fixed.flags.writeable = False
    with pytest.raises(vm.Fault, match="read-only"):
        vm.run(ptx, "k", 1, 32, [fixed, fixed, 1])


def test_torch_tensors_are_changed_in_place(compile_ptx: Compile) -> None:
    torch = pytest.importorskip("torch")
    ptx = compile_ptx('extern "C" __global__ void k(float* x) { x[threadIdx.x] *= 2; }')
    x = torch.arange(32, dtype=torch.float32)
    vm.run(ptx, "k", 1, 16, [x])
    assert torch.equal(x, torch.arange(32) * torch.where(torch.arange(32) < 16, 2.0, 1.0))
