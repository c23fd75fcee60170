"""Whether one thread may contract the sums of neighbouring blocks together.

A kernel is *grouped* if its only product is one contraction from zero, which every block computes
once, and of which the block's place in the grid decides nothing but the rows: `i * BM` of the left
operand, `j * BN` of the right one.

    for_tiles [%rows, %columns] (%i: i32, %j: i32) {
      %im = mul %i, 128
      %jn = mul %j, 64
      %out = for %zero, %k, %bk, [%acc] (…) { load %a, [%im, %kk] … load %b, [%jn, %kk] … mma … }

Then blocks of any size run as fast as large ones (`prelude/group.h`). Further grid axes, of batches
say, may decide which matrices are multiplied: groups lie within one of them. Kernels whose blocks
wait for each other keep their order.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.codegen.cpu.contraction import Contraction, Operand
from tilewright.codegen.cpu.plan import PRODUCTS, Plan
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.atomic import SignalWait
from tilewright.ir.instructions.control import ForTiles
from tilewright.ir.instructions.elementwise import Binary
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.shape import Full
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import Value

LARGEST = 512
"""Rows and columns of the largest group: `GROUP_EDGE` of the prelude."""


@dataclass(frozen=True)
class Grouping:
    """The contraction of a grouped kernel, and the grid axes of its blocks' rows and columns."""

    contraction: Contraction
    down: int
    across: int

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a block."""
        left, right = self.contraction.left, self.contraction.right
        return left.load.shape[left.rows], right.load.shape[right.rows]


def find_grouping(
    plan: Plan, kernel: Kernel, grid: ForTiles, contractions: dict[Instruction, Contraction]
) -> Grouping | None:
    """How the blocks of `kernel` are grouped, None if they are not."""
    if len(contractions) != 1 or any(isinstance(item, SignalWait) for item in kernel.walk()):
        return None
    ((loop, contraction),) = contractions.items()
    if plan.body_of[loop] is not grid.body or not _starts_at_zero(plan, contraction):
        return None
    if sum(isinstance(item, PRODUCTS) for item in kernel.walk()) != 1:
        return None
    down = _grid_axis(plan, grid, contraction.left)
    across = _grid_axis(plan, grid, contraction.right)
    if down is None or across is None or down == across:
        return None
    tensors = (contraction.left.load.tensor, contraction.right.load.tensor)
    shared = (contraction.loop.low, contraction.loop.high, contraction.loop.step, *tensors)
    moving = {grid.body.args[down], grid.body.args[across]}
    if any(_depends(plan, grid, value, moving) for value in shared):
        return None
    found = Grouping(contraction, down, across)
    return found if max(found.tile) <= LARGEST and min(found.tile) < LARGEST else None


def _starts_at_zero(plan: Plan, contraction: Contraction) -> bool:
    (start,) = contraction.loop.init
    made = plan.definition.get(start)
    zero = plan.definition.get(made.value) if isinstance(made, Full) else None
    return isinstance(zero, Const) and zero.value == 0


def _grid_axis(plan: Plan, grid: ForTiles, operand: Operand) -> int | None:
    """The grid axis that is multiplied with the tile's rows to give the operand's offset."""
    offset = plan.definition.get(operand.load.offsets[operand.rows])
    if not isinstance(offset, Binary) or offset.op != "mul":
        return None
    rows = operand.load.shape[operand.rows]
    for index, size in ((offset.left, offset.right), (offset.right, offset.left)):
        known = plan.definition.get(size)
        if isinstance(known, Const) and known.value == rows and index in grid.body.args:
            return grid.body.args.index(index)
    return None


def _depends(plan: Plan, grid: ForTiles, value: Value, on: set[Value]) -> bool:
    """Whether `value` may differ where the grid indices `on` differ."""
    if value in on:
        return True
    if plan.home.get(value) is not grid.body or value in grid.body.args:
        return False
    item = plan.definition.get(value)
    if item is None or item.nested or item.effects():
        return True
    return any(_depends(plan, grid, operand, on) for operand in item.operand_values)
