"""Where every tile of a block lives: nowhere (part of a loop over elements), or in a local array.

*Virtual* tiles are recomputed element by element where they are used and never stored:

* those that only rename elements (`full`, `arange`, `broadcast`, `transpose`, …), always;
* elementwise results, loads and gathers whose only use, through other virtual tiles, is one
  instruction of the same body that walks over elements (a store, a reduction, …). A load stays
  virtual only if nothing writes memory in between.

* packed weights, which only `mma.scaled` reads, and an x that only it reads: `streamed`.

Everything else has an array. Values of one loop-carried variable share an array where their
lifetimes allow (`leader` names the value whose array is used), so that an accumulator is updated
in place. A loaded tile that only feeds `mma` has no array: it is packed from memory.

Positions number instructions in program order; `last_use` counts uses through virtual tiles, and a
use inside a loop that does not hold the definition counts as the loop's end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tilewright.codegen.cpu.offsets import is_nonnegative
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.atomic import Atomic
from tilewright.ir.instructions.buffer import BufferStore
from tilewright.ir.instructions.check import Check
from tilewright.ir.instructions.control import For, While, Yield
from tilewright.ir.instructions.elementwise import Binary, Cast, Compare, Fma, Select, Unary
from tilewright.ir.instructions.matmul import Mma, MmaAsync, MmaScaled
from tilewright.ir.instructions.memory import Bytes, Gather, Load, Rows, Scatter, Store, Subview
from tilewright.ir.instructions.reduce import Reduce
from tilewright.ir.instructions.shape import (
    Arange,
    Broadcast,
    Convert,
    Full,
    Item,
    Reshape,
    Slice,
    Transpose,
)
from tilewright.ir.instructions.sync import Pend, Wait
from tilewright.ir.kernel import Kernel, walk
from tilewright.ir.values import PendingType, TileType, Value, element_type, shape_of, tensor_type

COMPUTED = (Unary, Binary, Compare, Fma, Select, Cast, Load, Gather)
RENAMED = (Full, Arange, Broadcast, Reshape, Transpose, Slice, Convert)
ALIASES = (Wait, Pend)
ELEMENT_ROOTS = (*COMPUTED, Store, Scatter, Reduce, Atomic, BufferStore, Item, Check)
PRODUCTS = (Mma, MmaAsync, MmaScaled)
PACKED = (Mma, MmaAsync)
LOOPS = (For, While)


def is_tile(value: Value) -> bool:
    """Whether `value` is a tile, pending or not."""
    return isinstance(value.type, (TileType, PendingType))


@dataclass(frozen=True)
class Use:
    """A use of a tile, maybe through virtual ones; `same`: element i is read for i only."""

    item: Instruction
    same: bool


@dataclass
class Plan:
    """The decisions, and the facts that they follow from."""

    definition: dict[Value, Instruction] = field(default_factory=dict)
    body_of: dict[Instruction, Body] = field(default_factory=dict)
    position: dict[Instruction, int] = field(default_factory=dict)
    end: dict[Instruction, int] = field(default_factory=dict)
    home: dict[Value, Body] = field(default_factory=dict)
    owner: dict[Body, Instruction] = field(default_factory=dict)
    writes: list[int] = field(default_factory=list)
    uses: dict[Value, list[Use]] = field(default_factory=dict)
    forced: set[Value] = field(default_factory=set)
    virtual: set[Value] = field(default_factory=set)
    packed: set[Value] = field(default_factory=set)
    streamed: set[Value] = field(default_factory=set)
    half: set[Value] = field(default_factory=set)
    products: dict[Value, list[tuple[str, bool]]] = field(default_factory=dict)
    leaders: dict[Value, Value] = field(default_factory=dict)
    members: dict[Value, list[Value]] = field(default_factory=dict)

    def leader(self, value: Value) -> Value:
        """The value whose array `value` uses."""
        while value in self.leaders:
            value = self.leaders[value]
        return value

    def merge(self, inner: Value, outer: Value) -> None:
        """Let the array of `inner`'s group be that of `outer`'s."""
        a, b = self.leader(inner), self.leader(outer)
        if a is not b:
            self.leaders[a] = b
            self.members.setdefault(b, [b]).extend(self.members.pop(a, [a]))

    def last_use(self, value: Value) -> int:
        """The position after which the array of `value` is free."""
        spots = [self._use_position(value, use.item) for use in self.uses.get(value, ())]
        return max(spots, default=self.defined_at(value))

    def _use_position(self, value: Value, item: Instruction) -> int:
        """`item`'s position, or the end of the outermost loop around it that lacks `value`."""
        spot, body = self.position[item], self.body_of[item]
        while body is not self.home[value] and body in self.owner:
            around = self.owner[body]
            if isinstance(around, LOOPS):
                spot = self.end[around]
            body = self.body_of[around]
        return spot

    def defined_at(self, value: Value) -> int:
        """The position of the definition; of the loop, for its arguments."""
        if value in self.definition:
            return self.position[self.definition[value]]
        body = self.home[value]
        return self.position[self.owner[body]] if body in self.owner else -1


