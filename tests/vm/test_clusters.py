"""Clusters: distributed shared memory, remote mbarriers, multicast; bulk copies and reductions."""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tilewright.runtime import vm

Compile = Callable[..., str]

EXCHANGE = r"""
extern "C" __global__ void k(int* o) {
  __shared__ int s[64];
  unsigned rank, peer, address = (unsigned)__cvta_generic_to_shared(s + (threadIdx.x ^ 5));
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  s[threadIdx.x] = blockIdx.x * 1000 + threadIdx.x;
  asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::: "memory"); // SYNC
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(peer) : "r"(address), "r"(rank ^ 1));
  int v; asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(v) : "r"(peer) : "memory");
  o[blockIdx.x * 64 + threadIdx.x] = v;
  asm volatile("barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;" ::: "memory");
}"""


def test_blocks_of_a_cluster_read_each_others_shared_memory(compile_ptx: Compile) -> None:
    o = np.zeros((6, 64), np.int32)
    report = vm.run(compile_ptx(EXCHANGE, "sm_90a"), "k", 6, 64, [o], cluster=(2,))
    want = (np.arange(6)[:, None] ^ 1) * 1000 + (np.arange(64) ^ 5)
    np.testing.assert_array_equal(o, want)
    assert report.races == [] and report.warnings == []
    broken = "\n".join(line for line in EXCHANGE.split("\n") if "// SYNC" not in line)
    report = vm.run(compile_ptx(broken, "sm_90a"), "k", 6, 64, [o], cluster=(2,))
    assert any("cluster barrier" in race.missing for race in report.races)


BULK = r"""
typedef unsigned int u32;
extern "C" __global__ void k(const char* x, char* y, float* sum) {
  extern __shared__ __align__(128) char tile[];
  __shared__ unsigned long long bar[1];
  u32 t = (u32)__cvta_generic_to_shared(tile), b = (u32)__cvta_generic_to_shared(bar);
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1; fence.proxy.async;" ::"r"(b) : "memory");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 512;" ::"r"(b) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 512, [%2];"
                 ::"r"(t), "l"(x + blockIdx.x * 512), "r"(b) : "memory");
  }
  __syncthreads();
  asm volatile("{ .reg .pred p; L: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], 0; @!p bra L; }" ::"r"(b) : "memory");
  float* f = (float*)tile;
  f[threadIdx.x] += 1.0f;
  asm volatile("fence.proxy.async;" ::: "memory");
  __syncthreads();
  if (threadIdx.x == 0) {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], 512;" ::"l"(y + blockIdx.x * 512), "r"(t) : "memory");
    asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], 512;" ::"l"(sum), "r"(t) : "memory");
    asm volatile("cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;" ::: "memory");
  }
  __syncthreads();
  f[threadIdx.x] = 0;
}"""


@pytest.mark.parametrize("checks", ["all", "late", "early", "off"])
def test_bulk_copies_and_reductions(compile_ptx: Compile, checks: str) -> None:
    ptx = compile_ptx(BULK, "sm_90a")
    x = np.random.default_rng().integers(-9, 9, (5, 128)).astype("f")
    for seed in range(3):
        y, total = np.zeros_like(x), np.zeros(128, "f")
        report = vm.run(ptx, "k", 5, 128, [x, y, total], shared=512, checks=checks, seed=seed)
        np.testing.assert_array_equal(y, x + 1)
        np.testing.assert_array_equal(total, (x + 1).sum(axis=0))
        assert report.races == [] and report.warnings == []
    if checks != "off":
        assert report.counters["bytes"]["bulk"] == 5 * 512 * 3


def test_reuse_without_waiting_for_the_bulk_read_is_a_race(compile_ptx: Compile) -> None:
    broken = BULK.replace("cp.async.bulk.wait_group.read 0;", "")
    x = np.zeros((1, 128), "f")
    ptx = compile_ptx(broken, "sm_90a")
    report = vm.run(ptx, "k", 1, 128, [x, x.copy(), np.zeros(128, "f")], shared=512)
    assert any("cp.async.bulk.wait_group" in race.missing for race in report.races)
    assert any("wait" in warning.kind for warning in report.warnings)


