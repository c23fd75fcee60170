"""Terminators: jumps, calls, returns, exits. A terminator moves its cohort on, or hands lanes to
the scheduler.

`terminate(cohort)` returns True where the cohort goes on at `cohort.pc`, False where it ended,
blocked or split.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.vm.barriers import bind_barrier
from tilewright.runtime.vm.builtins import bind_builtin
from tilewright.runtime.vm.cohort import Cohort
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.isa import check_form
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.program import BUILTINS
from tilewright.runtime.vm.records import (
    Group,
    Instruction,
    Operand,
    Register,
    Symbol,
    Variable,
)

if TYPE_CHECKING:
    from tilewright.runtime.vm.scheduler import Scheduler

Terminate = Callable[[Cohort], bool]


def bind_terminator(scheduler: Scheduler, frame: Frame, pc: int) -> Terminate:
    """The closure of the control instruction at `pc`."""
    ins = scheduler.gang.program.instructions[pc]
    try:
        check_form(ins.name)
    except Fault as fault:
        place = scheduler.gang.program.place(pc)
        raise Fault(fault.kind, fault.message, place=place) from None
    match ins.opcode:
        case "bra":
            return _bind_branch(scheduler, frame, pc)
        case "bar" | "barrier":
            return with_guard(scheduler, frame, pc, bind_barrier(scheduler, frame, pc))
        case "call":
            return with_guard(scheduler, frame, pc, _bind_call(scheduler, frame, pc))
        case "brx":
            return with_guard(scheduler, frame, pc, _bind_table(scheduler, frame, pc))
        case _:
            return with_guard(scheduler, frame, pc, _bind_return(scheduler, frame, pc))


def guard_of(frame: Frame, ins: Instruction) -> Callable[[Cohort], Array]:
    """The active lanes of a guarded control instruction (frame-relative)."""
    assert ins.guard is not None
    row, negated = frame.row(ins.guard), ins.negated

    def active(cohort: Cohort) -> Array:
        lanes: Array = ~row if negated else row
        return lanes if cohort.mask is None else lanes & cohort.mask

    return active


def split(scheduler: Scheduler, cohort: Cohort, chosen: Array) -> tuple[Array, Array]:
    """The cohort's lanes inside and outside of a frame-relative choice."""
    inside = np.zeros(scheduler.gang.n, np.bool_)
    inside[cohort.frame.low : cohort.frame.high] = chosen
    return inside, cohort.lanes & ~inside


def with_guard(scheduler: Scheduler, frame: Frame, pc: int, inner: Terminate) -> Terminate:
    """A guarded control instruction: lanes whose guard is false go on behind it."""
    ins = scheduler.gang.program.instructions[pc]
    if ins.guard is None:
        return inner
    active = guard_of(frame, ins)

    def terminate(cohort: Cohort) -> bool:
        chosen = active(cohort)
        inside, outside = split(scheduler, cohort, chosen)
        if not outside.any():
            return inner(cohort)
        if not inside.any():
            cohort.pc = pc + 1
            return True
        scheduler.add(outside, pc + 1, cohort.stack, cohort.turn)
        part = Cohort(scheduler.gang, inside, pc, cohort.stack, cohort.turn)
        if part.frame is frame:
            go_on = inner(part)
        else:
            go_on = bind_unguarded(scheduler, part.frame, pc)(part)
        if go_on:
            scheduler.ready.append(part)
        return False

    return terminate


def bind_unguarded(scheduler: Scheduler, frame: Frame, pc: int) -> Terminate:
    """The control instruction at `pc` for lanes whose guard is known to hold."""
    match scheduler.gang.program.instructions[pc].opcode:
        case "bar" | "barrier":
            return bind_barrier(scheduler, frame, pc)
        case "call":
            return _bind_call(scheduler, frame, pc)
        case "brx":
            return _bind_table(scheduler, frame, pc)
        case _:
            return _bind_return(scheduler, frame, pc)


