"""cp.async and its groups. Bulk copies are in `bulk.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.addresses import bind_parts
from tilewright.runtime.vm.copies import Copy
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions.bulk import bind_bulk
from tilewright.runtime.vm.instructions.mbarrier import active_lanes, bind_places
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import (
    Address,
    Immediate,
    Instruction,
    Inverted,
    Operand,
    Register,
)


def _gang_lanes(frame: Frame, mask: Array | None) -> Array | None:
    """The lanes of the gang in a frame-relative mask; None for all of the gang."""
    if mask is None:
        return None if frame.n == frame.gang.n else np.arange(frame.low, frame.high)
    return np.flatnonzero(mask) + frame.low


def _bind(ins: Instruction, frame: Frame) -> Any:
    if "bulk" in ins.mods:
        return bind_bulk(ins, frame)
    if ins.mods[0] != "async":
        raise Fault("unsupported", f"instruction {ins.name}")
    copies = frame.gang.copies
    match ins.mods[1]:
        case "commit_group":
            return lambda mask: copies.commit(_gang_lanes(frame, mask))
        case "wait_group":
            count = ins.operands[0]
            assert isinstance(count, Immediate)
            allowed = int(count.value)
            return lambda mask: copies.wait(_gang_lanes(frame, mask), allowed)
        case "wait_all":
            return lambda mask: copies.wait(_gang_lanes(frame, mask), None)
        case "ca" | "cg":
            return _issue(ins, frame)
        case "mbarrier":
            return _arrive(ins, frame)
    raise Fault("unsupported", f"instruction {ins.name}")


def _is_predicate(operand: Operand) -> bool:
    inner = operand.operand if isinstance(operand, Inverted) else operand
    return isinstance(inner, Register) and inner.type == "pred"


def _issue(ins: Instruction, frame: Frame) -> Any:
    """cp.async.{ca,cg}.shared.global [dst], [src], size{, src-size | ignore-src}."""
    target, source, size_operand, *rest = ins.operands
    if any("cache_hint" in mod for mod in ins.mods):
        rest = rest[:-1]
    assert (
        isinstance(target, Address)
        and isinstance(source, Address)
        and isinstance(size_operand, Immediate)
    )
    size = int(size_operand.value)
    if size not in (4, 8, 16) or ("cg" in ins.mods and size != 16):
        raise Fault("syntax", f"cp.async of {size} bytes")
    find_target = bind_parts(frame, target, "shared")
    find_source = bind_parts(frame, source, "global")
    read_valid = _bind_valid(frame, rest[0] if rest else None, size)
    gang = frame.gang
    checks = gang.checks
    check = checks.bind_copy(ins, frame, size) if checks is not None else None
    everybody = np.arange(frame.low, frame.high)

    def step(mask: Array | None) -> None:
        to, start = find_target(mask)[0].offsets.copy(), find_source(mask)[0].offsets.copy()
        valid = read_valid()
        if valid is not None and (valid == size).all():
            valid = None
        chosen: Any = slice(None) if mask is None else mask
        copy = Copy(
            everybody[chosen],
            to[chosen],
            start[chosen],
            size,
            None if valid is None else valid[chosen],
            0,
        )
        if check is not None:
            check(copy, mask)
        gang.copies.issue(copy)

    return step


def _arrive(ins: Instruction, frame: Frame) -> Any:
    """cp.async.mbarrier.arrive{.noinc}: an arrival when the lane's copies so far are complete."""
    places = bind_places(ins, frame, ins.operands[0])
    counted = "noinc" in ins.mods
    gang = frame.gang

    def step(mask: Array | None) -> None:
        offsets = places(mask)
        if gang.recorder is not None:
            lanes = np.array(active_lanes(frame, mask))
            gang.recorder.hand_over(lanes + frame.low, offsets[lanes])
        for lane in active_lanes(frame, mask):
            if not counted:
                gang.mbarriers.add_pending(int(offsets[lane]), 1)
            gang.copies.arrive_later(frame.low + lane, int(offsets[lane]))

    return step


def _bind_valid(frame: Frame, operand: Operand | None, size: int) -> Any:
    """Bytes that are read from the source, or None for all."""
    if operand is None or (isinstance(operand, Immediate) and int(operand.value) == size):
        return lambda: None
    if _is_predicate(operand):
        row, inverted = frame.predicate(operand)
        return lambda: np.where(row ^ inverted, 0, size)
    count = frame.read(operand, "u32")
    return lambda: np.minimum(count.astype(np.int64), size)


EFFECTS = {"cp": _bind}
