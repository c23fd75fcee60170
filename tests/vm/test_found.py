"""What programs of other compilers had found wrong or missing, in a few lines of PTX each."""

# ruff: noqa: E501  (lines of PTX stay whole)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tilewright.runtime import vm

HEAD = ".version 8.7\n.target sm_90a\n.address_size 64\n"


def run(params: str, body: str, args: list[Any], **how: Any) -> vm.Report:
    declared = ", ".join(f".param .u64 {name}" for name in params.split())
    registers = "".join(f"ld.param.u64 %{name}, [{name}]; " for name in params.split())
    names = "".join(f".reg .b64 %{name}; " for name in params.split())
    text = f"{HEAD}.visible .entry k({declared}) {{ {names}{registers}\n{body}\nret; }}"
    how = {"grid": 1, "block": 32, **how}
    grid, block = how.pop("grid"), how.pop("block")
    return vm.run(text, "k", grid, block, args, **how)


@pytest.mark.parametrize("name", ["min", "max"])
@pytest.mark.parametrize("mods", ["", ".NaN"])
def test_extremes_of_packed_halves_with_zeros(name: str, mods: str) -> None:
    """-0 is below +0 in each half; a NaN loses, or wins where the instruction says so."""
    values = np.array([0.0, -0.0, 1.5, -2.0, np.nan, np.inf], "f2")
    a = np.repeat(values, 6)[:32].copy()
    b = np.tile(values, 6)[:32].copy()
    o = np.zeros(32, "f2")
    body = f"""
  .reg .b32 %t, %x, %y; .reg .pred %p;
  mov.u32 %t, %tid.x; setp.lt.u32 %p, %t, 16;
  mad.wide.u32 %a, %t, 4, %a; mad.wide.u32 %b, %t, 4, %b; mad.wide.u32 %o, %t, 4, %o;
  @%p ld.global.b32 %x, [%a]; @%p ld.global.b32 %y, [%b];
  @%p {name}{mods}.f16x2 %x, %x, %y;
  @%p st.global.b32 [%o], %x;"""
    run("a b o", body, [a, b, o])
    choose = {"min": min, "max": max}[name]
    for x, y, got in zip(a.tolist(), b.tolist(), o.tolist(), strict=True):
        if np.isnan(x) or np.isnan(y):
            want = np.nan if mods else y if np.isnan(x) else x
        elif x == y == 0:
            signs = (np.copysign(1, x), np.copysign(1, y))
            want = np.copysign(0.0, choose(signs))
        else:
            want = choose(x, y)
        np.testing.assert_array_equal(got, want)
        assert np.isnan(want) or np.signbit(got) == np.signbit(want)


def test_cache_policies_are_made_and_used() -> None:
    x, o = np.arange(32, dtype="u4"), np.zeros(32, "u4")
    body = """
  .reg .b64 %c, %d, %e, %q, %z; .reg .b32 %t, %v;
  createpolicy.fractional.L2::evict_first.b64 %c, 1.0;
  createpolicy.fractional.L2::evict_last.L2::evict_unchanged.b64 %d, 0.25;
  createpolicy.range.global.L2::evict_last.L2::evict_first.b64 %e, [%x], 64, 128;
  mov.u32 %t, %tid.x; mad.wide.u32 %q, %t, 4, %x; mad.wide.u32 %z, %t, 4, %o;
  ld.global.L1::evict_first.L2::cache_hint.b32 %v, [%q], %c;
  st.global.L2::cache_hint.b32 [%z], %v, %d;"""
    run("x o", body, [x, o])
    np.testing.assert_array_equal(o, x)


def test_a_block_that_spins_around_its_barrier_lets_the_lock_holder_on() -> None:
    """As compilers spin for a whole block: one lane swaps, a barrier, all read what it found."""
    total, lock = np.zeros(1, "u4"), np.zeros(1, "u4")
    body = """
  .shared .b32 seen; .reg .b32 %t, %v, %s; .reg .pred %z, %again;
  mov.u32 %t, %tid.x; setp.eq.u32 %z, %t, 0; mov.u32 %s, seen;
L: bar.sync 0;
  @%z atom.global.acq_rel.gpu.cas.b32 %v, [%lock], 0, 1;
  @%z st.shared.b32 [%s], %v;
  bar.sync 0;
  ld.shared.b32 %v, [%s];
  setp.eq.u32 %again, %v, 1;
  @%again bra L;
  @%z ld.global.b32 %v, [%total];
  @%z add.u32 %v, %v, 1;
  @%z st.global.b32 [%total], %v;
  bar.sync 0;
  @%z atom.global.acq_rel.gpu.exch.b32 %v, [%lock], 0;"""
    report = run("total lock", body, [total, lock], grid=7, block=64)
    assert total[0] == 7 and lock[0] == 0 and report.races == []


