"""Mutants of correct pipelined kernels: every weakened synchronization must be told.

The PTX of hand-written kernels for sm_80 and sm_90a and of our own for sm_80 is changed instruction by instruction:
each synchronizing one removed and weakened, counts, bytes, phases, scopes and sizes changed, shared addresses moved. A
mutant is found if a run of it has a race, a warning, a fault or a wrong result. A survivor must be in `EXPLAINED` with
the reason why it is still correct; who is there and is found, fails too.
"""

# ruff: noqa: E501  (reasons stay whole)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tilewright.runtime import vm
from tilewright.tests.vm.mutation.mutants import Mutant, find_mutants
from tilewright.tests.vm.mutation.ours import OURS, OurProgram
from tilewright.tests.vm.mutation.programs import PROGRAMS, Program

Compile = Callable[..., str]
Mutated = Program | OurProgram
MODES = ("all", "late", "early")
BOTH = (*PROGRAMS, *OURS)

DRAIN = "the loop has waited for every copy of data: only empty groups are left"
UNREAD = "nobody in the kernel reads what the copy writes; the end of the kernel makes it visible"
ALONE = "of the scalar that is exchanged, thread 0 reads what it wrote itself; the others' reads reach nothing"
EXPLAINED: dict[str, dict[str, str]] = {
    "gemm": {"cp.async.bulk.wait_group waits for reads only #1": UNREAD},
    "roundtrip": {
        "cp.async.bulk.wait_group waits for reads only #1": UNREAD,
        "bar.sync removed #1": "the first barrier of the loop stands between the init and its first use, too",
    },
    "multicast": {
        "bar.warp.sync removed #2": "the lanes meet at the aligned barrier of the cluster that follows",
    },
    "remote": {
        "fence.mbarrier_init.release.cluster removed #1": "st.async belongs to the generic proxy, for which the barrier of the cluster releases the init",
    },
    "matmul": {
        "cp.async.wait_group removed #2": DRAIN,
        "cp.async.wait_group allows one group more #2": DRAIN,
    },
    "matmul f32": {
        "cp.async.wait_group removed #2": DRAIN,
        "cp.async.wait_group allows one group more #2": DRAIN,
    },
    "softmax": {
        "bar.sync removed #13": "it orders loads of x before stores to y, which could be one memory, and are not",
    },
    "largest": {f"bar.sync removed #{number}": ALONE for number in range(1, 6)},
}
"""Mutants that are still correct, by program and name, and why."""


def is_found(program: Mutated, text: str) -> bool:
    """Whether some mode of completion tells that the text is wrong."""
    for mode in MODES:
        case = program.make(np.random.default_rng())
        try:
            report = program.run(text, case, mode, seed=1)
        except vm.Fault as fault:
            if fault.kind in ("syntax", "unsupported", "launch"):
                raise  # the mutant is no PTX
            return True
        if report.races or report.warnings or not case.is_right:
            return True
    return False


def is_reached(program: Mutated, mutant: Mutant, lines: list[str]) -> bool:
    """Whether the mutant's instruction is executed at all (compilers make paths for other shapes)."""
    trapped = "\n".join((*lines[: mutant.number], "trap;", *lines[mutant.number + 1 :]))
    try:
        program.run(trapped, program.make(np.random.default_rng()), "early", seed=1)
    except vm.Fault as fault:
        return fault.kind == "trap"
    return False


def find_survivors(program: Mutated, ptx: str) -> set[str]:
    """The names of the mutants that nobody tells."""
    lines = ptx.split("\n")
    return {
        mutant.name
        for mutant in find_mutants(ptx, program.stage)
        if not is_found(program, mutant.apply(lines)) and is_reached(program, mutant, lines)
    }


@pytest.mark.parametrize("program", BOTH, ids=lambda program: program.name)
def test_every_mutant_is_told(program: Mutated, compile_ptx: Compile) -> None:
    ptx = program.compile(compile_ptx)
    for seed in range(2):
        for mode in MODES:
            case = program.make(np.random.default_rng())
            report = program.run(ptx, case, mode, seed)
            assert case.is_right and not report.races and not report.warnings
    assert find_survivors(program, ptx) == set(EXPLAINED.get(program.name, {}))


def test_there_are_enough_mutants(compile_ptx: Compile) -> None:
    counts = [len(find_mutants(p.compile(compile_ptx), p.stage)) for p in BOTH]
    assert sum(counts) >= 400
