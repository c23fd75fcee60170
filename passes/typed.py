"""Placing an instruction whose results have types that say more than `result` derives: layouts."""

from __future__ import annotations

import dataclasses

from tilewright.ir.instruction import Instruction
from tilewright.ir.kernel import Builder
from tilewright.ir.values import Type, Value


def place(builder: Builder, made: Instruction, kind: Type, name: str = "") -> Value:
    """Append `made` with one result of type `kind`."""
    result = Value(kind, name)
    location = made.location or builder.location
    builder.append(dataclasses.replace(made, results=(result,), location=location))
    return result
