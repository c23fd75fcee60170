"""Misuse that hardware leaves undefined: barriers with wrong counts, mbarriers initialised again or
overrun, collective instructions of some lanes, stale stages, memory of blocks that have ended.
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
#define ASM(text, ...) asm volatile(text ::__VA_ARGS__ : "memory")
__device__ __forceinline__ u32 at(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void wait(u64* b, int parity) {
  ASM("{ .reg .pred p; L: mbarrier.test_wait.parity.shared.b64 p, [%0], %1; @!p bra L; }", "r"(at(b)), "r"(parity));
}
extern "C" __global__ void k(int* o) {
  __shared__ __align__(16) int s[1024];
  __shared__ u64 bar;
  int t = threadIdx.x, lane = t % 32, v = 0;
  BODY
}"""


def run(
    compile_ptx: Compile, body: str, *, block: int = 64, arch: str = "sm_80", **options: object
) -> vm.Report:
    ptx = compile_ptx(HEAD.replace("BODY", body), arch)
    return vm.run(ptx, "k", options.pop("grid", 1), block, [np.zeros(1024, np.int32)], **options)


INIT = 'if (t == 0) ASM("mbarrier.init.shared.b64 [%0], 64;", "r"(at(&bar))); __syncthreads();'
ARRIVE = 'ASM("mbarrier.arrive.shared.b64 _, [%0];", "r"(at(&bar)));'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('ASM("bar.sync 1, 50;", );', "no multiple of 32"),
        ('ASM("bar.sync 16;", );', "no barrier 16"),
        ('if (t < 32) ASM("bar.sync 1, 64;", ); else ASM("bar.sync 1, 96;", );', "counts 64 and 96"),
        ('ASM("bar.arrive 1, 32;", );', "64 threads arrive"),
        (INIT + 'if (t < 32) ' + ARRIVE + '__syncthreads(); if (t == 0) ASM("mbarrier.init.shared.b64 [%0], 64;", "r"(at(&bar)));', "initialised again"),
        ('if (t == 0) ASM("mbarrier.init.shared.b64 [%0], 0;", "r"(at(&bar)));', "0 arrivals"),
        (INIT + 'if (t < 2) ASM("mbarrier.arrive.shared.b64 _, [%0], 40;", "r"(at(&bar)));', "expects only 24 more"),
        (ARRIVE, "mbarrier"),
        (INIT + ARRIVE.replace("%0]", "%0+4]"), "8-byte"),
        (INIT + "if (t < 60) " + ARRIVE + "wait(&bar, 0);", "4 of 64 arrivals"),
        (INIT + ARRIVE + "wait(&bar, 0); wait(&bar, 1);", "deadlock"),
    ],
)  # fmt: skip
def test_barriers_used_wrongly(compile_ptx: Compile, body: str, words: str) -> None:
    with pytest.raises(vm.Fault, match=words):
        run(compile_ptx, body)


@pytest.mark.parametrize(
    "body",
    [
        "if (lane < 16) o[t] = __shfl_xor_sync(~0u, t, 1); else __syncwarp(0xFFFF0000);",
        "if (lane < 16) o[t] = __ballot_sync(~0u, t & 1); else if (lane < 20) o[t] = __ballot_sync(0xF0000, 1);",
        "if (lane < 31) __syncwarp(); else __syncwarp(1u << 31);",
        "if (lane != 3) o[t] = __reduce_add_sync(~0u, t); else for (;;) { __syncwarp(8 | 1 << 4); }",
        'u32 r; if (lane < 8) asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r) : "r"(at(s)));',
    ],
)
def test_collective_instructions_of_some_lanes(compile_ptx: Compile, body: str) -> None:
    with pytest.raises(vm.Fault) as caught:
        run(compile_ptx, body + "__syncthreads();", block=32)
    assert caught.value.kind in ("divergence", "deadlock") and caught.value.lanes


