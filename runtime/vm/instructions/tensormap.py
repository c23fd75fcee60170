"""tensormap.replace and tensormap.cp_fenceproxy: descriptors that a kernel edits in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.addresses import bind_parts, space_name
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions.mbarrier import active_lanes
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Address, Instruction
from tilewright.runtime.vm.tensor_map import SIZE, edit


def _replace(ins: Instruction, frame: Frame) -> Any:
    address, *rest = ins.operands
    assert isinstance(address, Address)
    field = ins.mods[2]
    parts = bind_parts(frame, address, space_name(ins))
    ordinal = frame.read(rest[0], "u32") if len(rest) > 1 else np.zeros(frame.n, np.uint32)
    value = frame.read(rest[-1], "u64" if ins.mods[-1] == "b64" else "u32")
    checks = frame.gang.checks
    check = checks.bind_access(ins, frame, "write", SIZE) if checks is not None else None

    def step(mask: Array | None) -> None:
        for part in parts(mask):
            if check is not None:
                check(part.space, part.offsets, part.mask)
            data = part.memory.data
            for lane in active_lanes(frame, part.mask):
                start = int(part.offsets[lane])
                old = data[start : start + SIZE].tobytes()
                new = edit(old, field, int(ordinal[lane]), int(value[lane]))
                data[start : start + SIZE] = np.frombuffer(new, np.uint8)

    return step


def _copy(ins: Instruction, frame: Frame) -> Any:
    """cp_fenceproxy: one warp copies a descriptor from shared to global memory and publishes it."""
    target, source = ins.operands[:2]
    assert isinstance(target, Address) and isinstance(source, Address)
    to, start = bind_parts(frame, target, "global"), bind_parts(frame, source, "shared")
    checks = frame.gang.checks
    check = checks.bind_access(ins, frame, "write", SIZE) if checks is not None else None
    first = np.arange(frame.n) % 32 == 0

    def step(mask: Array | None) -> None:
        writers = first if mask is None else first & mask
        places = to(mask)[0].offsets.copy()
        sources = start(mask)[0].offsets
        if check is not None:
            check("global", places, writers)
        for lane in np.flatnonzero(writers).tolist():
            at, begin = int(places[lane]), int(sources[lane])
            data = frame.gang.shared.data[begin : begin + SIZE]
            frame.gang.launch.arena.space.data[at : at + SIZE] = data

    return step


def _bind(ins: Instruction, frame: Frame) -> Any:
    if ins.mods[0] == "replace":
        return _replace(ins, frame)
    if ins.mods[0] == "cp_fenceproxy":
        return _copy(ins, frame)
    raise Fault("unsupported", f"instruction {ins.name}")


EFFECTS = {"tensormap": _bind}
