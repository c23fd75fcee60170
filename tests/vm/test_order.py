"""What orders and what does not, to the lane: partial warp barriers, single arrivals, scopes, strong
accesses, many readers, exits. Each case once with its edge and once without.
"""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tilewright.runtime import vm

Compile = Callable[..., str]

HEAD = r"""
typedef unsigned int u32;
typedef unsigned long long u64;
__device__ __forceinline__ u32 at(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void init(u64* b, int n) { asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(at(b)), "r"(n) : "memory"); }
__device__ __forceinline__ void arrive(u64* b) { asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(at(b)) : "memory"); }
__device__ __forceinline__ void wait(u64* b, int parity) {
  asm volatile("{ .reg .pred p; L: mbarrier.test_wait.parity.shared.b64 p, [%0], %1; @!p bra L; }" ::"r"(at(b)), "r"(parity) : "memory");
}
extern "C" __global__ void k(int* o, int* g) {
  __shared__ int s[256];
  __shared__ u64 bar[2];
  int t = threadIdx.x, lane = t % 32, warp = t / 32;
  if (t == 0) { init(bar, ARRIVALS); init(bar + 1, 1); }
  __syncthreads();
  BODY
}"""


def races(
    compile_ptx: Compile, body: str, *, block: int = 64, grid: int = 1, arrivals: int = 1
) -> list[str]:
    source = HEAD.replace("BODY", body).replace("ARRIVALS", str(arrivals))
    ptx = compile_ptx(source)
    found: list[str] = []
    for seed in range(2):
        o, g = np.zeros(1024, np.int32), np.zeros(1024, np.int32)
        report = vm.run(ptx, "k", grid, block, [o, g], seed=seed)
        found += [str(race) for race in report.races]
    return found


PARTIAL = "s[t] = t; if (lane < 8) { __syncwarp(0xFF); o[t] = s[t ^ FLIP]; } else o[t] = lane;"


def test_a_warp_barrier_of_some_lanes_orders_those(compile_ptx: Compile) -> None:
    assert not races(compile_ptx, PARTIAL.replace("FLIP", "5"), block=32)
    (text, *_) = races(compile_ptx, PARTIAL.replace("FLIP", "13"), block=32)
    assert "__syncwarp" in text


HANDOVER = """
  if (warp == 0) { g[0] = s[0]; SYNC if (lane == 3) arrive(bar); }
  else { wait(bar, 0); s[0] = 7; }"""


def test_one_lane_arrives_for_its_warp_only_behind_a_warp_barrier(compile_ptx: Compile) -> None:
    start = "s[t] = 0; __syncthreads();"
    assert not races(compile_ptx, start + HANDOVER.replace("SYNC", "__syncwarp();"))
    found = races(compile_ptx, start + HANDOVER.replace("SYNC", ""))
    assert any("before one lane" in text for text in found)


def test_every_reading_lane_may_arrive_itself(compile_ptx: Compile) -> None:
    body = """s[t] = 0; __syncthreads();
      if (t < COUNT) { o[t] = s[0] + s[t + 1]; arrive(bar); }
      else if (t >= 32) { wait(bar, 0); s[0] = 7; s[(t - 32) % 17] = 5; }"""
    for count in (16, 32):
        assert not races(compile_ptx, body.replace("COUNT", str(count)), arrivals=count)
    assert races(
        compile_ptx,
        body.replace("t < COUNT", "t < 17").replace("arrive(bar)", "if (t < 16) arrive(bar)"),
        arrivals=16,
    )


def test_one_waiting_lane_knows_alone(compile_ptx: Compile) -> None:
    body = """
      if (warp == 0) { s[t] = t; __syncwarp(); if (lane == 0) arrive(bar); }
      else { if (lane == 0) wait(bar, 0); SYNC o[t] = s[lane]; }"""
    assert not races(compile_ptx, body.replace("SYNC", "__syncwarp();"))
    assert races(compile_ptx, body.replace("SYNC", ""))


def test_an_arrival_covers_what_came_before_it_only(compile_ptx: Compile) -> None:
    body = """
      if (warp == 0) { FIRST asm volatile("bar.arrive 1, 64;" ::: "memory"); SECOND }
      else { asm volatile("bar.sync 1, 64;" ::: "memory"); o[t] = s[lane]; }"""
    assert not races(compile_ptx, body.replace("FIRST", "s[t] = t;").replace("SECOND", ""))
    late = body.replace("FIRST", "s[t] = t;").replace("SECOND", "s[t] = t + 1;")
    assert races(compile_ptx, late)


def test_copies_after_an_arrival_are_not_part_of_it(compile_ptx: Compile) -> None:
    copy = 'asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(at(s + t + OFF)), "l"(g + t) : "memory");'
    signal = (
        'asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(at(bar)) : "memory");'
    )
    body = "if (warp == 0) { ORDER } else { wait(bar, 0); o[t] = s[lane + 64]; }"
    early, other = copy.replace("OFF", "64"), copy.replace("OFF", "128")
    assert not races(compile_ptx, body.replace("ORDER", early + signal + other), arrivals=32)
    assert races(compile_ptx, body.replace("ORDER", other + signal + early), arrivals=32)