def resolve(plan: Plan, value: Value) -> tuple[Value, bool]:
    """The tile that `value` is a transpose of, and whether its axes are swapped."""
    swapped = False
    while isinstance(item := plan.definition.get(value), (Transpose, Convert, *ALIASES)):
        if isinstance(item, (Transpose, Convert)):
            swapped ^= isinstance(item, Transpose) and item.axes == (1, 0)
            value = item.operand
        else:
            value = aliased(item, value)
    return value, swapped


def aliased(item: Instruction, result: Value) -> Value:
    """The operand that result `result` of `wait` or `pend` stands for."""
    if isinstance(item, Pend):
        return item.operand
    assert isinstance(item, Wait)
    return item.pending[item.results.index(result)]


def make_plan(kernel: Kernel) -> Plan:
    """Decide for every tile of `kernel`."""
    plan = Plan()
    _number(plan, kernel.body)
    for item in walk(kernel.body):
        if isinstance(item, PACKED):
            for side, value in (("left", item.x), ("right", item.y)):
                base, swapped = resolve(plan, value)
                asked = plan.products.setdefault(base, [])
                if (side, swapped) not in asked:
                    asked.append((side, swapped))
    users = _direct_users(kernel)
    for value in plan.products:
        if is_tile(value) and element_type_of(value) in ("bf16", "f16"):
            plan.half.add(value)
        if isinstance(plan.definition.get(value), Load) and _feeds_products(plan, users, value):
            plan.packed.add(value)
    for value, item in plan.definition.items():
        if isinstance(item, Load) and _is_streamed(plan, users.get(value, []), item):
            plan.streamed.add(value)
    _decide(plan, kernel.body)
    return plan


def _is_streamed(plan: Plan, users: list[Instruction], item: Load) -> bool:
    """Whether `mma.scaled` reads this load where it lies: packed weights, and a plain x."""
    if tensor_type(item.tensor).packing is not None:
        return True
    plain = item.other is None and not any(is_tile(o) for o in item.offsets)
    (result,) = item.results
    if not plain or element_type_of(result) not in ("f32", "bf16", "f16") or not users:
        return False
    if not all(isinstance(u, MmaScaled) and u.x is result and u.y is not result for u in users):
        return False
    spots = [plan.position[item], *(plan.position[u] for u in users)]
    return not any(min(spots) < write < max(spots) for write in plan.writes)


def element_type_of(value: Value) -> str:
    """The name of a tile's dtype."""
    kind = value.type.tile if isinstance(value.type, PendingType) else value.type
    assert isinstance(kind, TileType)
    return kind.dtype.name


def _number(plan: Plan, body: Body) -> None:
    for arg in body.args:
        plan.home[arg] = body
    for item in body.instructions:
        spot = plan.position[item] = len(plan.position)
        plan.body_of[item] = body
        if any(e.action in ("write", "atomic", "wait") for e in item.effects()):
            plan.writes.append(spot)
        for nested in item.nested:
            plan.owner[nested] = item
            _number(plan, nested)
        plan.end[item] = len(plan.position)
        for result in item.results:
            plan.definition[result] = item
            plan.home[result] = body


def _direct_users(kernel: Kernel) -> dict[Value, list[Instruction]]:
    users: dict[Value, list[Instruction]] = {}
    for item in walk(kernel.body):
        for value in item.operand_values:
            users.setdefault(value, []).append(item)
    return users