MULTICAST = r"""
typedef unsigned int u32;
struct alignas(64) Map { char bytes[128]; };
extern "C" __global__ void k(const __grid_constant__ Map map, int* o) {
  extern __shared__ __align__(1024) char tile[];
  __shared__ unsigned long long bar[2];
  u32 t = (u32)__cvta_generic_to_shared(tile), b = (u32)__cvta_generic_to_shared(bar), rank, remote;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1; mbarrier.init.shared::cta.b64 [%0+8], 4;" ::"r"(b) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 4096;" ::"r"(b) : "memory");
  }
  asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::: "memory");
  if (threadIdx.x == 0)  // each block loads a quarter of the box for everybody
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
                 " [%0], [%1, {%2, %3}], [%4], %5;"
                 ::"r"(t + rank * 1024), "l"(&map), "r"(0), "r"(rank * 8), "r"(b), "h"((unsigned short)15) : "memory");
  asm volatile("{ .reg .pred p; L: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], 0; @!p bra L; }" ::"r"(b) : "memory");
  int v = ((int*)tile)[threadIdx.x];
  if (threadIdx.x < 4) {
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(b + 8), "r"(threadIdx.x));
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(remote) : "memory");
  }
  asm volatile("{ .reg .pred p; L: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], 0; @!p bra L; }" ::"r"(b + 8) : "memory");
  o[blockIdx.x * 1024 + threadIdx.x] = v;
  asm volatile("barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;" ::: "memory");
}"""


