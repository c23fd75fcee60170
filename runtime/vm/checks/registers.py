"""Uninitialised registers: found by data flow where that suffices, watched at run time where it
does not.

Most registers are provably written before every read; they cost nothing. The rest get a row of
flags: writes set it, reads of lanes without it are a warning, `mov` copies it (compilers move
values that they know to be unused).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tilewright.runtime.vm.program import Program, is_control, operands
from tilewright.runtime.vm.records import Group, Instruction, Register, Symbol, Vector

_NO_RESULT = frozenset(
    "st red bra brx call ret exit cp prefetch prefetchu stmatrix membar fence trap nanosleep "
    "setmaxnreg discard applypriority stackrestore".split()
)

_WITH_RESULT = {
    "mbarrier": {"arrive", "arrive_drop", "test_wait", "try_wait", "pending_count"},
    "wgmma": {"mma_async"},
    "wmma": {"load", "mma"},
    "bar": {"red"},
    "barrier": {"red"},
}
"""Opcodes of which only some forms have a result."""


@dataclass
class Suspects:
    """Registers to watch, and by program counter the watched registers that an instruction
    reads.
    """

    watched: set[str] = field(default_factory=set)
    reads: dict[int, tuple[str, ...]] = field(default_factory=dict)
    products: frozenset[str] = frozenset()  # registers of wgmma


def written(ins: Instruction) -> list[str]:
    """The registers that an instruction writes."""
    if ins.opcode in _NO_RESULT or not ins.operands:
        return []
    kinds = _WITH_RESULT.get(ins.opcode)
    if kinds is not None and kinds.isdisjoint(ins.mods):
        return []
    return [o.name for o in operands(ins.operands[0]) if isinstance(o, Register)]


def read(ins: Instruction) -> list[str]:
    """The registers that an instruction reads."""
    skip = 1 if written(ins) else 0
    names = [
        o.name
        for operand in ins.operands[skip:]
        for o in operands(operand)
        if isinstance(o, Register)
    ]
    return names + ([ins.guard.name] if ins.guard else [])


def find_suspects(program: Program) -> Suspects:
    """Reads that some path reaches without a write."""
    numbers = {name: 1 << index for index, name in enumerate(program.rows)}
    everything = (1 << len(numbers)) - 1
    assigned = _flow(program, numbers, everything)
    found = Suspects(
        products=frozenset(
            item.name
            for ins in program.instructions
            if ins.opcode == "wgmma" and "mma_async" in ins.mods
            for operand in ins.operands[:2]
            if isinstance(operand, Vector)
            for item in operand.items
            if isinstance(item, Register)
        )
    )
    for start in sorted(program.leaders):
        known = assigned.get(start)
        pc = start
        while known is not None and pc < len(program.instructions):
            ins = program.instructions[pc]
            unsure = tuple(n for n in dict.fromkeys(read(ins)) if not known & numbers[n])
            if unsure:
                found.reads[pc] = unsure
                found.watched.update(unsure)
            if ins.guard is None:
                for name in written(ins):
                    known |= numbers[name]
            pc += 1
            if pc in program.leaders:
                break
    return found


def _flow(program: Program, numbers: dict[str, int], everything: int) -> dict[int, int]:
    """Registers assigned on every path, at the start of each straight run."""
    returned = sum(numbers[name] for name in _call_results(program))
    assigned = dict.fromkeys(program.starts.values(), returned)
    pending = list(assigned)
    while pending:
        start = pending.pop()
        known, pc = assigned[start], start
        while True:
            ins = program.instructions[pc]
            if ins.guard is None:
                for name in written(ins):
                    known |= numbers[name]
            pc += 1
            if pc in program.leaders or is_control(ins):
                break
        for target in _successors(program, pc - 1, ins):
            before = assigned.get(target, everything if target not in assigned else 0)
            after = before & known
            if target not in assigned or after != assigned[target]:
                assigned[target] = after
                pending.append(target)
    return assigned


def _call_results(program: Program) -> set[str]:
    """Registers that calls return into; nobody asks whether the function had written its own."""
    return {
        item.name
        for ins in program.instructions
        if ins.opcode == "call" and isinstance(ins.operands[0], Group)
        for item in ins.operands[0].items
        if isinstance(item, Register)
    }


def _successors(program: Program, pc: int, ins: Instruction) -> list[int]:
    following = [pc + 1] if pc + 1 < len(program.instructions) else []
    if ins.opcode == "bra":
        label = ins.operands[0]
        assert isinstance(label, Symbol)
        return [program.target(pc, label.name), *(following if ins.guard else [])]
    if ins.opcode == "brx":
        table = ins.operands[1]
        assert isinstance(table, Symbol)
        labels = program.owners[pc].tables.get(table.name, ())
        return [program.target(pc, label) for label in labels]
    if ins.opcode in ("ret", "exit"):
        return following if ins.guard else []
    return following
