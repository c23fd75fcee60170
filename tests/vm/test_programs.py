"""Programs in CUDA C++, compiled by NVRTC, against NumPy."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from tilewright.runtime import vm


def rng() -> np.random.Generator:
    return np.random.default_rng()


def test_add_over_an_odd_size_leaves_the_rest_alone(compile_ptx: Callable[..., str]) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void add(const float* a, const float* b, float* c, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) c[i] = a[i] + b[i];
}""")
    n = 1003
    a, b = rng().standard_normal((2, n)).astype("f")
    c = np.full(n + 7, np.nan, "f")
    vm.run(ptx, "add", (9,), (128,), [a, b, c, n])
    np.testing.assert_array_equal(c[:n], a + b)
    assert np.isnan(c[n:]).all()


def test_calls_local_arrays_structs_switches_and_printf(compile_ptx: Callable[..., str]) -> None:
    ptx = compile_ptx(r"""
extern "C" __device__ __noinline__ float series(float x, int n) {
  float s = 0; for (int i = 0; i < n; i++) s += x * i; return s; }
__device__ const float table[4] = {1, 2, 3, 4};
struct P { int a; float b; };
extern "C" __global__ void k(float* o, const float* i, int n, P p) {
  __shared__ float sm[256]; extern __shared__ float dynamic[];
  int t = blockIdx.x * blockDim.x + threadIdx.x;
  float local[8]; for (int j = 0; j < 8; j++) local[j] = i[j];
  local[n & 7] += 1;
  sm[threadIdx.x] = t < n ? i[t] : 0.f; dynamic[threadIdx.x] = 3; __syncthreads();
  float v = sm[threadIdx.x ^ 1] + dynamic[(threadIdx.x + 3) & 255] + table[n & 3];
  v += __shfl_xor_sync(~0u, v, 1);
  if (threadIdx.x < 40) v += series(v, threadIdx.x & 3);
  switch (threadIdx.x & 7) {
    case 0: v += 1; break; case 1: v *= 2; break; case 2: v -= series(v, 3); break;
    case 3: v = series(v, 3); break; case 4: v = sqrtf(v); break; case 7: v = v / 3.f; break; }
  if (t < n) o[t] = v + p.b + local[p.a];
  if (t == 5) printf("hi %d %5.2f %s\n", t, v, "there");
}""")
    n = 1000
    i = np.abs(rng().standard_normal(n)).astype("f") + np.float32(0.1)
    o = np.full(n, np.nan, "f")
    report = vm.run(ptx, "k", 4, 256, [o, i, n, struct.pack("<if", 2, 1.5)], shared=1024)
    x = np.zeros(1024)
    x[:n] = i
    v = x.reshape(-1, 2)[:, ::-1].ravel() + 3 + 1
    v = v + v.reshape(-1, 2)[:, ::-1].ravel()
    tid = np.arange(1024) % 256
    k = tid & 3
    v = np.where(tid < 40, v + v * (k * (k - 1) / 2), v)
    m = tid & 7
    v = np.select(
        [m == c for c in (0, 1, 2, 3, 4, 7)], [v + 1, v * 2, v - 3 * v, 3 * v, np.sqrt(v), v / 3], v
    )
    want = (v + 1.5 + i[2])[:n]
    np.testing.assert_allclose(o, want, rtol=1e-5)
    assert report.output == [f"hi 5 {v[5]:5.2f} there\n"]


def test_block_sum_by_shuffles_and_shared_memory(compile_ptx: Callable[..., str]) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void total(const float* x, float* y, int n) {
  __shared__ float part[32];
  float v = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) v += x[blockIdx.x * n + i];
  for (int d = 16; d; d >>= 1) v += __shfl_down_sync(~0u, v, d);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x < 32) {
    v = threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0;
    for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(~0u, v, d);
    if (threadIdx.x == 0) y[blockIdx.x] = v;
  }
}""")
    for threads in (32, 96, 256):
        x = rng().integers(-9, 9, (5, 777)).astype("f")
        y = np.full(5, np.nan, "f")
        vm.run(ptx, "total", 5, threads, [x, y, 777])
        np.testing.assert_array_equal(y, x.sum(axis=1))