def _feeds_products(plan: Plan, users: dict[Value, list[Instruction]], value: Value) -> bool:
    """Whether a loaded tile can be packed from memory for all its uses."""
    item = plan.definition[value]
    plain = isinstance(item, Load) and item.other is None
    scalars = plain and not any(is_tile(o) for o in item.offsets)  # type: ignore[attr-defined]
    scalars = scalars and all(is_nonnegative(plan, o) for o in item.offsets)  # type: ignore[attr-defined]
    return (
        scalars
        and element_type_of(value) in ("f32", "tf32", "bf16", "f16")
        and _only_products(users, value)
    )


def _only_products(users: dict[Value, list[Instruction]], value: Value) -> bool:
    return all(
        (isinstance(user, PACKED) and value is not user.acc)
        or (isinstance(user, (Transpose, Convert)) and _only_products(users, user.results[0]))
        for user in users.get(value, ())
    )


def _decide(plan: Plan, body: Body) -> None:
    """Uses and virtual tiles of `body`, from its end to its start."""
    for item in reversed(body.instructions):
        for nested in reversed(item.nested):
            _decide(plan, nested)
        _decide_one(plan, item)


def _decide_one(plan: Plan, item: Instruction) -> None:
    tiles = [v for v in item.operand_values if is_tile(v)]
    if isinstance(item, RENAMED):
        result = item.results[0]
        plan.virtual.add(result)
        for value in tiles:
            _pass_on(plan, result, value, same=False)
            if _costs_more(item):
                plan.forced.add(value)
        return
    if isinstance(item, ALIASES):
        for result in item.results:
            if is_tile(result):
                plan.virtual.add(result)
                _pass_on(plan, result, aliased(item, result), same=True)
        return
    if isinstance(item, COMPUTED) and tiles + list(item.results) and _is_virtual(plan, item):
        plan.virtual.add(item.results[0])
        for value in tiles:
            _pass_on(plan, item.results[0], value, same=True)
        return
    for value in tiles:
        plan.uses.setdefault(value, []).append(Use(item, same=_reads_same(item, value)))
        if isinstance(item, Load):
            plan.forced.add(value)


def _reads_same(item: Instruction, value: Value) -> bool:
    if isinstance(item, PRODUCTS):
        return value is item.acc
    return isinstance(item, (*COMPUTED, Store, *LOOPS, Yield))


def _pass_on(plan: Plan, result: Value, value: Value, *, same: bool) -> None:
    for use in plan.uses.get(result, ()):
        plan.uses.setdefault(value, []).append(Use(use.item, use.same and same))


def _costs_more(item: Instruction) -> bool:
    """Whether walking through `item` would compute elements of its operand several times."""
    if isinstance(item, Broadcast):
        return shape_of(item.operand) != item.shape
    if isinstance(item, Reshape):
        have, want = shape_of(item.operand), item.shape
        return [e for e in have if e > 1] != [e for e in want if e > 1]
    return False


def _is_virtual(plan: Plan, item: Instruction) -> bool:
    (result,) = item.results
    if result in plan.streamed:
        return True
    if not is_tile(result) or result in plan.forced or result in plan.packed:
        return False
    roots = {use.item: use for use in plan.uses.get(result, ())}
    if len(roots) != 1:
        return False
    (root,) = roots
    if not isinstance(root, ELEMENT_ROOTS) or plan.body_of[root] is not plan.body_of[item]:
        return False
    return not isinstance(item, (Load, Gather)) or _may_read_late(plan, item, roots[root])


def _may_read_late(plan: Plan, item: Load | Gather, use: Use) -> bool:
    """Whether reading memory at `use` gives what reading it at `item` gives."""
    if isinstance(item, Load) and any(is_tile(o) for o in item.offsets):
        return False
    if element_type(item.tensor).bits < 8:
        return False
    start, stop = plan.position[item], plan.position[use.item]
    if any(start < spot < stop for spot in plan.writes):
        return False
    root = use.item
    if not isinstance(root, (Store, Scatter, Atomic)):
        return True
    if find_argument(plan, root.tensor) is not find_argument(plan, item.tensor):
        return True
    return (
        isinstance(root, Store)
        and isinstance(item, Load)
        and use.same
        and all(u.same for u in plan.uses[item.results[0]])
        and root.tensor is item.tensor
        and root.offsets == item.offsets
        and shape_of(root.value) == item.shape
    )


def find_argument(plan: Plan, tensor: Value) -> Value:
    """The tensor of which `tensor` is a view."""
    while isinstance(item := plan.definition.get(tensor), (Rows, Subview, Bytes)):
        tensor = item.tensor
    return tensor
