"""mov of whole vectors, and of special registers that are not 32 bits wide or mean nothing here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions import move
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction, Special, Vector

_ZERO = ("%envreg", "%pm", "%reserved_smem", "%current_graph")
"""What the driver, the profiler or the hardware would set."""
_WIDE = ("%gridid", "%is_explicit_cluster")


def bind_move(ins: Instruction, frame: Frame, out: list[Array]) -> Any:
    """Any `mov`."""
    source = ins.operands[1]
    if isinstance(source, Vector) and isinstance(ins.operands[0], Vector):
        return _vector(ins, frame, source, out)
    if isinstance(source, Special) and source.name.startswith(_ZERO):
        return partial(out[0].fill, 0)
    if isinstance(source, Special) and source.name in _WIDE:
        row = frame.read(source, "u32")
        return partial(np.copyto, out[0], row, casting="unsafe")
    binder: Callable[..., Any] = move.VALUES["mov", "any"]
    return binder(ins, frame, out)


def _vector(ins: Instruction, frame: Frame, source: Vector, out: list[Array]) -> Any:
    """mov.v4: register by register; any may be among the sources."""
    rows = [frame.read(item, ins.mods[-1]) for item in source.items]

    def run() -> None:
        values = [row.copy() for row in rows]
        for target, value in zip(out, values, strict=False):
            np.copyto(target, value.view(target.dtype))

    return run


VALUES = {("mov", "any"): bind_move}
