"""What is known about index scalars from how they are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewright.ir.instructions.control import For, ForTiles
from tilewright.ir.instructions.elementwise import Binary, Cast
from tilewright.ir.instructions.scalar import Const, Extent
from tilewright.ir.values import Value

if TYPE_CHECKING:
    from tilewright.codegen.cpu.plan import Plan

_MONOTONE = ("add", "mul", "min", "max", "floordiv", "mod", "shl", "shr", "and")


def is_nonnegative(plan: Plan, value: Value) -> bool:
    """Whether an index scalar is at least 0: products of grid indices, sums with extents, …"""
    match plan.definition.get(value):
        case Const(value=number):
            return number >= 0
        case Extent():
            return True
        case Cast(operand=operand):
            return is_nonnegative(plan, operand)
        case Binary(op=op, left=left, right=right) if op in _MONOTONE:
            return is_nonnegative(plan, left) and is_nonnegative(plan, right)
    return _is_index(plan, value)


def _is_index(plan: Plan, value: Value) -> bool:
    owner = plan.owner.get(plan.home[value])
    if isinstance(owner, ForTiles):
        return any(value is arg for arg in owner.body.args)
    if isinstance(owner, For) and value is owner.body.args[0]:
        return is_nonnegative(plan, owner.low) and is_nonnegative(plan, owner.step)
    return False
