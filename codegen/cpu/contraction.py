"""A loop that does nothing but load two tiles and contract them runs as one `tw::contract`.

    %out = for %zero, %k, %bk, [%acc] (%kk, %sum) {
      %x = load %a, [%im, %kk], shape=[128, 64]
      %y = load %b, [%jn, %kk], shape=[128, 64]
      %yt = transpose %y
      %next = mma %x, %yt, %sum
      yield [%next]
    }

Then the depth of a step is the micro-kernel's choice, not the user's tile, and packed panels serve
all blocks of a thread that need them (`prelude/contract.h`). Conditions: the loop's step is the
depth of the tiles, each load moves along k only, and the kernel does not write what it loads.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.codegen.cpu.plan import Plan, element_type_of, find_argument, resolve
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.control import For, Yield
from tilewright.ir.instructions.elementwise import Binary, Cast
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.instructions.memory import Load
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.shape import Convert, Transpose
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import Value, element_type


@dataclass(frozen=True)
class Operand:
    """One operand of a contraction: its load, and which of its axes are rows and k."""

    load: Load
    rows: int
    depth: int


@dataclass(frozen=True)
class Contraction:
    """A loop that is one contraction."""

    loop: For
    product: Mma
    left: Operand
    right: Operand


def find_contractions(plan: Plan, kernel: Kernel) -> dict[Instruction, Contraction]:
    """All loops of `kernel` that are contractions."""
    written = {
        find_argument(plan, effect.on)
        for item in kernel.walk()
        for effect in item.effects()
        if effect.action in ("write", "atomic") and effect.on is not None
    }
    found: dict[Instruction, Contraction] = {}
    for item in kernel.walk():
        made = _match(plan, item) if isinstance(item, For) else None
        if made is None:
            continue
        sources = {find_argument(plan, o.load.tensor) for o in (made.left, made.right)}
        if not sources & written:
            found[item] = made
    return found


def _match(plan: Plan, loop: For) -> Contraction | None:
    end, products = loop.body.terminator, []
    for item in loop.body.instructions[:-1]:
        if isinstance(item, Mma):
            products.append(item)
        elif not isinstance(item, (Load, Transpose, Convert, Binary, Cast, Const)):
            return None
    if len(products) != 1 or len(loop.init) != 1 or not isinstance(end, Yield):
        return None
    (product,) = products
    if product.acc is not loop.body.args[1] or end.values != product.results:
        return None
    if element_type_of(product.x) != element_type_of(product.y):
        return None
    left, right = _operand(plan, loop, product.x, 1), _operand(plan, loop, product.y, 0)
    if left is None or right is None or element_type(product.acc).name != "f32":
        return None
    return Contraction(loop, product, left, right)


def _operand(plan: Plan, loop: For, value: Value, depth: int) -> Operand | None:
    """The operand whose axis `depth` is k, if it moves along k by whole tiles."""
    base, swapped = resolve(plan, value)
    load = plan.definition.get(base)
    if base not in plan.packed or not isinstance(load, Load) or plan.body_of[load] is not loop.body:
        return None
    depth = 1 - depth if swapped else depth
    step, fixed = plan.definition.get(loop.step), load.offsets[1 - depth]
    moves = load.offsets[depth] is loop.body.args[0]
    whole = isinstance(step, Const) and step.value == load.shape[depth]
    stays = plan.home[fixed] is not loop.body and plan.home[load.tensor] is not loop.body
    if not (moves and whole and stays) or len(plan.products[base]) != 1:
        return None
    return Operand(load, 1 - depth, depth)
