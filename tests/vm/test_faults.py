"""Faults name the place: out of bounds, misaligned, deadlock, divergence, trap, assert, bad
launches.
"""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tilewright.runtime import vm

Compile = Callable[..., str]

COPY = r"""
extern "C" __global__ void k(const float* a, float* b, int shift) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  b[i] =
      a[i + shift];
}"""


def test_reads_past_the_end_name_line_block_warp_lanes_and_argument(compile_ptx: Compile) -> None:
    a, b = np.ones(256, "f"), np.zeros(256, "f")
    with pytest.raises(vm.Fault) as caught:
        vm.run(compile_ptx(COPY), "k", 4, 64, [a, b, 3])
    fault = caught.value
    assert fault.kind == "out of bounds"
    assert fault.block == (3, 0, 0) and fault.warp == 1 and fault.lanes == (29, 30, 31)
    assert fault.source == "/k.cu:5"
    assert "ld.global" in str(fault) and "k_param_0" in str(fault) and "at byte 1024" in str(fault)
    assert (b == 0).all(), "the arguments keep their contents"
    vm.run(compile_ptx(COPY), "k", 4, 64, [a, b, 0])
    assert (b == 1).all()


HELPER = r"""
__device__ __forceinline__ float get(const float* a, int i) {
  return a[i];
}
extern "C" __global__ void k(const float* a, float* b, int shift) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  b[i] = get(a, i + shift);
}"""


def test_inside_an_inlined_helper_the_callers_line_is_named(compile_ptx: Compile) -> None:
    a, b = np.ones(64, "f"), np.zeros(64, "f")
    with pytest.raises(vm.Fault) as caught:
        vm.run(compile_ptx(HELPER), "k", 1, 64, [a, b, 3])
    assert caught.value.source == "/k.cu:7"


def test_neighbouring_arguments_do_not_hide_an_overrun(compile_ptx: Compile) -> None:
    both = np.zeros(512, "f")
    with pytest.raises(vm.Fault, match="out of bounds"):
        vm.run(compile_ptx(COPY), "k", 4, 64, [both[:256], both[256:], 1])


def test_null_and_misaligned_pointers(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(char* a, int by) { *(int*)(a + by) = 1; }
extern "C" __global__ void z(char** a) { *a[0] = 1; }""")
    with pytest.raises(vm.Fault, match="misaligned"):
        vm.run(ptx, "k", 1, 1, [np.zeros(64, np.uint8), 2])
    with pytest.raises(vm.Fault, match="null pointer"):
        vm.run(ptx, "z", 1, 1, [np.zeros(1, np.uint64)])


def test_shared_memory_has_its_bounds(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(int* o, int i) {
  extern __shared__ int s[]; s[threadIdx.x + i] = 1; __syncthreads(); o[0] = s[i]; }""")
    vm.run(ptx, "k", 1, 32, [np.zeros(1, np.int32), 0], shared=128)
    for i in (1, -1):
        with pytest.raises(vm.Fault, match="shared memory"):
            vm.run(ptx, "k", 1, 32, [np.zeros(1, np.int32), i], shared=128)


def test_uninitialised_shared_memory_is_a_warning(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(int* o) {
  __shared__ int s[64]; if (threadIdx.x < 63) s[threadIdx.x] = 1; __syncthreads();
  o[threadIdx.x] = s[threadIdx.x]; }""")
    report = vm.run(ptx, "k", 1, 64, [np.zeros(64, np.int32)])
    assert [w.kind for w in report.warnings] == ["uninitialised"]


GARBAGE = r"""
extern "C" __global__ void k(float* o, int n) {
  __shared__ float s[64]; if (threadIdx.x < n) s[threadIdx.x] = threadIdx.x; __syncthreads();
  float v = s[63 - threadIdx.x] * 2 + 1;
  USE
}"""


@pytest.mark.parametrize(
    ("use", "warned"),
    [
        ("if (63 - threadIdx.x < n) o[threadIdx.x] = v;", False),  # padding: nobody keeps it
        ("o[threadIdx.x] = 63 - threadIdx.x < n ? v : 0;", False),
        ("o[threadIdx.x] = v;", True),
        ("o[threadIdx.x] = max(v, 3.0f);", True),
        ("o[threadIdx.x] = min(v, -3.0f);", True),
        ("if (v > 7.0f) o[threadIdx.x] = 1;", True),
        ("atomicAdd(o, v);", True),
        ("if (v > 1e30f) __trap();", True),
    ],
)
def test_garbage_is_a_warning_only_where_it_reaches_something(
    compile_ptx: Compile, use: str, warned: bool
) -> None:
    ptx = compile_ptx(GARBAGE.replace("USE", use))
    o = np.zeros(64, "f")
    report = vm.run(ptx, "k", 1, 64, [o, 40])
    assert [w.kind for w in report.warnings] == ["uninitialised"] * warned
    report = vm.run(ptx, "k", 1, 64, [o, 64])
    assert report.warnings == []


def test_a_barrier_that_not_all_reach_is_a_deadlock(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(int* o) {
  if (threadIdx.x < 64) asm volatile("bar.sync 3, 128;");
  o[0] = 1; }""")
    with pytest.raises(
        vm.Fault, match=r"deadlock: warps \[0, 1\] of block .* barrier 3 where 64 of 128"
    ):
        vm.run(ptx, "k", 1, 96, [np.zeros(1, np.int32)])


