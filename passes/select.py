"""Select: the last pass. It decides nothing; what is left must have a template.

before:  kernel @add(...), phase=scheduled
after:   kernel @add(...), phase=target, target=sm_80

Needs: every tile has a layout, every buffer an address. Gives: phase target. Cost: linear.
"""

from __future__ import annotations

from dataclasses import replace

from tilewright.ir.diagnostics import InternalError
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import BufferType, TileType
from tilewright.passes.runner import Context, Pass


def select(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` in phase target."""
    for item in kernel.walk():
        if "target" not in item.phases:
            raise InternalError(f"{item.mnemonic} was not lowered before code generation")
        for value in item.results:
            kind = value.type
            if isinstance(kind, (TileType, BufferType)) and kind.layout is None:
                raise InternalError(f"{item.mnemonic} has a result without a layout")
    return replace(kernel, phase="target", target=context.target.name)


PASS = Pass("select", select)