PRODUCT = """
  .shared .align 1024 .b8 tile[4096]; .reg .b32 %t, %s, %i, %v; .reg .b64 %da, %db, %q; .reg .pred %p;
  .reg .f32 %d<4>, %sum; .reg .b32 %a<4>;
  mov.u32 %t, %tid.x; mov.u32 %s, tile; mad.lo.u32 %i, %t, 32, %s; mov.u32 %v, 0x3f803f80;
  st.shared.v4.b32 [%i], {%v, %v, %v, %v}; st.shared.v4.b32 [%i+16], {%v, %v, %v, %v};
  mov.f32 %d0, 0f00000000; mov.f32 %d1, %d0; mov.f32 %d2, %d0; mov.f32 %d3, %d0;
  mov.u32 %a0, %v; mov.u32 %a1, %v; mov.u32 %a2, %v; mov.u32 %a3, %v;
  fence.proxy.async; bar.sync 0;
  bfe.u32 %i, %s, 4, 14; cvt.u64.u32 %da, %i; or.b64 %da, %da, 0x0000001000080000; mov.b64 %db, %da;
  wgmma.fence.sync.aligned;
  wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%d0, %d1, %d2, %d3}, A, %db, 1, 1, 1 TAIL;
  wgmma.commit_group.sync.aligned;
  BEFORE
  wgmma.wait_group.sync.aligned 0;
  AFTER
  mad.wide.u32 %q, %t, 4, %o; st.global.f32 [%q], %sum;"""
SUM = "add.f32 %sum, %d0, %d3;"


@pytest.mark.parametrize("checks", ["all", "late", "early"])
@pytest.mark.parametrize(
    ("operand", "before", "after", "told"),
    [
        ("%da", "", SUM, False),
        ("%da", SUM, "", True),
        ("%da", "mov.f32 %d1, 0f40000000;", SUM, True),
        ("{%a0, %a1, %a2, %a3}", "", SUM, False),
        ("{%a0, %a1, %a2, %a3}", "mov.b32 %v, %a2;", SUM, False),
        ("{%a0, %a1, %a2, %a3}", "mov.b32 %a2, 0;", SUM, True),
    ],
)
def test_registers_of_a_product_in_flight(
    checks: str, operand: str, before: str, after: str, told: bool
) -> None:
    """Accumulators belong to the product until the wait, A fragments may still be read. What is
    used too early is told, and has the value that it has where the assembler injects a wait.
    """
    body = PRODUCT.replace("BEFORE", before).replace("AFTER", after).replace(" A,", f" {operand},")
    body = body.replace(" TAIL", ", 0" if "{" in operand else ", 0, 0")
    o = np.zeros(128, "f4")
    report = run("o", body, [o], block=128, checks=checks)
    assert (o == 32).all()
    assert [w.kind for w in report.warnings] == ["product in flight"] * told
    assert report.races == []


@pytest.mark.parametrize("order", [1, -1])
def test_a_tensor_map_begins_from_zeros(order: int) -> None:
    """All fields of 128 zero bytes are replaced, in any order that leaves no axis beyond the rank."""
    fields = [
        "rank.shared::cta.b1024.b32 [%m], 1", "elemtype.shared::cta.b1024.b32 [%m], 2",
        "box_dim.shared::cta.b1024.b32 [%m], 0, 32", "box_dim.shared::cta.b1024.b32 [%m], 1, 4",
        "global_dim.shared::cta.b1024.b32 [%m], 0, 32", "global_dim.shared::cta.b1024.b32 [%m], 1, 3",
        "global_stride.shared::cta.b1024.b64 [%m], 0, 128",
        "element_stride.shared::cta.b1024.b32 [%m], 0, 1", "element_stride.shared::cta.b1024.b32 [%m], 1, 1",
        "interleave_layout.shared::cta.b1024.b32 [%m], 0", "swizzle_mode.shared::cta.b1024.b32 [%m], 0",
        "fill_mode.shared::cta.b1024.b32 [%m], 0", "global_address.shared::cta.b1024.b64 [%m], %x",
    ]  # fmt: skip
    edits = "\n".join(f"  @%z tensormap.replace.tile.{field};" for field in fields[::order])
    body = f"""
  .shared .align 128 .b8 map[128]; .shared .align 1024 .b8 tile[512]; .shared .align 8 .b64 bar;
  .reg .b32 %t, %s, %b, %v, %i; .reg .b64 %m, %q; .reg .pred %z, %done;
  mov.u32 %t, %tid.x; setp.eq.u32 %z, %t, 0; mov.u32 %s, map; mov.u32 %b, bar; mov.u32 %v, 0;
  mad.lo.u32 %i, %t, 4, %s; st.shared.b32 [%i], %v; bar.warp.sync -1;
  cvt.u64.u32 %m, %s; cvta.shared.u64 %m, %m; cvta.to.shared.u64 %m, %m;
{edits}
  bar.warp.sync -1;
  tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%g], [%m], 128;
  fence.proxy.tensormap::generic.acquire.gpu [%g], 128;
  @%z mbarrier.init.shared::cta.b64 [%b], 1;
  @%z fence.mbarrier_init.release.cluster;
  bar.warp.sync -1;
  @%z mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], 512;
  mov.u32 %s, tile;
  @%z cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%s], [%g, {{0, 1}}], [%b];
W: mbarrier.try_wait.parity.shared::cta.b64 %done, [%b], 0;
  @!%done bra W;
  mad.lo.u32 %s, %t, 16, %s; mad.wide.u32 %q, %t, 16, %o;
  .reg .b32 %w<4>; ld.shared.v4.b32 {{%w0, %w1, %w2, %w3}}, [%s]; st.global.v4.b32 [%q], {{%w0, %w1, %w2, %w3}};"""
    x = np.random.default_rng().integers(0, 99, (4, 32)).astype("u4")
    g, o = np.zeros(128, "u1"), np.full((4, 32), 777, "u4")
    report = run("x g o", body, [x, g, o])
    np.testing.assert_array_equal(o, [x[1], x[2], 0 * x[0], 0 * x[0]])
    assert report.races == []