def test_named_barriers_let_warps_hand_over(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(int* o) {
  __shared__ int s[32];
  for (int i = 0; i < 5; i++) {
    if (threadIdx.x < 32) {
      s[threadIdx.x] = i * threadIdx.x;
      asm volatile("bar.arrive 1, 64;" ::: "memory"); asm volatile("bar.sync 2, 64;" ::: "memory");
    } else {
      asm volatile("bar.sync 1, 64;" ::: "memory"); o[i * 32 + threadIdx.x - 32] = s[threadIdx.x - 32];
      asm volatile("bar.arrive 2, 64;" ::: "memory");
    }
  }
}""")
    o = np.zeros((5, 32), np.int32)
    report = vm.run(ptx, "k", 1, 64, [o])
    np.testing.assert_array_equal(o, np.arange(5)[:, None] * np.arange(32))
    assert report.races == []


def test_trap_and_assert(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void t(int* o) { if (o[threadIdx.x] == 7) __trap(); }
extern "C" __global__ void a(int* o) { assert(o[threadIdx.x] != 7); }""")
    o = np.arange(64, dtype=np.int32)
    with pytest.raises(vm.Fault) as caught:
        vm.run(ptx, "t", 1, 64, [o])
    assert caught.value.kind == "trap" and caught.value.lanes == (7,)
    with pytest.raises(vm.Fault, match=r"k.cu:3: assertion `o\[threadIdx.x\] != 7` failed"):
        vm.run(ptx, "a", 1, 64, [o])


def test_unknown_instructions_are_named() -> None:
    ptx = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k() {
  .reg .b32 %r<3>;
  frobnicate.u32 %r1, %r2;
  ret;
}"""
    with pytest.raises(vm.Fault, match=r"frobnicate\.u32(.|\n)*PTX line 6"):
        vm.run(ptx, "k", 1, 1, [])


def test_launches_that_cannot_be(compile_ptx: Compile) -> None:
    ptx = compile_ptx(COPY)
    a = np.zeros(4, "f")
    with pytest.raises(vm.Fault, match="3 arguments, got 2"):
        vm.run(ptx, "k", 1, 1, [a, a])
    with pytest.raises(vm.Fault, match="it has: k"):
        vm.run(ptx, "nope", 1, 1, [])
    with pytest.raises(vm.Fault, match="1,024"):
        vm.run(ptx, "k", 1, 2048, [a, a, 0])
    with pytest.raises(vm.Fault, match="got a float"):
        vm.run(ptx, "k", 1, 1, [a, a, 0.5])
    with pytest.raises(vm.Fault, match=r"k_param_0 \(u64\), k_param_1 \(u64\), k_param_2 \(u32\)"):
        vm.run(ptx, "k", 1, 1, [])
    with pytest.raises(vm.Fault, match="32 bits, too few for 4294967301"):
        vm.run(ptx, "k", 1, 1, [a, a, (1 << 32) + 5])
    with pytest.raises(vm.Fault, match="pass an array or tensor for a pointer"):
        vm.run(ptx, "k", 1, 1, [[1.0], a, 0])
    vm.run(ptx, "k", np.int64(1), [1], (a, a, 0))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"grid": (1, 65536)}, vm.Fault, r"grid \(1, 65536, 1\) exceeds .*65535"),
        ({"block": (1, 1, 65)}, vm.Fault, r"block \(1, 1, 65\) exceeds .*64"),
        ({"grid": 32, "cluster": 32}, vm.Fault, "a cluster of 32 blocks; at most 16"),
        ({"grid": 1.5}, ValueError, "grid=1.5: one to three positive integers"),
        ({"block": (1, 1, 1, 1)}, ValueError, "one to three positive integers"),
        ({"shared": -1}, ValueError, "shared=-1"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"seed": "a"}, ValueError, "seed='a'"),
        ({"checks": "some"}, ValueError, "choose one of all"),
        ({"ptx": b""}, TypeError, "decode it"),
        ({"args": np.zeros(3)}, TypeError, "one entry per parameter"),
    ],
)
def test_options_that_no_launch_has(
    compile_ptx: Compile, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    a = np.zeros(4, "f")
    options = {"ptx": compile_ptx(COPY), "grid": 1, "block": 1, "args": [a, a, 0], **change}
    with pytest.raises(error, match=words):
        vm.run(entry="k", **options)


def test_structs_are_bytes_not_numbers(compile_ptx: Compile) -> None:
    ptx = compile_ptx(
        'struct P { int a, b; }; extern "C" __global__ void k(P p, int* o) { *o = p.a - p.b; }'
    )
    o = np.zeros(1, "i4")
    vm.run(ptx, "k", 1, 1, [np.array([7, 9], "i4").tobytes(), o])
    assert o.tolist() == [-2]
    with pytest.raises(vm.Fault, match="a struct of 8 bytes, got the number 5; pass bytes"):
        vm.run(ptx, "k", 1, 1, [5, o])


def test_a_hang_says_once_who_spins_where_and_for_what() -> None:
    """Three blocks, two warps each, the second waits for a phase that nobody completes."""
    ptx = """
