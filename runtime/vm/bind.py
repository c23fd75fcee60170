"""From instructions to closures: the families, and what all of them share (masks and guards).

A family in `instructions/` offers a table from opcode to one of two kinds of binders:

- *value* `(ins, frame, out) -> run`: `run()` computes every lane and writes the rows `out`. Masks
  and guards are no business of the family: under a mask it is bound to temporaries and the active
  lanes are copied.
- *effect* `(ins, frame) -> step`: `step(mask)` acts on the lanes of `mask` (None: the whole frame).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions import EFFECTS, VALUES
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.program import place
from tilewright.runtime.vm.records import Instruction

Run = Callable[[], Any]
Step = Callable[[Any], Any]


def bind_full(ins: Instruction, frame: Frame) -> Run:
    """The instruction on all lanes of the frame."""
    value = VALUES.get(ins.opcode)
    if value is not None and ins.guard is None and not _is_watched(ins, frame):
        found: Callable[[], Any] = _checked(
            ins, frame, lambda: value(ins, frame, frame.destinations(ins))
        )
        return found
    return partial(bind_masked(ins, frame), None)


def bind_masked(ins: Instruction, frame: Frame) -> Step:
    """The instruction on the lanes of a mask."""
    step = _checked(ins, frame, lambda: _step(ins, frame))
    if _is_watched(ins, frame):
        step = _watched(ins, frame, step)
    recorder = frame.gang.recorder
    if recorder is not None and recorder.watches(ins):
        step = recorder.mark(ins, step)
    return step if ins.guard is None else _guarded(ins, frame, step)


def _is_watched(ins: Instruction, frame: Frame) -> bool:
    checks = frame.gang.checks
    return checks is not None and checks.watches(ins)


def _watched(ins: Instruction, frame: Frame, step: Step) -> Step:
    """Reads of registers that may be uninitialised are checked, writes noted."""
    checks = frame.gang.checks
    assert checks is not None
    before, after = checks.bind_registers(ins, frame)

    def watched(mask: Array | None) -> None:
        before(mask)
        step(mask)
        after(mask)

    return watched


def _step(ins: Instruction, frame: Frame) -> Step:
    value = VALUES.get(ins.opcode)
    if value is not None:
        return _masked_value(ins, frame, value)
    effect = EFFECTS.get(ins.opcode)
    if effect is None:
        raise Fault("unsupported", f"instruction {ins.name}")
    found: Callable[[Any], Any] = effect(ins, frame)
    return found


def _checked(ins: Instruction, frame: Frame, bind: Callable[[], Any]) -> Any:
    """Binds, and gives a fault that binding raises its place."""
    try:
        return bind()
    except Fault as fault:
        if fault.place is not None:
            raise
        raise Fault(
            fault.kind, fault.message, place=place(frame.gang.program.module, ins)
        ) from None
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        where = place(frame.gang.program.module, ins)
        message = f"{ins.name} with {len(ins.operands)} operands like these ({error})"
        raise Fault("unsupported", message, place=where) from error


def _masked_value(ins: Instruction, frame: Frame, value: Any) -> Step:
    rows = frame.destinations(ins)
    temporaries = [frame.scratch(row.dtype, f"masked{i}") for i, row in enumerate(rows)]
    run = value(ins, frame, temporaries)
    pairs = list(zip(rows, temporaries, strict=True))

    def step(mask: Array | None) -> None:
        run()
        for row, temporary in pairs:
            if mask is None:
                np.copyto(row, temporary)
            else:
                np.copyto(row, temporary, where=mask)

    return step


def _guarded(ins: Instruction, frame: Frame, step: Step) -> Step:
    assert ins.guard is not None
    guard, negated = frame.row(ins.guard), ins.negated
    active = np.empty(frame.n, np.bool_)
    total = frame.n

    def guarded(mask: Array | None) -> None:
        if negated:
            np.logical_not(guard, active)
        else:
            np.copyto(active, guard)
        if mask is not None:
            np.logical_and(active, mask, active)
        count = np.count_nonzero(active)
        if count == total:
            step(None)
        elif count:
            step(active)

    return guarded