MASKS = [
    ("o[t] = __shfl_xor_sync(lane < 16 ? 0xFFFF : 0xFF0000FF, t, 1);", "does not name them"),
    ("unsigned m = lane < 16 ? ~0u : 0xFFFF0000; o[t] = __ballot_sync(m, t & 1);", "in different member masks"),
    ("if (lane < 20) o[t] = __reduce_add_sync(0xFFFF, t); else o[t] = 1;", "does not name them"),
    ("if (lane < 20) __syncwarp(1u << (lane ^ 1));", "does not name them"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words"), MASKS)
def test_member_masks_name_their_lanes(compile_ptx: Compile, body: str, words: str) -> None:
    with pytest.raises(vm.Fault, match=words) as caught:
        run(compile_ptx, body, block=64)
    assert caught.value.kind == "divergence" and caught.value.lanes


@pytest.mark.parametrize(
    ("body", "warned"),
    [
        ("if (lane < 20) o[t] = __shfl_xor_sync(0xFFFFF, t, 16);", True),
        ("if (lane < 20) o[t] = __shfl_down_sync(0xFFFFF, t, 1) * (lane < 19);", False),
        ("if (lane < 16) o[t] = __shfl_down_sync(0xFFFF, t, 8, 16);", False),
        ("int got = __shfl_down_sync(~0u, t, 8); o[t] = got;", False),
        ("unsigned m = lane < 8 ? 0xFF : ~0xFFu; o[t] = __shfl_sync(m, t, 9);", True),
        (
            "unsigned m = lane < 8 ? 0xFF : ~0xFFu; int got = __shfl_sync(m, t, 9); if (lane > 7) o[t] = got;",
            False,
        ),
    ],
)
def test_what_a_shuffle_brings_of_lanes_outside_is_garbage(
    compile_ptx: Compile, body: str, warned: bool
) -> None:
    """… and only a warning where it reaches memory."""
    report = run(compile_ptx, body, block=64)
    found = [w for w in report.warnings if "take no part in the shuffle" in str(w)]
    assert bool(found) == warned and not report.races


def test_barriers_of_several_names_are_not_one(compile_ptx: Compile) -> None:
    """All warps come at once, each pair to a barrier of its own that a register names."""
    body = 's[t] = t; ASM("bar.sync %0, 64;", "r"(t / 64 + 1)); o[t] = s[t ^ FLIP];'
    assert run(compile_ptx, body.replace("FLIP", "32"), block=128).races == []
    assert run(compile_ptx, body.replace("FLIP", "64"), block=128).races


def test_matrix_products_need_whole_warpgroups(compile_ptx: Compile) -> None:
    body = 'if (t < THREADS) ASM("wgmma.fence.sync.aligned;", );'
    run(compile_ptx, body.replace("THREADS", "128"), block=256, arch="sm_90a")
    for threads in ("96", "160"):
        with pytest.raises(vm.Fault, match="warpgroup"):
            run(compile_ptx, body.replace("THREADS", threads), block=256, arch="sm_90a")


STAGES = r"""
  for (int i = 0; i < 6; i++) {
    if (t < 32) ASM("cp.async.ca.shared.global [%0], [%1], 4;", "r"(at(s + i % 2 * 32 + t)), "l"(o + i * 32 + t));
    ASM("cp.async.commit_group;", ); ASM("cp.async.wait_group 1;", );
    __syncthreads();
    if (i > 0) v += s[(i - STAGE) % 2 * 32 + (t ^ 3) % 32];
    __syncthreads();
  }
  o[512 + t] = v;"""


@pytest.mark.parametrize("checks", ["all", "late", "early"])
def test_the_stage_in_flight_must_not_be_read(compile_ptx: Compile, checks: str) -> None:
    assert run(compile_ptx, STAGES.replace("STAGE", "1"), checks=checks).races == []
    report = run(compile_ptx, STAGES.replace("STAGE", "0"), checks=checks)
    assert any("cp.async.wait_group" in race.missing for race in report.races)


CLUSTER = r"""
  u32 rank, peer, x;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(peer) : "r"(at(s + t)), "r"(rank ^ 1));
  s[t] = t;
  ASM("barrier.cluster.arrive.aligned;", ); ASM("barrier.cluster.wait.aligned;", );
  asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(x) : "r"(peer) : "memory");
  o[t] = x; END"""
LEAVE = 'ASM("barrier.cluster.arrive.aligned;", );'


@pytest.mark.parametrize(
    ("end", "clean"), [(LEAVE + LEAVE.replace("arrive", "wait"), True), (LEAVE, False), ("", False)]
)
def test_blocks_outlive_their_visitors(compile_ptx: Compile, end: str, clean: bool) -> None:
    body = CLUSTER.replace("END", end)
    report = run(compile_ptx, body, block=32, arch="sm_90a", grid=2, cluster=(2,))
    texts = [race for race in report.races if race.space == "shared"]
    assert (not texts) is clean
    if not clean:
        assert "exit" in texts[0].later.what and "ld.shared::cluster" in str(texts[0])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (LEAVE + LEAVE, "second arrival"),
        (LEAVE.replace("arrive", "wait"), "without an arrival"),
        ("if (t < 16) " + LEAVE.replace(".aligned", "") + LEAVE.replace("arrive", "wait").replace(".aligned", ""), "without an arrival"),
    ],
)  # fmt: skip
def test_the_cluster_barrier_alternates(compile_ptx: Compile, body: str, words: str) -> None:
    with pytest.raises(vm.Fault, match=words):
        run(compile_ptx, body, block=32, arch="sm_90a", grid=2, cluster=(2,))


def test_a_product_needs_a_fence_behind_writes_of_its_registers(compile_ptx: Compile) -> None:
    registers = '"+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])'
    product = (
        'asm volatile("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0,%1,%2,%3}, %4, %4, 1, 1, 1, 0, 0;"'
        f': {registers} : "l"((u64)(at(s) >> 4) | (u64)8 << 16 | (u64)16 << 32));'
        f'ASM("wgmma.commit_group.sync.aligned;", ); asm volatile("wgmma.wait_group.sync.aligned 0;" : {registers} :: "memory");'
    )
    fence = f'asm volatile("wgmma.fence.sync.aligned;" : {registers} :: "memory");'
    for fences, warned in (((fence, fence), False), ((fence, ""), True), (("", fence), True)):
        body = (
            'for (int i = t; i < 1024; i += 128) s[i] = 0; ASM("fence.proxy.async;", ); __syncthreads();'
            f"float d[4] = {{}}; {fences[0]}{product} for (int i = 0; i < 4; i++) d[i] = d[i] * 2 + 1; {fences[1]}{product}"
            "o[t] = d[0] + d[1] + d[2] + d[3];"
        )
        report = run(compile_ptx, body, block=128, arch="sm_90a")
        assert ("missing fence" in {w.kind for w in report.warnings}) is warned, report.warnings
