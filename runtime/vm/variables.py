"""Where a program's variables live: shared and local offsets, global allocations, addresses."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.vm.instructions import stack
from tilewright.runtime.vm.memory import SHARED_START, Allocation
from tilewright.runtime.vm.program import Program, operands
from tilewright.runtime.vm.records import Symbol

if TYPE_CHECKING:
    from tilewright.runtime.vm.launch import Launch

FUNCTIONS = 0x0F00_0000_0000  # function addresses: not memory


def place_variables(launch: Launch) -> None:
    """Shared, local and parameter variables get offsets, global and constant ones allocations."""
    program = launch.program
    entry = {p.name for p in program.entry.params}
    shared_at, local_at, dynamic = SHARED_START, 0, []
    used = _used_names(program)
    module = [v for v in program.module.variables.values() if v.space != "shared" or v.name in used]
    for variable in (*module, *program.variables.values()):
        if variable.space == "shared" and variable.is_extern:
            dynamic.append(variable)
        elif variable.space == "shared":
            shared_at = align_up(shared_at, variable.align)
            launch.offsets[variable.name] = shared_at
            shared_at += variable.size
        elif variable.space in ("local", "param") and variable.name not in entry:
            local_at = align_up(local_at, max(variable.align, 16))
            launch.offsets[variable.name] = local_at
            local_at += variable.size
    if any(ins.opcode in stack.OPCODES for ins in program.instructions):
        launch.offsets[stack.STACK] = align_up(local_at, 1024)
        local_at = launch.offsets[stack.STACK] + stack.SIZE
    # What the hardware would count: the padding of the dynamic part below is ours.
    launch.shared_needed = shared_at - SHARED_START + launch.dynamic_shared
    shared_at = align_up(shared_at, max((v.align for v in dynamic), default=16))
    if launch.dynamic_shared:
        shared_at = align_up(shared_at, 1024)
    for variable in dynamic:
        launch.offsets[variable.name] = shared_at
    launch.shared_end, launch.local_size = shared_at + launch.dynamic_shared, local_at
    for index, name in enumerate(program.starts):
        launch.addresses[name] = FUNCTIONS + 16 * index


def align_up(at: int, align: int) -> int:
    return (at + align - 1) // align * align


def _used_names(program: Program) -> set[str]:
    from_operands = set()

    for ins in program.instructions:
        for operand in ins.operands:
            from_operands |= {o.name for o in operands(operand) if isinstance(o, Symbol)}
    return from_operands


def initialize_globals(launch: Launch, placed: dict[str, Allocation]) -> None:
    for name, allocation in placed.items():
        variable = launch.program.module.variables[name]
        data = launch.arena.bytes_of(allocation)
        data[: len(variable.initial)] = np.frombuffer(variable.initial, np.uint8)
        for pointer in variable.pointers:
            address = launch.address(pointer.target) >> pointer.shift
            kept = struct.pack("<Q", address)[: pointer.size]
            end = pointer.offset + pointer.size
            data[pointer.offset : end] = np.frombuffer(kept, np.uint8)
