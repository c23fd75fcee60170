"""Kernel-side print and check: they work in the interpreter and on every target."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.ir.diagnostics import InterpretError
from tilewright.ir.instruction import (
    ANY,
    Effect,
    Instruction,
    attribute,
    instruction,
    operand,
    operands,
)
from tilewright.ir.numeric import Array
from tilewright.ir.values import Value


@instruction("print", phases=ANY)
class Print(Instruction):
    """Prints `text`, its `{}` replaced by `values` (scalars, or tiles in row-major order)."""

    values: tuple[Value, ...] = operands()
    text: str = attribute()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("world", None),)

    def meaning(self, values: tuple[Array, ...]) -> None:
        print(self.text.format(*(_plain(v) for v in values)))


def _plain(value: Array) -> Any:
    return value.item() if np.ndim(value) == 0 else value


@instruction("check", phases=ANY)
class Check(Instruction):
    """Stops the kernel with `text` unless `condition` holds (everywhere, for a tile)."""

    condition: Value = operand()
    text: str = attribute()

    def effects(self) -> tuple[Effect, ...]:
        return (Effect("world", None),)

    def meaning(self, condition: Array) -> None:
        if not np.all(condition):
            raise InterpretError(f"check failed: {self.text}", location=self.location)
