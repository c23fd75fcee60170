"""The linked program: the functions that an entry reaches, flattened into one list of instructions.

Registers get rows of the register file here. Registers that stand together in a vector operand (the
fragments of matrix instructions, wide loads) get neighbouring rows, so that one NumPy copy moves
all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tilewright.runtime.vm.faults import Fault, Place
from tilewright.runtime.vm.records import (
    BITS,
    Address,
    Function,
    Group,
    Immediate,
    Instruction,
    Inverted,
    Module,
    Operand,
    Pair,
    Register,
    Selected,
    Special,
    Symbol,
    Variable,
    Vector,
)

BUILTINS = ("vprintf", "__assertfail", "malloc", "free")
_JUMPS = ("bra", "brx", "call", "ret", "exit", "bar", "barrier")


def is_control(ins: Instruction) -> bool:
    """Whether the instruction ends a straight run of code (a jump, a return, or a barrier that may
    block).
    """
    return ins.opcode in _JUMPS and ins.mods[:2] != ("warp", "sync")


@dataclass
class Program:
    """One entry with everything it calls; program counters index `instructions`."""

    module: Module
    entry: Function
    instructions: list[Instruction] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    owners: list[Function] = field(default_factory=list)
    labels: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    leaders: set[int] = field(default_factory=set)
    variables: dict[str, Variable] = field(default_factory=dict)
    pcs: dict[int, int] = field(default_factory=dict)

    def number(self) -> None:
        """Instructions are known by identity; those of a copy are others."""
        self.pcs = {id(ins): pc for pc, ins in enumerate(self.instructions)}

    def pc_of(self, ins: Instruction) -> int:
        """The program counter of one of the program's own instructions."""
        return self.pcs[id(ins)]

    def place(self, pc: int) -> Place:
        """The place of an instruction, for messages."""
        return place(self.module, self.instructions[pc])

    def target(self, pc: int, label: str) -> int:
        """The program counter of a label as seen from `pc`."""
        found = self.labels.get((self.owners[pc].name, label))
        if found is None:
            raise Fault("syntax", f"unknown label {label!r}", place=self.place(pc))
        return found


def place(module: Module, ins: Instruction) -> Place:
    """Line, text and source line of an instruction."""
    text = module.lines[ins.line - 1].strip() if ins.line <= len(module.lines) else ins.name
    source = None
    if ins.source and ins.source[1]:
        source = f"{module.files.get(ins.source[0], '?')}:{ins.source[1]}"
    return Place(ins.line, text, source)


def link(module: Module, entry: str) -> Program:
    """Flattens `entry` and the functions that it can reach."""
    function = module.functions.get(entry)
    if function is None or not function.is_entry:
        names = ", ".join(f.name for f in module.functions.values() if f.is_entry)
        raise Fault("launch", f"the PTX has no entry {entry!r}; it has: {names or 'none'}")
    program = Program(module, function)
    for reached in _reachable(module, function):
        _append(program, reached)
    program.leaders.add(len(program.instructions))
    program.number()
    _number_registers(program)
    return program


_LEAVES = frozenset({Register, Immediate, Symbol, Special})


def operands(operand: Operand) -> Sequence[Operand]:
    """An operand and everything inside it, from the outside in."""
    if type(operand) in _LEAVES:
        return (operand,)
    inner: tuple[Operand, ...] = ()
    if isinstance(operand, (Vector, Group)):
        inner = operand.items
    elif isinstance(operand, Pair):
        inner = (operand.first, operand.second)
    elif isinstance(operand, Inverted):
        inner = (operand.operand,)
    elif isinstance(operand, Selected):
        inner = (operand.register,)
    elif isinstance(operand, Address):
        inner = (operand.base, *operand.extra)
    found = [operand]
    for item in inner:
        found += operands(item)
    return found


def _reachable(module: Module, entry: Function) -> list[Function]:
    order, pending = [entry], [entry]
    while pending:
        function = pending.pop()
        names = [
            found.name
            for ins in function.instructions
            for operand in ins.operands
            for found in operands(operand)
            if isinstance(found, Symbol)
        ]
        for variable in module.variables.values():
            names.extend(pointer.target.name for pointer in variable.pointers)
        for name in names:
            callee = module.functions.get(name)
            if callee and not callee.is_extern and callee not in order:
                order.append(callee)
                pending.append(callee)
    return order


def _append(program: Program, function: Function) -> None:
    start = len(program.instructions)
    program.starts[function.name] = start
    program.leaders.add(start)
    for name, index in function.labels.items():
        program.labels[function.name, name] = start + index
        program.leaders.add(start + index)
    for index, ins in enumerate(function.instructions):
        if is_control(ins):
            program.leaders.add(start + index + 1)
    program.instructions.extend(function.instructions)
    # A function may fall off its end: give it the return that the end of the program would be.
    program.instructions.append(
        Instruction(
            "ret",
            (),
            (),
            None,
            False,
            function.instructions[-1].line if function.instructions else 1,
        )
    )
    program.leaders.add(len(program.instructions))
    program.owners.extend([function] * (len(program.instructions) - start))
    for variable in (*function.variables, *function.params, *function.results):
        program.variables[variable.name] = variable


def width(register: Register) -> int:
    """The class of a register: 1 (predicate), 16, 32, 64 or 128 bits."""
    return max(BITS[register.type], 16) if register.type != "pred" else 1


def _number_registers(program: Program) -> None:
    for vectors_first in (True, False):
        for ins in program.instructions:
            for operand in ins.operands:
                for found in operands(operand):
                    if vectors_first and isinstance(found, Vector):
                        _number_vector(program, found)
                    elif not vectors_first and isinstance(found, Register):
                        _number(program, found)
            if ins.guard is not None and not vectors_first:
                _number(program, ins.guard)


def _number_vector(program: Program, vector: Vector) -> None:
    registers = [item for item in vector.items if isinstance(item, Register)]
    if not any(item.name in program.rows for item in registers):
        for item in registers:
            _number(program, item)


def _number(program: Program, register: Register) -> None:
    if register.name not in program.rows:
        bits = width(register)
        row = program.counts.get(bits, 0)
        program.rows[register.name] = (bits, row)
        program.counts[bits] = row + 1