@pytest.mark.parametrize(
    ("between", "kind"),
    [
        ("@%z fence.mbarrier_init.release.cluster; bar.sync 0;", "clean"),
        ("bar.sync 0;", "warning"),
        ("", "race"),
    ],
)
def test_a_bulk_copy_after_mbarrier_init(between: str, kind: str) -> None:
    """Initialised by the first warp, used by the second: unordered is a race, a fence that only the
    async proxy would need a warning, since compilers in the field leave it out.
    """
    body = f"""
  .shared .align 128 .b8 tile[128]; .shared .align 8 .b64 bar; .reg .b32 %t, %s, %b; .reg .pred %z, %y, %done;
  mov.u32 %t, %tid.x; setp.eq.u32 %z, %t, 0; setp.eq.u32 %y, %t, 32; mov.u32 %s, tile; mov.u32 %b, bar;
  @%z mbarrier.init.shared::cta.b64 [%b], 1;
  {between}
  @%y mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], 128;
  @%y cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%s], [%x], 128, [%b];
  bar.sync 0;
W: mbarrier.try_wait.parity.shared::cta.b64 %done, [%b], 0;
  @!%done bra W;"""
    report = run("x", body, [np.zeros(32, "u4")], block=64)
    assert bool(report.races) == (kind == "race")
    warned = {"missing proxy fence"} if kind == "warning" else set()
    assert {w.kind for w in report.warnings} == warned


def test_directives_without_a_blank_between_them() -> None:
    o = np.zeros(32, "u4")
    body = "{.reg.b32 %v,%w;.reg.pred %p; mov.u32 %v,%tid.x; mad.wide.u32 %o,%v,4,%o; st.global.u32 [%o],%v;}"
    run("o", body, [o])
    np.testing.assert_array_equal(o, np.arange(32))


@pytest.mark.parametrize("last", [7, 15, 40, 63])
@pytest.mark.parametrize("allowed", [1, 2])
def test_lanes_with_fewer_copies_do_not_hold_back_what_others_waited_for(
    last: int, allowed: int
) -> None:
    """Lanes up to `last` copy in the first group, all in the second: a wait that leaves the second in
    flight, then a barrier, orders the first; one that leaves both does not.
    """
    body = f"""
  .shared .align 16 .b8 st[4096]; .reg .b32 %t, %s, %v, %w; .reg .b64 %q, %z; .reg .pred %p, %r;
  mov.u32 %t, %tid.x; mov.u32 %s, st; mad.lo.u32 %s, %t, 16, %s; mad.wide.u32 %q, %t, 16, %x;
  setp.gt.u32 %p, %t, {last};
  @%p bra L;
  cp.async.cg.shared.global [%s], [%q], 16;
L: cp.async.commit_group;
  add.u32 %v, %s, 2048; cp.async.ca.shared.global [%v], [%q], 4; cp.async.commit_group;
  cp.async.wait_group {allowed};
  bar.sync 0;
  mov.u32 %s, st; sub.u32 %v, {last}, %t; mad.lo.u32 %s, %v, 16, %s; mad.wide.u32 %z, %t, 4, %o;
  @!%p ld.shared.u32 %w, [%s];
  @!%p st.global.u32 [%z], %w;
  cp.async.wait_group 0;"""
    x, o = np.random.default_rng().integers(0, 99, (64, 4)).astype("u4"), np.full(64, 777, "u4")
    report = run("x o", body, [x, o], block=64)
    assert bool(report.races) == (allowed == 2)
    if allowed == 1:
        np.testing.assert_array_equal(o[: last + 1], x[last::-1, 0])