def test_a_wait_of_other_lanes_copies_does_not_count(compile_ptx: Compile) -> None:
    copy = 'asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(at(s + t)), "l"(g + t) : "memory");'
    body = (
        copy
        + 'if (WHO) asm volatile("cp.async.wait_all;" ::: "memory"); __syncthreads(); o[t] = s[t ^ 32];'
    )
    assert not races(compile_ptx, body.replace("WHO", "true"))
    (text, *_) = races(compile_ptx, body.replace("WHO", "lane != 5"))
    assert "lane 5" in text and "wait_group" in text


def test_all_atomics_of_other_warps_count_not_just_the_last(compile_ptx: Compile) -> None:
    body = """s[t] = 0; __syncthreads();
      if (warp == 1) atomicAdd(&s[0], 1);
      else if (warp == 0) { for (int i = 0; i < 9; i++) __nanosleep(1); atomicAdd(&s[0], 1); __syncwarp(); o[t] = s[0]; }"""
    found = races(compile_ptx, body)
    assert any("atomic" in text for text in found)
    joined = (
        body.replace("__syncwarp();", "").replace("o[t] = s[0];", "")
        + "__syncthreads(); o[t] = s[0];"
    )
    assert not races(compile_ptx, joined)


def test_an_atomic_does_not_hide_the_plain_write_before_it(compile_ptx: Compile) -> None:
    body = """if (warp == 0 && lane == 0) { s[0] = 0; atomicAdd(&s[0], 1); arrive(bar + 1); }
      SYNC if (warp == 1) atomicAdd(&s[0], 1);"""
    assert races(compile_ptx, body.replace("SYNC", ""))
    assert not races(compile_ptx, body.replace("SYNC", "if (warp == 1) wait(bar + 1, 0);"))


def test_every_unordered_reader_of_global_memory_counts(compile_ptx: Compile) -> None:
    """Five warps read one place; the writer has met all of them but one, which need not be the last."""
    read = "if (warp < 5) o[t] = g[7]; "
    for left_out in range(5):
        bars = "".join(
            f'if (warp == {w}) asm volatile("bar.arrive {w + 1}, 64;" ::: "memory");'
            f'if (warp == 5) asm volatile("bar.sync {w + 1}, 64;" ::: "memory");'
            for w in range(5) if w != left_out
        )  # fmt: skip
        found = races(compile_ptx, read + bars + "if (t == 160) g[7] = 1;", block=192)
        assert found and all(f"warp {left_out} " in text for text in found)
    bars = '__syncwarp(); if (warp < 6) asm volatile("bar.sync 9, 192;" ::: "memory");'
    assert not races(compile_ptx, read + bars + "if (t == 160) g[7] = 1;", block=192)


def test_blocks_of_one_gang_and_of_later_ones_are_all_remembered(compile_ptx: Compile) -> None:
    for grid in (5, 70):
        body = "o[t] = g[7]; if (blockIdx.x == gridDim.x - 1) { __syncthreads(); g[7] = 3; }"
        assert races(compile_ptx, body, grid=grid)


SCOPES = """
  if (blockIdx.x == 0) { if (t == 0) { g[1] = 5; asm volatile("st.release.RELEASE.global.u32 [%0], 1;" ::"l"(g) : "memory"); } }
  else if (t == 0) {
    int seen; do asm volatile("ld.acquire.ACQUIRE.global.u32 %0, [%1];" : "=r"(seen) : "l"(g) : "memory"); while (!seen);
    o[0] = g[1];
  }"""


@pytest.mark.parametrize(
    ("release", "acquire", "clean"),
    [("gpu", "gpu", True), ("sys", "gpu", True), ("cta", "gpu", False), ("gpu", "cta", False)],
)
def test_scopes_must_reach_each_other(
    compile_ptx: Compile, release: str, acquire: str, clean: bool
) -> None:
    body = SCOPES.replace("RELEASE", release).replace("ACQUIRE", acquire)
    assert bool(races(compile_ptx, body, grid=2)) is not clean


def test_writes_after_a_release_are_not_part_of_it_in_later_gangs(compile_ptx: Compile) -> None:
    """200 blocks of 64 threads are several gangs."""
    body = """if (blockIdx.x == 0 && t == 0) {
        FIRST __threadfence(); atomicAdd(g, 1); SECOND
      } else if (blockIdx.x == gridDim.x - 1 && t == 0) {
        if (atomicAdd(g, 1) > 0) { __threadfence(); o[0] = g[1]; }
      }"""
    write = "g[1] = 4;"
    clean = body.replace("FIRST", write).replace("SECOND", "")
    assert not races(compile_ptx, clean, grid=200)
    assert races(compile_ptx, body.replace("FIRST", "").replace("SECOND", write), grid=200)
