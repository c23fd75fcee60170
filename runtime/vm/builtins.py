"""The device functions that the runtime, not the PTX, provides: `vprintf`, `__assertfail`."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.vm.cohort import Cohort
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.memory import GLOBAL, LOCAL, SHARED
from tilewright.runtime.vm.records import Operand, Symbol

if TYPE_CHECKING:
    from tilewright.runtime.vm.gang import Gang
    from tilewright.runtime.vm.scheduler import Scheduler

_FORMAT = re.compile(
    r"%([-+ #0]*)(\d+|\*)?(?:\.(\d+|\*))?(hh|h|ll|l|j|z|t|L)?([diouxXeEfFgGaAcsp%])"
)


def bind_builtin(
    scheduler: Scheduler,
    pc: int,
    name: str,
    arguments: tuple[Operand, ...],
    results: tuple[Operand, ...],
) -> Callable[[Cohort], bool]:
    """The terminator of a call to a builtin."""
    gang = scheduler.gang
    offsets = [gang.launch.offsets[a.name] for a in arguments if isinstance(a, Symbol)]
    target = [gang.launch.offsets[r.name] for r in results if isinstance(r, Symbol)]

    def argument(lane: int, index: int, size: int = 8) -> int:
        start = lane * gang.local_size + offsets[index]
        return int.from_bytes(gang.local.data[start : start + size].tobytes(), "little")

    def printf(cohort: Cohort) -> bool:
        for lane in np.flatnonzero(cohort.lanes).tolist():
            text = _string(gang, lane, argument(lane, 0))
            line, count = _print(gang, int(lane), text, argument(lane, 1))
            gang.launch.output.append(line)
            if target:
                start = int(lane) * gang.local_size + target[0]
                gang.local.data[start : start + 4].view(np.uint32)[0] = count
        cohort.pc = pc + 1
        return True

    def assertion(cohort: Cohort) -> bool:
        lane = int(np.flatnonzero(cohort.lanes)[0])
        message = _string(gang, lane, argument(lane, 0))
        file, line = _string(gang, lane, argument(lane, 1)), argument(lane, 2, 4)
        raise scheduler.fault(
            "assert", f"{file}:{line}: assertion `{message}` failed", pc, cohort.lanes
        )

    if name == "vprintf":
        return printf
    if name == "__assertfail":
        return assertion
    raise Fault("unsupported", f"call of {name}", place=gang.program.place(pc))


def read_bytes(gang: Gang, lane: int, address: int, size: int) -> bytes:
    """Bytes at a generic address as one lane sees it."""
    if address >= GLOBAL:
        start = address - GLOBAL
        return gang.launch.arena.space.data[start : start + size].tobytes()
    if address >= LOCAL:
        start = lane * gang.local_size + address - LOCAL
        return gang.local.data[start : start + size].tobytes()
    start = int(gang.shared_base[lane]) + address - SHARED
    return gang.shared.data[start : start + size].tobytes()


def _string(gang: Gang, lane: int, address: int) -> str:
    return read_bytes(gang, lane, address, 4096).split(b"\0")[0].decode("utf-8", "replace")


def _print(gang: Gang, lane: int, text: str, buffer: int) -> tuple[str, int]:
    """C's formatting: 4-byte integers, 8-byte doubles and longs, in a buffer with natural
    alignment.
    """
    at, count = 0, 0

    def take(size: int) -> bytes:
        nonlocal at
        at = (at + size - 1) // size * size
        data = read_bytes(gang, lane, buffer + at, size)
        at += size
        return data

    def convert(match: re.Match[str]) -> str:
        nonlocal count
        flags, width, precision, length, kind = match.groups()
        if kind == "%":
            return "%"
        count += 1
        width, precision = (
            str(int.from_bytes(take(4), "little")) if x == "*" else x for x in (width, precision)
        )
        spec = "%" + flags + (width or "") + (f".{precision}" if precision is not None else "")
        if kind in "eEfFgGaA":
            found: str = (spec + kind) % struct.unpack("<d", take(8))[0]
            return found
        if kind == "s":
            return (spec + "s") % _string(gang, lane, int.from_bytes(take(8), "little"))
        if kind == "p":
            return (spec + "s") % hex(int.from_bytes(take(8), "little"))
        size = 8 if length in ("l", "ll", "j", "z", "t") else 4
        value = int.from_bytes(take(size), "little", signed=kind in "di")
        return (spec + ("c" if kind == "c" else "d" if kind == "u" else kind)) % value

    return _FORMAT.sub(convert, text), count