def _bind_branch(scheduler: Scheduler, frame: Frame, pc: int) -> Terminate:
    ins = scheduler.gang.program.instructions[pc]
    label = ins.operands[0]
    assert isinstance(label, Symbol)
    target, back = scheduler.gang.program.target(pc, label.name), 0
    back = int(target <= pc)
    if ins.guard is None:

        def jump(cohort: Cohort) -> bool:
            cohort.pc = target
            cohort.spins += back
            return True

        return jump
    row, negated, total = frame.row(ins.guard), ins.negated, frame.n

    def branch(cohort: Cohort) -> bool:
        mask = cohort.mask
        if mask is None:
            count = np.count_nonzero(row)
            taken = total - count if negated else count
            if taken == total:
                cohort.pc = target
                cohort.spins += back
                return True
            if taken == 0:
                cohort.pc = pc + 1
                return True
            chosen = ~row if negated else row
        else:
            chosen = (~row if negated else row) & mask
        inside, outside = split(scheduler, cohort, chosen)
        return _diverge(scheduler, cohort, inside, outside, (target, pc + 1, back))

    return branch


def _diverge(
    scheduler: Scheduler,
    cohort: Cohort,
    inside: Array,
    outside: Array,
    places: tuple[int, int, int],
) -> bool:
    target, following, back = places
    if not outside.any():
        cohort.pc = target
        cohort.spins += back
        return True
    if not inside.any():
        cohort.pc = following
        return True
    scheduler.add(outside, following, cohort.stack, cohort.turn)
    scheduler.add(inside, target, cohort.stack, cohort.turn)
    scheduler.ready[-1].spins = cohort.spins + back
    return False


def _bind_table(scheduler: Scheduler, frame: Frame, pc: int) -> Terminate:
    """`brx.idx index, table`."""
    program = scheduler.gang.program
    index, table = program.instructions[pc].operands
    assert isinstance(table, Symbol)
    labels = program.owners[pc].tables.get(table.name)
    if labels is None:
        raise Fault("syntax", f"unknown branch table {table.name!r}", place=program.place(pc))
    targets = [program.target(pc, label) for label in labels]
    row = frame.read(index, "u32")

    def terminate(cohort: Cohort) -> bool:
        for value in np.unique(row if cohort.mask is None else row[cohort.mask]):
            chosen = row == value if cohort.mask is None else (row == value) & cohort.mask
            lanes, _ = split(scheduler, cohort, chosen)
            if value >= len(targets):
                raise scheduler.fault("branch", f"index {value} is outside the table", pc, lanes)
            scheduler.add(lanes, targets[value], cohort.stack, cohort.turn)
        return False

    return terminate


def _bind_return(scheduler: Scheduler, frame: Frame, pc: int) -> Terminate:
    """`ret` and `exit`; a `ret` of the entry exits."""
    program = scheduler.gang.program
    is_exit = program.instructions[pc].opcode == "exit"

    def terminate(cohort: Cohort) -> bool:
        if is_exit or not cohort.stack:
            scheduler.finish(cohort.lanes)
            gang = scheduler.gang
            if gang.is_cluster and gang.checks is not None:
                gang.checks.lanes_exit(cohort.lanes, pc)
            return False
        *outer, (after, call) = cohort.stack
        groups = [o for o in program.instructions[call].operands if isinstance(o, Group)]
        first = program.instructions[call].operands[0]
        if isinstance(first, Group) and len(program.owners[pc].results):
            for actual, formal in zip(groups[0].items, program.owners[pc].results, strict=True):
                _take_result(scheduler, cohort.lanes, formal.name, actual)
        cohort.pc, cohort.stack = after, tuple(outer)
        return True

    return terminate


def _copy_parameter(scheduler: Scheduler, lanes: Array, source: str, target: str) -> None:
    """Copies a by-lane parameter variable."""
    gang = scheduler.gang
    offsets = gang.launch.offsets
    size = gang.program.variables[source].size
    rows = gang.local.data[: gang.n * gang.local_size].reshape(gang.n, gang.local_size)
    a, b = offsets[source], offsets[target]
    rows[lanes, b : b + size] = rows[lanes, a : a + size]