.version 8.0
.target sm_90
.address_size 64
.visible .entry k() {
  .shared .align 8 .b64 bar; .reg .b32 %t, %b; .reg .pred %p, %d;
  mov.u32 %t, %tid.x; mov.u32 %b, bar; setp.eq.u32 %p, %t, 0;
  @%p mbarrier.init.shared.b64 [%b], 2;
  bar.sync 0;
  @%p mbarrier.arrive.shared.b64 _, [%b];
  setp.lt.u32 %p, %t, 32;
  @%p bra E;
W: mbarrier.try_wait.parity.shared.b64 %d, [%b], 0;
  @!%d bra W;
E: ret; }"""
    with pytest.raises(vm.Fault) as caught:
        vm.run(ptx, "k", 3, 64, [])
    text = str(caught.value)
    assert "the lanes spin without end: warp 1 at PTX line 13; parity 0" in text
    assert text.count("1 of 2 arrivals and 0 bytes are outstanding (in 3 blocks)") == 1
    assert text.count("is awaited") == 1


def test_uninitialised_registers_are_warnings_where_lanes_read_them() -> None:
    text = """.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 o, .param .u32 n) {
  .reg .b32 %a, %b, %c, %t, %n; .reg .b64 %q; .reg .pred %p;
  mov.u32 %t, %tid.x; ld.param.u32 %n, [n]; setp.lt.u32 %p, %t, %n;
  @%p mov.u32 %a, 7;
  mov.u32 %b, %a;
  @%p bra L;
  mov.u32 %b, 1;
L: add.u32 %c, %b, 1;
  ld.param.u64 %q, [o]; mad.wide.u32 %q, %t, 4, %q; st.global.u32 [%q], %c;
  DOUBTFUL
  ret; }"""
    for doubtful, n, warned in (
        ("", 5, False),
        ("add.u32 %c, %a, 1;", 5, True),
        ("add.u32 %c, %a, 1;", 32, False),
        ("@%p add.u32 %c, %a, 1;", 5, False),
    ):
        o = np.zeros(32, np.uint32)
        report = vm.run(text.replace("DOUBTFUL", doubtful), "k", 1, 32, [o, n])
        np.testing.assert_array_equal(o, np.where(np.arange(32) < n, 8, 2))
        assert bool(report.warnings) is warned
        if warned:
            assert "%a" in str(report.warnings[0]) and report.warnings[0].place.line == 13


def test_shared_memory_and_clusters_have_their_limits(compile_ptx: Compile) -> None:
    ptx = compile_ptx('extern "C" __global__ void k(int* o) { o[threadIdx.x] = 1; }')
    o = np.zeros(1, np.int32)
    vm.run(ptx, "k", 1, 1, [o], shared=163 * 1024)
    with pytest.raises(vm.Fault, match="sm_80 has 166912"):
        vm.run(ptx, "k", 1, 1, [o], shared=164 * 1024)
    ptx = compile_ptx(
        r"""extern "C" __global__ void __cluster_dims__(2, 1, 1) k(int* o) {
        unsigned rank; asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank)); o[blockIdx.x] = rank + 1; }""",
        "sm_90a",
    )
    o = np.zeros(4, np.int32)
    vm.run(ptx, "k", 4, 1, [o])
    assert o.tolist() == [1, 2, 1, 2]
    with pytest.raises(vm.Fault, match="requires clusters"):
        vm.run(ptx, "k", 4, 1, [o], cluster=(4,))
    with pytest.raises(vm.Fault, match="multiple of the cluster"):
        vm.run(ptx, "k", 3, 1, [o])


def test_a_deadlock_names_its_warps_once_for_all_blocks(compile_ptx: Compile) -> None:
    ptx = compile_ptx(
        'extern "C" __global__ void k() { if (threadIdx.x < 64) asm volatile("bar.sync 1, 96;"); }'
    )
    with pytest.raises(vm.Fault) as caught:
        vm.run(ptx, "k", 3, 64, [])
    words = (
        "warps [0, 1] of block (0, 0, 0) (and of 2 more) wait at barrier 1 where 64 of 96 threads"
    )
    assert words in str(caught.value) and str(caught.value).count("of block") == 1
