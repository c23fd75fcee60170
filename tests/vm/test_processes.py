"""Blocks in several processes: nothing but the time may change."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tilewright.runtime import vm
from tilewright.runtime.vm import processes

Compile = Callable[..., str]
VARIABLE = "TILEWRIGHT_VM_PROCESSES"
HEADER = ".version 8.6\n.target sm_80\n.address_size 64\n"
BLOCK = 512  # four blocks make a gang


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of gangs that each worker got, in order."""
    found: list[int] = []

    class Counted(processes.Worker):
        def __init__(self, launch: Any, share: list[Any]) -> None:
            super().__init__(launch, share)
            found.append(len(share))

    monkeypatch.setattr(processes, "Worker", Counted)
    return found


def run_with(monkeypatch: pytest.MonkeyPatch, count: int, *args: Any, **options: Any) -> vm.Report:
    monkeypatch.setenv(VARIABLE, str(count))
    return vm.run(*args, **options)


def kernel(body: str, params: str = ".param .u64 x", *, block: int = BLOCK) -> str:
    """A kernel whose %i is the lane of the grid, %b the block, %p the place of x[%i] (32 bits)."""
    return f"""{HEADER}.visible .entry k({params}) {{
  .reg .b64 %p, %q, %s; .reg .b32 %i, %t, %b, %v, %w, %u; .reg .pred %c, %d;
  mov.u32 %t, %tid.x; mov.u32 %b, %ctaid.x; mad.lo.u32 %i, %b, {block}, %t;
  ld.param.u64 %q, [x]; mad.wide.u32 %p, %i, 4, %q;
  {body}
  ret;
}}"""


def summary(report: vm.Report) -> dict[str, Any]:
    """All of a report; races and warnings in any order."""
    found: dict[str, Any] = json.loads(report.to_json())
    return found | {"races": sorted(found["races"]), "warnings": sorted(found["warnings"])}


@pytest.mark.parametrize("checks", ["all", "off"])
def test_a_matmul_is_the_same_in_any_number_of_processes(
    compile_ptx: Compile, matmul_source: str, monkeypatch: pytest.MonkeyPatch,
    workers: list[int], checks: str,
) -> None:  # fmt: skip
    ptx = compile_ptx(matmul_source)
    rng = np.random.default_rng()
    m, n, k, seed = 300, 200, 160, int(rng.integers(1 << 30))
    a, b = rng.integers(-8, 9, (m, k)), rng.integers(-8, 9, (n, k))
    bits = [(x.astype("f").view(np.uint32) >> 16).astype(np.uint16) for x in (a, b)]
    found = []
    for count in (1, 2, 3):
        c = np.full((m, n), np.nan, "f")
        report = run_with(
            monkeypatch, count, ptx, "matmul", (4, 5), 256, [*bits, c, m, n, k],
            shared=3 * 128 * 64, checks=checks, seed=seed,
        )  # fmt: skip
        np.testing.assert_array_equal(c, a @ b.T)
        found.append(summary(report))
        if checks != "off":
            assert len(report.timeline(blocks=20).blocks) == 20
    assert found[0] == found[1] == found[2]
    assert workers == [2, 1, 1]


STALE = kernel("""
  .shared .align 16 .b8 tile[8192];
  mov.u32 %v, tile; mad.lo.u32 %v, %t, 16, %v; mad.wide.u32 %s, %i, 12, %p;
  cp.async.ca.shared.global [%v], [%s], 16; cp.async.commit_group;
  ld.shared.u32 %w, [%v];
  cp.async.wait_group 0;
  st.global.u32 [%s], %w;
""")