@pytest.mark.parametrize("checks", ["all", "late", "early"])
def test_multicast_and_remote_arrivals(compile_ptx: Compile, checks: str) -> None:
    x = np.random.default_rng().integers(0, 99, (32, 32)).astype(np.int32)
    o = np.zeros((4, 1024), np.int32)
    map_ = vm.TensorMap(x, (8, 32), swizzle=128)
    report = vm.run(
        compile_ptx(MULTICAST, "sm_90a"),
        "k",
        4,
        1024,
        [map_, o],
        cluster=(4,),
        shared=4096,
        checks=checks,
    )
    address = np.arange(0, 4096, 4)
    plain = address ^ (address >> 7 & 7) << 4
    want = x.ravel()[plain // 4]
    np.testing.assert_array_equal(o, np.broadcast_to(want, o.shape))
    assert report.races == []


ARRIVE = r"""
typedef unsigned int u32;
extern "C" __global__ void k(const int* x, int* o) {
  __shared__ __align__(16) int s[256];
  __shared__ unsigned long long bar;
  u32 b = (u32)__cvta_generic_to_shared(&bar), d = (u32)__cvta_generic_to_shared(s + (threadIdx.x & 63) * 4);
  if (threadIdx.x == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 64;" ::"r"(b) : "memory");
  __syncthreads();
  if (threadIdx.x < 64) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(d), "l"(x + threadIdx.x * 4) : "memory");
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(b) : "memory");
  } else {
    asm volatile("{ .reg .pred p; L: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], 0; @!p bra L; }" ::"r"(b) : "memory"); // WAIT
    for (int i = threadIdx.x - 64; i < 256; i += 64) o[i] = s[255 - i];
  }
}"""


@pytest.mark.parametrize("checks", ["all", "late", "early", "off"])
def test_cp_async_arrives_on_an_mbarrier(compile_ptx: Compile, checks: str) -> None:
    x, o = np.arange(256, dtype=np.int32), np.zeros(256, np.int32)
    report = vm.run(compile_ptx(ARRIVE, "sm_90a"), "k", 1, 128, [x, o], checks=checks)
    np.testing.assert_array_equal(o, x[::-1])
    assert report.races == []
    broken = "\n".join(line for line in ARRIVE.split("\n") if "// WAIT" not in line)
    if checks != "off":
        report = vm.run(compile_ptx(broken, "sm_90a"), "k", 1, 128, [x, o], checks=checks)
        assert report.races


def test_tensor_maps_reject_what_hardware_rejects() -> None:
    x = np.zeros((16, 64), np.float16)
    for change, words in (
        ({"box": (16,)}, "one entry per axis"),
        ({"box": (16, 512)}, "1 to 256"),
        ({"swizzle": 64}, "more than swizzle=64"),
        ({"swizzle": 48}, "0, 32, 64 or 128"),
        ({"box": (16, 4), "swizzle": 0}, "8 bytes along the last axis"),
        ({"interleave": 16}, "interleave=16"),
        ({"element_strides": (2,)}, "one entry per axis"),
        ({"element_strides": (0, 1)}, "each is 1 to 8"),
        ({"element_strides": (9, 1)}, "each is 1 to 8"),
        ({"element_strides": (1, 2)}, "none along the last axis"),
        ({"tensor": np.zeros((0, 64), np.float16)}, "extents are 1"),
        ({"tensor": np.zeros((16, 64), np.int16), "fill": "nan"}, "floating-point"),
        ({"tensor": x.T}, "contiguous"),
        ({"tensor": np.zeros((16, 63), np.float16)}, "multiples of 16"),
        ({"fill": "ones"}, "zeros"),
    ):
        options = {"tensor": x, "box": (16, 64), "swizzle": 128, **change}
        with pytest.raises(ValueError, match=words):
            vm.TensorMap(options.pop("tensor"), options.pop("box"), **options)


REMOTE = r"""
typedef unsigned int u32;
extern "C" __global__ void k(int* o) {
  __shared__ __align__(16) int s[64];
  __shared__ unsigned long long bar;
  u32 b = (u32)__cvta_generic_to_shared(&bar), a = (u32)__cvta_generic_to_shared(s + threadIdx.x), rank, pa, pb;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  s[threadIdx.x] = 5;
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1; fence.mbarrier_init.release.cluster;" ::"r"(b) : "memory");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 512;" ::"r"(b) : "memory");
  }
  asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::: "memory");
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(pa) : "r"(a), "r"(rank ^ 1));
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(pb) : "r"(b), "r"(rank ^ 1));
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];" ::"r"(pa), "r"(100 * rank + threadIdx.x), "r"(pb) : "memory");
  asm volatile("red.async.relaxed.cluster.global.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%0], %1, [%2];" ::"r"(pa), "r"(1000), "r"(pb) : "memory");
  asm volatile("{ .reg .pred p; L: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], 0; @!p bra L; }" ::"r"(b) : "memory");
  o[blockIdx.x * 64 + threadIdx.x] = s[threadIdx.x];
  asm volatile("barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;" ::: "memory");
}""".replace("relaxed.cluster.global.shared", "relaxed.cluster.shared")


@pytest.mark.parametrize("checks", ["all", "late", "early"])
def test_asynchronous_remote_stores_and_reductions(compile_ptx: Compile, checks: str) -> None:
    o = np.zeros((2, 64), np.int32)
    ptx = compile_ptx(REMOTE, "sm_90a")
    vm.run(ptx, "k", 2, 64, [o], cluster=(2,), checks=checks)
    want = 100 * (np.arange(2)[:, None] ^ 1) + np.arange(64) + 1000
    np.testing.assert_array_equal(o, want)


def test_a_kernel_edits_a_tensor_map_in_memory() -> None:
    """The map of x becomes one of y with fewer rows, and the box that it loads shows it."""
    text = """
.version 9.0
.target sm_90a
.address_size 64
.extern .shared .align 1024 .b8 tile[];
.visible .entry k(.param .u64 map, .param .u64 y, .param .u64 o) {
  .shared .align 8 .b64 bar; .reg .b32 %t, %i, %b, %v; .reg .b64 %m, %y, %q; .reg .pred %z, %d;
  ld.param.u64 %m, [map]; ld.param.u64 %y, [y]; mov.u32 %t, tile; mov.u32 %b, bar;
  mov.u32 %i, %tid.x; setp.eq.u32 %z, %i, 0;
  @%z tensormap.replace.tile.global_address.global.b1024.b64 [%m], %y;
  @%z tensormap.replace.tile.global_dim.global.b1024.b32 [%m], 1, 3;
  @%z fence.proxy.tensormap::generic.acquire.gpu [%m], 128;
  @%z mbarrier.init.shared::cta.b64 [%b], 1;
  @%z fence.proxy.async;
  @%z mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], 512;
  @%z cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%t], [%m, {0, 0}], [%b];
  bar.sync 0;
W: mbarrier.try_wait.parity.shared::cta.b64 %d, [%b], 0;
  @!%d bra W;
  mad.lo.u32 %t, %i, 4, %t; ld.shared.u32 %v, [%t];
  ld.param.u64 %q, [o]; mad.wide.u32 %q, %i, 4, %q; st.global.u32 [%q], %v;
  ret; }"""
    x, y = np.ones((4, 32), np.int32), np.arange(128, dtype=np.int32).reshape(4, 32) + 5
    raw = np.frombuffer(bytearray(vm.TensorMap(x, (4, 32)).encode_descriptor(0)), np.uint8)
    o = np.zeros((4, 32), np.int32)
    vm.run(text, "k", 1, 128, [raw, y, o], shared=512)
    want = y.copy()
    want[3] = 0
    np.testing.assert_array_equal(o, want)
