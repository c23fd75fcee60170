"""alloca, stacksave, stackrestore: a stack of each lane in local memory.

The region `STACK` starts with the number of bytes in use, so that it begins at zero with the rest
of local memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Immediate, Instruction, Register

STACK = "stack#"
SIZE = 16_384
OPCODES = ("alloca", "stacksave", "stackrestore")
_START = 1024  # of the data: the most that an alignment can ask for


def _used(frame: Frame) -> tuple[Array, int]:
    """The counters, of all lanes of the frame, and the region's start."""
    gang = frame.gang
    start = gang.launch.offsets[STACK]
    rows = gang.local.data[: gang.n * gang.local_size].reshape(gang.n, gang.local_size)
    counters: Array = rows[frame.low : frame.high, start : start + 8]
    return counters, start


def _read(counters: Array) -> Array:
    found: Array = np.ascontiguousarray(counters).view(np.int64).ravel()
    return found


def _alloca(ins: Instruction, frame: Frame) -> Any:
    """alloca d, size{, alignment}."""
    target = ins.operands[0]
    assert isinstance(target, Register)
    kind = ins.mods[-1]
    row, size = frame.row(target), frame.read(ins.operands[1], kind)
    given = ins.operands[2] if len(ins.operands) > 2 else Immediate(8)
    assert isinstance(given, Immediate)
    align = max(int(given.value), 8)
    counters, start = _used(frame)
    gang = frame.gang

    def step(mask: Array | None) -> None:
        chosen: Any = slice(None) if mask is None else mask
        used, wanted = _read(counters), size.astype(np.int64)
        at = (used + align - 1) // align * align
        end = at + wanted
        if (end[chosen] > SIZE - _START).any():
            raise gang.fault("stack", f"a stack of more than {SIZE} bytes", ins, frame, mask)
        row[chosen] = (start + _START + at).astype(row.dtype)[chosen]
        counters[chosen] = end.view(np.uint8).reshape(-1, 8)[chosen]

    return step


def _save(ins: Instruction, frame: Frame) -> Any:
    target = ins.operands[0]
    assert isinstance(target, Register)
    row, (counters, _) = frame.row(target), _used(frame)

    def step(mask: Array | None) -> None:
        np.copyto(row, _read(counters), casting="unsafe", where=True if mask is None else mask)

    return step


def _restore(ins: Instruction, frame: Frame) -> Any:
    saved, (counters, _) = frame.read(ins.operands[0], ins.mods[-1]), _used(frame)

    def step(mask: Array | None) -> None:
        chosen: Any = slice(None) if mask is None else mask
        counters[chosen] = saved.astype(np.int64).view(np.uint8).reshape(-1, 8)[chosen]

    return step


EFFECTS = {"alloca": _alloca, "stacksave": _save, "stackrestore": _restore}