def test_a_seed_means_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a missing wait reads depends on the seed, and on nothing else."""
    rng = np.random.default_rng()
    x = rng.integers(1, 1 << 30, (32 * BLOCK, 4), dtype=np.uint32)
    outcomes = set()
    for seed in rng.integers(0, 1 << 40, 3).tolist():
        results = []
        for count in (1, 2):
            y = x.copy()
            report = run_with(monkeypatch, count, STALE, "k", 32, BLOCK, [y], seed=seed)
            results.append((y.tobytes(), json.dumps(summary(report))))
        assert results[0] == results[1]
        outcomes.add(results[0][0])
    assert len(outcomes) == 3


@pytest.mark.parametrize("body", [
    "add.u32 %v, %i, 1;\nst.global.u32 [%q], %v;",  # all blocks write to one place
    "setp.eq.u32 %c, %b, 0;\n@%c st.global.u32 [%q], %i;\nld.global.u32 %v, [%q];",
    "ld.global.u32 %v, [%q];\nsetp.eq.u32 %c, %i, 16383;\n@%c st.global.u32 [%q], %i;",
    """mad.wide.u32 %s, %b, 2, %q; setp.eq.u32 %c, %t, 0;
    @%c st.global.u16 [%s], %b;
    setp.eq.u32 %d, %b, 31;
    @%d ld.global.u32 %v, [%q];""",
    """ld.global.u32 %v, [%p];
    xor.b32 %i, %i, 16383; mad.wide.u32 %p, %i, 4, %q;
    st.global.u32 [%p], %i;
    ld.global.u32 %v, [%p];""",
])  # fmt: skip
def test_races_between_blocks_of_different_processes(
    monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    text, found = kernel(body), []
    for count in (1, 3):
        x = np.zeros(32 * BLOCK, np.uint32)
        report = run_with(monkeypatch, count, text, "k", 32, BLOCK, [x])
        found.append({race.lines for race in report.races})
    assert found[0]
    assert found[0] == found[1]


def test_a_race_that_only_two_processes_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last block write one byte of a word; the report names both."""
    text = kernel("""
      setp.eq.u32 %c, %i, 5; @%c st.global.u32 [%q+4], %i;
      setp.eq.u32 %c, %i, 16382; @%c st.global.u8 [%q+6], %i;
    """)
    shown = []
    for count in (1, 2, 3):
        report = run_with(monkeypatch, count, text, "k", 32, BLOCK, [np.zeros(40, np.uint32)])
        (race,) = report.races
        assert race.earlier.block == (0, 0, 0) and race.later.block == (31, 0, 0)
        assert (race.earlier.lane, race.later.warp, race.later.lane) == (5, 15, 30)
        shown.append(str(race))
    assert shown[0] == shown[1] == shown[2]


def test_clusters_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are numbered cluster by cluster; reports name them by their place in the grid."""
    text = kernel("""
      mov.u32 %u, %ctaid.y; shl.b32 %w, %u, 3; add.u32 %w, %w, %b;
      mad.lo.u32 %w, %w, 512, %t; mad.wide.u32 %p, %w, 4, %q; st.global.u32 [%p], %w;
      setp.eq.u32 %c, %u, 3; setp.eq.and.u32 %c, %b, 5, %c; setp.eq.and.u32 %c, %t, 7, %c;
      @%c st.global.u32 [%q], %t;
    """).replace("sm_80", "sm_90a")
    shown = []
    for count in (1, 2):
        x = np.zeros(32 * BLOCK, np.uint32)
        report = run_with(monkeypatch, count, text, "k", (8, 4), BLOCK, [x], cluster=(2, 2, 1))
        np.testing.assert_array_equal(x[1:], np.arange(1, 32 * BLOCK))
        (race,) = report.races
        assert race.earlier.block == (0, 0, 0) and race.later.block == (5, 3, 0)
        shown.append(str(race))
    assert shown[0] == shown[1]


def test_neighbours_within_a_cell_do_not_race(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "cvt.u64.u32 %s, %i; add.u64 %s, %q, %s; st.global.u8 [%s], %i;"
    x = np.zeros(32 * BLOCK + 3, np.uint8)[3:]
    report = run_with(monkeypatch, 3, kernel(body), "k", 32, BLOCK, [x])
    assert report.races == []
    np.testing.assert_array_equal(x, np.arange(32 * BLOCK).astype(np.uint8))


PRINT = (HEADER + """
.extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);
.global .align 1 .b8 text[10] = {98, 108, 111, 99, 107, 32, 37, 100, 10, 0};
""" + kernel("""
  setp.ne.u32 %c, %t, 0; @%c bra DONE;
  { .local .align 4 .b8 frame[4]; .reg .b64 %f, %a; .reg .b32 %r;
    cvta.local.u64 %a, frame; st.u32 [%a], %b; cvta.global.u64 %f, text;
    { .param .b64 f; st.param.b64 [f], %f; .param .b64 a; st.param.b64 [a], %a;
      .param .b32 r; call.uni (r), vprintf, (f, a); ld.param.b32 %r, [r]; } }
  DONE:
""").removeprefix(HEADER))  # fmt: skip


def test_printed_lines_come_in_the_order_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = []
    for count in (1, 3):
        x = np.zeros(32 * BLOCK, np.uint32)
        outputs.append(run_with(monkeypatch, count, PRINT, "k", 32, BLOCK, [x]).output)
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 32 and outputs[0][-1].strip() == "block 31"


FAULT = kernel("""
  st.global.u32 [%p], %i;
  setp.gt.u32 %c, %b, 20; @%c add.u64 %p, %p, 65536; st.global.u32 [%p], %i;
