"""The mbarrier instructions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.vm.addresses import bind_parts, space_name
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.mbarriers import IDLE_POLLS
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Address, Instruction, Operand, Register

if TYPE_CHECKING:
    from tilewright.runtime.vm.gang import Gang

PHASE = 63


def bind_places(
    ins: Instruction, frame: Frame, address: Operand
) -> Callable[[Array | None], Array]:
    """`places(mask)`: physical offsets of the barriers, for all lanes; checked for those of the
    mask.
    """
    assert isinstance(address, Address)
    space = space_name(ins)
    parts = bind_parts(
        frame, address, "shared" if space in ("shared", "generic") and _plain(ins) else space
    )
    gang = frame.gang

    def places(mask: Array | None) -> Array:
        found = parts(mask)
        if len(found) != 1 or found[0].space != "shared":
            raise gang.fault(
                "address", "an mbarrier that is not in shared memory", ins, frame, mask
            )
        offsets = found[0].offsets
        active = offsets if mask is None else offsets[mask]
        if (active & 7).any():
            raise gang.fault("misaligned", "an mbarrier needs 8-byte alignment", ins, frame, mask)
        if (active < 0).any() or (active + 8 > gang.segment * gang.count).any():
            raise gang.fault(
                "out of bounds", "an mbarrier outside of shared memory", ins, frame, mask
            )
        return offsets

    return places


def _plain(ins: Instruction) -> bool:
    return any(mod.startswith("shared") for mod in ins.mods)


def active_lanes(frame: Frame, mask: Array | None) -> list[int]:
    """The active lanes of a frame, in order."""
    lanes: list[int] = (np.arange(frame.n) if mask is None else np.flatnonzero(mask)).tolist()
    return lanes


def _bind(ins: Instruction, frame: Frame) -> Any:
    match ins.mods[0]:
        case "init":
            return _simple(ins, frame, lambda place, value: frame.gang.mbarriers.init(place, value))
        case "inval":
            return _simple(ins, frame, lambda place, value: frame.gang.mbarriers.invalidate(place))
        case "expect_tx":
            return _simple(
                ins, frame, lambda place, value: frame.gang.mbarriers.add_bytes(place, value)
            )
        case "complete_tx":
            return _simple(
                ins, frame, lambda place, value: frame.gang.mbarriers.add_bytes(place, -value)
            )
        case "arrive" | "arrive_drop":
            return _arrive(ins, frame)
        case "test_wait" | "try_wait":
            return _wait(ins, frame)
        case "pending_count":
            return _pending(ins, frame)
    raise Fault("unsupported", f"instruction {ins.name}")


def _simple(ins: Instruction, frame: Frame, action: Callable[[int, int], None]) -> Any:
    """init, inval, expect_tx, complete_tx: one action per active lane."""
    places = bind_places(ins, frame, ins.operands[0])
    values = (
        frame.read(ins.operands[1], "u32")
        if len(ins.operands) > 1
        else np.zeros(frame.n, np.uint32)
    )
    checks = frame.gang.checks
    is_init = ins.mods[0] == "init"

    def step(mask: Array | None) -> None:
        offsets = places(mask)
        for lane in active_lanes(frame, mask):
            _guarded(ins, frame, lane, partial(action, int(offsets[lane]), int(values[lane])))
        if checks is not None and is_init:
            lanes = active_lanes(frame, mask)
            checks.mbarrier_init(ins, np.array(lanes) + frame.low, offsets[lanes])

    return step


def _guarded(ins: Instruction, frame: Frame, lane: int, action: Callable[[], Any]) -> Any:
    """Gives faults of the barrier state their place."""
    try:
        return action()
    except Fault as fault:
        if fault.place is not None:
            raise
        mask = np.arange(frame.n) == lane
        raise frame.gang.fault(fault.kind, fault.message, ins, frame, mask) from None


def _arrive(ins: Instruction, frame: Frame) -> Any:
    """mbarrier.arrive{_drop}{.expect_tx}: state, [addr]{, count or bytes}."""
    operands = list(ins.operands)
    target = None if isinstance(operands[0], Address) else operands.pop(0)
    places = bind_places(ins, frame, operands[0])
    extra = frame.read(operands[1], "u32") if len(operands) > 1 else None
    expects = "expect_tx" in ins.mods
    drop = ins.mods[0] == "arrive_drop"
    state = frame.row(target) if isinstance(target, Register) else None
    relaxed = "relaxed" in ins.mods
    gang, pc = frame.gang, frame.gang.program.pc_of(ins)

    def step(mask: Array | None) -> None:
        offsets = places(mask)
        lanes = active_lanes(frame, mask)
        if gang.checks is not None:
            gang.checks.mbarrier_used(ins, np.array(lanes) + frame.low, offsets[lanes])
            if gang.is_cluster:
                gang.checks.arrive_abroad(np.array(lanes) + frame.low, offsets[lanes], pc)
        if gang.recorder is not None:
            gang.recorder.arrive(np.array(lanes) + frame.low, offsets[lanes])
        for part in gang.mbarriers.split_arrivals(lanes, offsets):
            if gang.checks is not None and not relaxed:
                gang.checks.mbarrier_arrive(np.array(part) + frame.low, offsets[part])
            for lane in part:
                value = int(extra[lane]) if extra is not None else 1
                count, tx = (1, value) if expects else (value, 0)
                pending = _guarded(ins, frame, lane, partial(_count, gang, int(offsets[lane])))
                phase = _guarded(
                    ins, frame, lane,
                    partial(gang.mbarriers.arrive, int(offsets[lane]), count, tx=tx, drop=drop),
                )  # fmt: skip
                if state is not None:
                    state[lane] = phase << PHASE | pending

    return step


def _wait(ins: Instruction, frame: Frame) -> Any:
    """test_wait and try_wait, by state token or by parity. Polling drives asynchronous work to its
    end.
    """
    target, address, token = ins.operands[:3]
    places = bind_places(ins, frame, address)
    result = frame.read(target, "pred")
    by_parity = "parity" in ins.mods
    tokens = frame.read(token, "u32" if by_parity else "u64")
    gang = frame.gang
    relaxed = "relaxed" in ins.mods
    recorder = gang.recorder

    def step(mask: Array | None) -> None:
        offsets = places(mask)
        lanes = np.arange(frame.n) if mask is None else np.flatnonzero(mask)
        asked = offsets[lanes], tokens[lanes]
        parities = asked[1] & 1 if by_parity else asked[1] >> np.uint64(PHASE)
        if gang.checks is not None:
            gang.checks.mbarrier_used(ins, lanes + frame.low, asked[0])
        answers = np.empty(len(lanes), np.bool_)
        for place, parity in sorted(set(zip(*_distinct(asked[0], parities), strict=True))):
            same = (asked[0] == place) & (parities == parity)
            first = int(lanes[np.flatnonzero(same)[0]])
            if recorder is not None:
                recorder.begin_poll(place, first + frame.low)
            answer = _guarded(ins, frame, first, partial(_poll, ins, frame, (place, parity), mask))
            answers[same] = answer
            if recorder is not None:
                recorder.end_poll(place, lanes[same] + frame.low, answer)
        result[lanes] = answers
        if gang.checks is not None and not relaxed:
            gang.checks.mbarrier_pass(lanes[answers] + frame.low, asked[0][answers])

    return step


def _distinct(places: Array, parities: Array) -> tuple[list[int], list[int]]:
    """Candidates of distinct pairs; usually all lanes ask the same."""
    if (places == places[0]).all() and (parities == parities[0]).all():
        return [int(places[0])], [int(parities[0])]
    return places.tolist(), [int(parity) for parity in parities]


def _poll(ins: Instruction, frame: Frame, key: tuple[int, int], mask: Array | None) -> bool:
    gang = frame.gang
    barriers = gang.mbarriers
    place, parity = key
    if barriers.passed(place, parity):
        return True
    gang.transfers.poll(place)
    gang.copies.poll(place)
    if barriers.passed(place, parity):
        return True
    barriers.asked[place] = parity
    barriers.idle += 1
    barriers.failed = True
    if barriers.idle > IDLE_POLLS:
        message = f"warps wait for parity {parity} of the {barriers.describe(place)}"
        raise gang.fault("deadlock", message, ins, frame, mask)
    return False


def _count(gang: Gang, place: int) -> int:
    return gang.mbarriers.read(place)[2]


def _pending(ins: Instruction, frame: Frame) -> Any:
    """pending_count: the arrivals that were missing before the one that gave the state."""
    target, source = ins.operands
    assert isinstance(target, Register)
    row, state = frame.row(target), frame.read(source, "u64")
    mask_of_count = np.uint64((1 << 20) - 1)

    def step(mask: Array | None) -> None:
        where: Any = True if mask is None else mask
        np.copyto(row, state & mask_of_count, casting="unsafe", where=where)

    return step


EFFECTS = {"mbarrier": _bind}
