"""Which tiles share an array: the values of one loop-carried variable, where lifetimes allow.

An accumulator is then updated in place: the initial value, the loop's argument, the product that
adds to it, and the loop's result are one array (`Plan.leader`). A value may take over the array of
another where that one is read for the last time: by the elementwise instruction that makes it,
element for element, or by the product that adds to it.
"""

from __future__ import annotations

from tilewright.codegen.cpu.plan import COMPUTED, LOOPS, PRODUCTS, Plan, is_tile
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import Continue, For, If, While, Yield
from tilewright.ir.values import Value


def share_arrays(plan: Plan, body: Body) -> None:
    """Let values of one accumulator use one array, in program order, outer loops first."""
    for item in body.instructions:
        if isinstance(item, PRODUCTS):
            acc = item.acc
            if acc not in plan.virtual and plan.last_use(acc) == plan.position[item]:
                plan.merge(item.results[0], acc)
        if isinstance(item, LOOPS):
            _share_initial(plan, item)
        for nested in item.nested:
            share_arrays(plan, nested)
        if isinstance(item, LOOPS):
            _share_carried(plan, item)
        if isinstance(item, If):
            _share_branches(plan, item)


def loop_arguments(item: For | While) -> tuple[tuple[Value, ...], ...]:
    """The arguments that stand for each carried value, by body."""
    if isinstance(item, For):
        return (item.body.args[1:],)
    return (item.before.args, item.after.args)


def _share_initial(plan: Plan, item: For | While) -> None:
    spot, groups = plan.position[item], loop_arguments(item)
    seen: set[Value] = set()
    for i, (first, result) in enumerate(zip(item.init, item.results, strict=True)):
        if not is_tile(first):
            continue
        names = [args[i] for args in groups] + [result]
        for name in names[1:]:
            plan.merge(name, names[0])
        owned = first not in plan.virtual and first not in plan.packed
        group = plan.leader(first)
        if owned and group not in seen and _is_last(plan, first, spot, item):
            seen.add(group)
            plan.merge(names[0], first)


def _is_last(plan: Plan, value: Value, spot: int, item: Instruction) -> bool:
    """Whether the loop at `spot` is the only and last use of `value` from here on."""
    used = [use for use in plan.uses.get(value, ()) if use.item is item]
    outside = plan.home[value] is not plan.body_of[item]
    return len(used) == 1 and not outside and plan.last_use(value) == spot


def _share_carried(plan: Plan, item: For | While) -> None:
    body = item.body if isinstance(item, For) else item.after
    end = body.terminator
    if not isinstance(end, (Yield, Continue)):
        return
    args = body.args[1:] if isinstance(item, For) else body.args
    for value, arg in zip(end.operand_values, args, strict=True):
        if not is_tile(value) or value in plan.virtual or value in plan.packed:
            continue
        inner, outer = plan.leader(value), plan.leader(arg)
        if inner is outer or inner not in plan.definition or not _inside(plan, inner, body):
            continue
        if end.operand_values.count(value) == 1 and _is_free(plan, outer, inner, body):
            plan.merge(inner, outer)


def _inside(plan: Plan, value: Value, body: Body) -> bool:
    return plan.home[value] is body


def _is_free(plan: Plan, outer: Value, inner: Value, body: Body) -> bool:
    """Whether the array of `outer` may be overwritten where `inner` is made, within `body`."""
    spot = plan.defined_at(inner)
    maker = plan.definition[inner]
    for member in plan.members.get(outer, [outer]):
        around = member in plan.home and _holds(plan, body, plan.home[member])
        if not around:
            continue
        last = plan.last_use(member)
        reads = [u for u in plan.uses.get(member, ()) if u.item is maker]
        in_place = all(u.same for u in reads) and isinstance(maker, COMPUTED)
        if last > spot or (last == spot and reads and not in_place):
            return False
    return True


def _holds(plan: Plan, body: Body, inner: Body) -> bool:
    while inner is not body and inner in plan.owner:
        inner = plan.body_of[plan.owner[inner]]
    return inner is body


def _share_branches(plan: Plan, item: If) -> None:
    for branch in (item.yes, item.no):
        end = branch.terminator
        if not isinstance(end, Yield):
            continue
        for value, result in zip(end.values, item.results, strict=True):
            if not is_tile(value) or value in plan.virtual or value in plan.packed:
                continue
            inner = plan.leader(value)
            made_here = inner in plan.definition and plan.home[inner] is branch
            if made_here and end.values.count(value) == 1:
                plan.merge(inner, result)