""")


def test_a_fault_in_a_worker_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for count in (1, 2, 3):
        x = np.full(32 * BLOCK, 7, np.uint32)
        with pytest.raises(vm.Fault) as error:
            run_with(monkeypatch, count, FAULT, "k", 32, BLOCK, [x])
        fault = error.value
        assert fault.kind == "out of bounds" and fault.report is not None
        assert (x == 7).all()
        found.append((str(fault), fault.block, fault.lanes, summary(fault.report)))
    assert found[0] == found[1] == found[2]
    assert found[0][1] == (21, 0, 0)


def test_the_first_fault_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of all processes fault; the caller hears of the first one."""
    text = kernel("setp.gt.u32 %c, %b, 1; @%c trap;")
    for count in (1, 3):
        x = np.zeros(4, np.uint32)
        with pytest.raises(vm.Fault, match=r"block \(2, 0, 0\)"):
            run_with(monkeypatch, count, text, "k", 32, BLOCK, [x])


def test_a_killed_worker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(processes.Worker):
        def __init__(self, launch: Any, share: list[Any]) -> None:
            super().__init__(launch, share)
            os.kill(self.process.pid, signal.SIGKILL)

    monkeypatch.setattr(processes, "Worker", Killed)
    x = np.zeros(32 * BLOCK, np.uint32)
    with pytest.raises(vm.Fault, match=r"(?s)blocks 16 to 31 .*SIGKILL.*=1 runs all") as error:
        run_with(monkeypatch, 2, kernel("st.global.u32 [%p], %i;"), "k", 32, BLOCK, [x])
    assert error.value.kind == "process" and error.value.report is not None
    assert (x == 0).all()


def test_where_no_process_starts_one_does_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(processes.subprocess, "Popen", refuse)
    x = np.zeros(32 * BLOCK, np.uint32)
    run_with(monkeypatch, 3, kernel("st.global.u32 [%p], %i;"), "k", 32, BLOCK, [x])
    np.testing.assert_array_equal(x, np.arange(32 * BLOCK))


@pytest.mark.parametrize("body", [
    "red.global.add.u32 [%q], 1;",
    "atom.global.add.u32 %v, [%q], 1;",
    "atom.add.u32 %v, [%q], 1;",
    "st.relaxed.gpu.global.u32 [%p], %i;",
    "ld.volatile.global.u32 %v, [%q];",
])  # fmt: skip
def test_blocks_that_communicate_stay_in_one_process(
    monkeypatch: pytest.MonkeyPatch, workers: list[int], body: str
) -> None:
    x = np.zeros(32 * BLOCK, np.uint32)
    run_with(monkeypatch, 4, kernel(body), "k", 32, BLOCK, [x])
    assert workers == []


def test_shared_atomics_need_no_single_process(
    monkeypatch: pytest.MonkeyPatch, workers: list[int]
) -> None:
    body = """.shared .align 4 .u32 sum; mov.u32 %v, 0; setp.eq.u32 %c, %t, 0;
    @%c st.shared.u32 [sum], %v; bar.sync 0; red.shared.add.u32 [sum], %t; bar.sync 0;
    ld.shared.u32 %v, [sum]; st.global.u32 [%p], %v;"""
    x = np.zeros(32 * BLOCK, np.uint32)
    report = run_with(monkeypatch, 2, kernel(body), "k", 32, BLOCK, [x])
    assert workers == [4] and report.races == []
    assert (x == sum(range(BLOCK))).all()


def test_small_grids_start_no_process(monkeypatch: pytest.MonkeyPatch, workers: list[int]) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    x = np.zeros(32 * BLOCK, np.uint32)
    vm.run(kernel("st.global.u32 [%p], %i;"), "k", 32, BLOCK, [x])
    assert workers == []
    np.testing.assert_array_equal(x, np.arange(32 * BLOCK))


def test_long_runs_start_them_by_themselves(
    monkeypatch: pytest.MonkeyPatch, workers: list[int]
) -> None:
    """As soon as what is left after the first gang is worth it."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(processes, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(processes, "_processors", lambda: 3)
    x = np.zeros(32 * BLOCK, np.uint32)
    text = kernel("st.global.u32 [%q], %i; st.global.u32 [%p], %i;")
    report = vm.run(text, "k", 32, BLOCK, [x])
    assert workers == [2, 3]
    alone = run_with(monkeypatch, 1, text, "k", 32, BLOCK, [np.zeros(32 * BLOCK, np.uint32)])
    assert summary(report) == summary(alone) and report.races
    np.testing.assert_array_equal(x[1:], np.arange(1, 32 * BLOCK))


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5"])
def test_the_variable_must_be_a_number(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ValueError, match=VARIABLE):
        vm.run(kernel(""), "k", 1, BLOCK, [np.zeros(4, np.uint32)])
