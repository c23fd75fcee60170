"""One launch: arguments into the arena, the gangs one after another, results back.

Arguments are copied into the virtual machine's own address space, each as its own allocation with
red zones; arrays that overlap share one. When the kernel ends without a fault, writable ones are
copied back.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.runtime.vm.arguments import copy_back, place_arguments
from tilewright.runtime.vm.checks import Ledger
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.garbage import drop_harmless
from tilewright.runtime.vm.memory import Arena
from tilewright.runtime.vm.parser import parse
from tilewright.runtime.vm.parts import Gangs, Range, split_ranges
from tilewright.runtime.vm.processes import may_split, prepare, read_processes, run_gangs
from tilewright.runtime.vm.program import Program, link
from tilewright.runtime.vm.records import Instruction, Symbol, Variable
from tilewright.runtime.vm.report import Report
from tilewright.runtime.vm.shapes import (
    check_options,
    check_shape,
    check_shared,
    find_cluster,
    read_triple,
)
from tilewright.runtime.vm.variables import FUNCTIONS, place_variables

_FIXED = (
    "program", "grid", "block", "cluster", "dynamic_shared", "seed", "checks", "spins",
    "interleaves",
)  # fmt: skip
GANG_LANES = 2048
SPIN_LANES = 8192  # where blocks may wait for each other; raised when they turn out to
MOST_LANES = 1 << 17


@dataclass
class Launch:
    """Everything about a launch that its gangs share."""

    program: Program
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    cluster: tuple[int, int, int]
    dynamic_shared: int
    seed: int
    checks: str
    arena: Arena = field(default_factory=Arena)
    offsets: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    entry_params: dict[str, int] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    shared_end: int = 0
    shared_needed: int = 0
    local_size: int = 0
    spins: bool = False  # lanes may wait for other lanes in a loop
    interleaves: bool = False  # … of other blocks
    garbage: int = 0  # the byte that shared memory is full of at first
    ledger: Ledger = field(default_factory=Ledger)
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def variable(self, name: str) -> Variable | None:
        """A variable by its unique name."""
        return self.program.variables.get(name) or self.program.module.variables.get(name)

    def address(self, symbol: Symbol) -> int:
        """The address of a symbol within its own space (global ones: generic)."""
        for table in (self.entry_params, self.offsets, self.addresses):
            if symbol.name in table:
                return table[symbol.name] + symbol.offset
        raise Fault("syntax", f"unknown name {symbol.name!r}")

    def function_at(self, address: int) -> str | None:
        """The function that an address stands for."""
        names = list(self.program.starts)
        index = (address - FUNCTIONS) // 16
        return names[index] if 0 <= index < len(names) and address % 16 == 0 else None


def run(
    ptx: str,
    entry: str,
    grid: tuple[int, ...] | int,
    block: tuple[int, ...] | int,
    args: Any,
    *,
    cluster: tuple[int, ...] | int = (1, 1, 1),
    shared: int = 0,
    seed: int = 0,
    checks: str = "all",
) -> Report:
    """Runs the entry of a PTX text on NumPy, changing array arguments in place.

    `args`, in order: NumPy arrays or CPU torch tensors (device pointers), ints and floats (as the
    parameter declares them), `TensorMap`s and `bytes` (by-value structs). `shared` is the dynamic
    shared memory in bytes. `checks` is `all`, `off`, or `late`/`early`, which are `all` with
    asynchronous work completed as late or early as is legal. Raises `Fault`; the arguments then
    keep their contents.
    """
    check_options(ptx, args, shared, seed, checks)
    program = link(parse(ptx), entry)
    blocks = find_cluster(program, read_triple(cluster, "cluster"))
    shape = read_triple(grid, "grid"), read_triple(block, "block"), blocks
    check_shape(program, *shape)
    lanes, processes = GANG_LANES, read_processes()
    while True:
        launch = Launch(program, *shape, shared, seed, checks)
        launch.spins, launch.interleaves = _find_spins(program)
        lanes = max(lanes, SPIN_LANES) if launch.interleaves else lanes
        try:
            with closing(launch.arena):
                return _run_once(launch, list(args), lanes, processes)
        except Fault as fault:
            # Blocks may wait for blocks that had no place beside them: then more run together.
            total = int(np.prod(launch.grid)) * int(np.prod(launch.block))
            if (
                fault.kind != "deadlock"
                or not launch.interleaves
                or lanes >= min(total, MOST_LANES)
            ):
                raise
            lanes *= 4


def _run_once(launch: Launch, args: list[Any], lanes: int, processes: int | None) -> Report:
    """Runs with gangs of so many lanes; without a fault, the results go back to the arguments."""
    ranges = split_ranges(launch, lanes)

    def place(launch: Launch) -> Any:
        if not launch.interleaves and may_split(launch.program, ranges, processes):
            prepare(launch)
        place_variables(launch)
        check_shared(launch.program.module.target, launch.shared_needed)
        return place_arguments(launch, args)

    def repeat(garbage: int) -> Launch:
        fresh = {name: getattr(launch, name) for name in _FIXED}
        other = Launch(**fresh, garbage=garbage)
        place(other)
        with closing(other.arena):
            _execute(other, ranges, processes)
        return other

    hosts = place(launch)
    report = _execute(launch, ranges, processes)
    drop_harmless(launch, report, repeat)
    copy_back(launch, hosts)
    return report


def _find_spins(program: Program) -> tuple[bool, bool]:
    """Whether a loop waits through memory at all, and whether it may wait for other blocks."""
    spins = interleaves = False
    for pc, ins in enumerate(program.instructions):
        label = ins.operands[0] if ins.opcode == "bra" else None
        if not isinstance(label, Symbol):
            continue
        for inner in program.instructions[program.target(pc, label.name) : pc]:
            spins |= inner.opcode == "mbarrier" or _polls(inner)
            interleaves |= _polls(inner)
    return spins, interleaves


def _polls(ins: Instruction) -> bool:
    strong = bool({"acquire", "volatile", "relaxed", "mmio"} & set(ins.mods))
    return (ins.opcode == "ld" and strong) or ins.opcode in ("atom", "nanosleep")


def _execute(launch: Launch, ranges: list[Range], processes: int | None) -> Report:
    report, gangs = Report(launch), Gangs(launch)
    fault, others = run_gangs(gangs, ranges, processes)
    report.collect(gangs.schedulers, others)
    if fault is not None:
        fault.report = report
        for race in report.races[:3]:
            fault.add_note(f"before that, a {race}")
        raise fault
    return report