def _pass_argument(scheduler: Scheduler, lanes: Array, actual: Operand, formal: Variable) -> None:
    """An argument of a call into its parameter: a variable's bytes, or a register's or constant's
    value.
    """
    if isinstance(actual, Symbol):
        _copy_parameter(scheduler, lanes, actual.name, formal.name)
        return
    gang = scheduler.gang
    values = gang.frame(0, gang.n).read(actual, formal.type)[lanes]
    rows, start = _parameter_bytes(scheduler, formal.name)
    data = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    rows[lanes, start : start + formal.size] = data


def _take_result(scheduler: Scheduler, lanes: Array, formal: str, actual: Operand) -> None:
    """A result of a call into a variable or a register of the caller."""
    if isinstance(actual, Symbol):
        _copy_parameter(scheduler, lanes, formal, actual.name)
        return
    if not isinstance(actual, Register):
        return
    gang = scheduler.gang
    target = gang.frame(0, gang.n).row(actual)
    rows, start = _parameter_bytes(scheduler, formal)
    size = gang.program.variables[formal].size
    data = np.ascontiguousarray(rows[lanes, start : start + size])
    target[lanes] = data.view(f"u{size}").ravel()


def _parameter_bytes(scheduler: Scheduler, name: str) -> tuple[Array, int]:
    """The local bytes of every lane, and where a parameter starts in them."""
    gang = scheduler.gang
    rows = gang.local.data[: gang.n * gang.local_size].reshape(gang.n, gang.local_size)
    return rows, gang.launch.offsets[name]


def _bind_call(scheduler: Scheduler, frame: Frame, pc: int) -> Terminate:
    """`call (results), function, (arguments)`, direct or through a register."""
    program = scheduler.gang.program
    operands = program.instructions[pc].operands
    has_results = isinstance(operands[0], Group)
    callee = operands[1 if has_results else 0]
    rest = operands[2 if has_results else 1 :]
    arguments = rest[0].items if rest and isinstance(rest[0], Group) else ()
    if isinstance(callee, Symbol) and callee.name in BUILTINS:
        results = operands[0].items if isinstance(operands[0], Group) else ()
        return bind_builtin(scheduler, pc, callee.name, arguments, results)

    def enter(cohort: Cohort, name: str) -> None:
        _enter(scheduler, pc, cohort, name, arguments)

    if not isinstance(callee, Symbol):
        assert isinstance(callee, Register)
        return _bind_indirect(scheduler, pc, frame.read(callee, "u64"), enter)
    name = callee.name
    if name not in program.starts:
        raise Fault(
            "unsupported", f"call of the undefined function {name!r}", place=program.place(pc)
        )

    def direct(cohort: Cohort) -> bool:
        enter(cohort, name)
        return True

    return direct


def _enter(
    scheduler: Scheduler, pc: int, cohort: Cohort, name: str, arguments: tuple[Operand, ...]
) -> None:
    """Pass the arguments, remember where to return to, and go on in the function."""
    program = scheduler.gang.program
    function, start = program.module.functions[name], program.starts[name]
    if any(program.owners[call] is program.owners[start] for _, call in cohort.stack) or (
        program.owners[pc] is program.owners[start]
    ):
        raise scheduler.fault("unsupported", f"recursive call of {name}", pc, cohort.lanes)
    for actual, formal in zip(arguments, function.params, strict=True):
        _pass_argument(scheduler, cohort.lanes, actual, formal)
    cohort.stack = (*cohort.stack, (pc + 1, pc))
    cohort.pc = start


def _bind_indirect(
    scheduler: Scheduler, pc: int, row: Array, enter: Callable[[Cohort, str], None]
) -> Terminate:
    """A call through a register: lanes part by where they go."""

    def indirect(cohort: Cohort) -> bool:
        for value in np.unique(row if cohort.mask is None else row[cohort.mask]):
            chosen = row == value if cohort.mask is None else (row == value) & cohort.mask
            lanes, _ = split(scheduler, cohort, chosen)
            part = Cohort(scheduler.gang, lanes, pc, cohort.stack, cohort.turn)
            name = scheduler.gang.launch.function_at(int(value))
            if name is None:
                raise scheduler.fault("branch", "call of an address that is no function", pc, lanes)
            enter(part, name)
            scheduler.ready.append(part)
        return False

    return indirect
