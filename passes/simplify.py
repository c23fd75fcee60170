"""Simplify: fold constants, apply rules, share equal values, hoist, drop dead code, prove bounds.

before:  %0: i32 = const value=0, dtype=i32
         %i: i32 = add %row, %0
         %x: tile<[64], f32> = load %a, [%i], shape=[64]
after:   %x: tile<[64], f32> = load %a, [%row], shape=[64], bounds=[false]     (where 64 divides)

Needs: any phase up to `scheduled`. Gives: the same phase; every access says in `bounds` which axes
may leave the view. Cost: linear in the kernel, twice (rules to a fixed point, then facts).
Named rules: [fold] an instruction whose operands are constants; [equation] a rule of `ir.rewrite`;
[cast], [reshape], [transpose], [broadcast] that change nothing; [cse] equal pure instructions;
[hoist] scalars that a loop does not change; [dead] pure results that nobody reads; [inside] an
access whose coordinates provably lie in the view.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.buffer import Copy, CopyOut
from tilewright.ir.instructions.control import For, While
from tilewright.ir.instructions.elementwise import Binary, Cast, Compare, Select, Unary
from tilewright.ir.instructions.memory import Load, Store
from tilewright.ir.instructions.scalar import Assume
from tilewright.ir.instructions.shape import Broadcast, Reshape, Transpose
from tilewright.ir.kernel import Builder, Environment, Kernel, rebuild, substitute
from tilewright.ir.numeric import round_to
from tilewright.ir.rewrite import apply_rules, build_constant, find_constant
from tilewright.ir.values import ScalarType, TileType, Value, element_type, shape_of
from tilewright.passes.facts import Facts, find_facts
from tilewright.passes.runner import Context, Pass


def simplify(kernel: Kernel, context: Context) -> Kernel:
    """Rules to a fixed point (at most a few rounds), then dead code, then bounds."""
    for _ in range(4):
        before = sum(1 for _ in kernel.walk())
        kernel = remove_dead(hoist_scalars(share_equal(apply_all_rules(kernel))))
        if sum(1 for _ in kernel.walk()) == before:
            break
    return prove_bounds(kernel)


def apply_all_rules(kernel: Kernel) -> Kernel:
    """[fold], [equation] and the rules for shapes and casts, once over the kernel."""
    defined: dict[Value, Instruction] = {}

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        start = len(builder.instructions)
        found = _fold(item, defined, builder)
        if found is None:
            found = _unchanged(item, defined)
        if found is None:
            found = apply_rules(item, defined, builder)
        for made in builder.instructions[start:]:
            defined.update((r, made) for r in made.results)
        if found is not None:
            return (found,)
        defined.update((r, item) for r in item.results)
        return None

    return rebuild(kernel, visit)


_FOLDED = (Binary, Unary, Compare, Select, Cast)


def _fold(item: Instruction, defined: dict[Value, Instruction], builder: Builder) -> Value | None:
    """[fold] on scalars, by the instruction's own meaning."""
    if not isinstance(item, _FOLDED) or not isinstance(item.results[0].type, ScalarType):
        return None
    numbers = [find_constant(v, defined) for v in item.operand_values]
    if any(n is None for n in numbers):
        return None
    arrays = [
        round_to(element_type(v), _as_array(n, v))
        for n, v in zip(numbers, item.operand_values, strict=True)
    ]
    found: Any = item.meaning(*arrays)
    return build_constant(found.item(), item.results[0], builder)


def _as_array(number: Any, value: Value) -> Any:
    return np.asarray(float(number) if element_type(value).is_float else number)


def _unchanged(item: Instruction, defined: dict[Value, Instruction]) -> Value | None:
    """[cast], [broadcast], [reshape], [transpose]: the operand where nothing changes."""
    match item:
        case Cast(operand=operand, dtype=dtype) if element_type(operand) == dtype:
            return operand
        case Broadcast(operand=operand, shape=shape) | Reshape(operand=operand, shape=shape):
            return operand if shape_of(operand) == shape else None
        case Transpose(operand=operand, axes=axes):
            if axes == tuple(range(len(axes))):
                return operand
            inner = defined.get(operand)
            if isinstance(inner, Transpose) and tuple(inner.axes[a] for a in axes) == tuple(
                range(len(axes))
            ):
                return inner.operand
    return None


def is_pure(item: Instruction) -> bool:
    """Whether `item` only computes its results."""
    pure = not item.effects() and not item.nested and not item.terminates
    return pure and not isinstance(item, Assume)


def share_equal(kernel: Kernel) -> Kernel:
    """[cse] Equal pure instructions in one scope, or in one around it, become one."""
    return dataclasses.replace(kernel, body=_share(kernel.body, {}, {}))


def _share(body: Body, known: dict[Any, tuple[Value, ...]], environment: Environment) -> Body:
    known = dict(known)
    made = []
    for old in body.instructions:
        item = substitute(old, environment)
        if item.nested:
            item = _replace_bodies(item, [_share(b, known, environment) for b in item.nested])
        if is_pure(item):
            key = _identity(item)
            if key in known:
                environment.update(zip(item.results, known[key], strict=True))
                continue
            known[key] = item.results
        made.append(item)
    return Body(body.args, tuple(made))


def _identity(item: Instruction) -> Any:
    held = tuple(
        (type(h), h, repr(h)) if isinstance(h := getattr(item, s.name), float) else h
        for s in item.specs
    )
    return (item.mnemonic, held, tuple(r.type for r in item.results))


def _replace_bodies(item: Instruction, bodies: Sequence[Body]) -> Instruction:
    queue = list(bodies)
    changes: dict[str, Any] = {}
    for spec in item.specs:
        if spec.kind == "body":
            changes[spec.name] = queue.pop(0)
        elif spec.kind == "bodies":
            count = len(getattr(item, spec.name))
            changes[spec.name], queue = tuple(queue[:count]), queue[count:]
    return dataclasses.replace(item, **changes)


def hoist_scalars(kernel: Kernel) -> Kernel:
    """[hoist] Pure scalar instructions leave loops whose arguments they do not depend on."""
    return dataclasses.replace(kernel, body=_hoist(kernel.body))


def _hoist(body: Body) -> Body:
    made: list[Instruction] = []
    for item in body.instructions:
        if item.nested:
            bodies = [_hoist(b) for b in item.nested]
            if isinstance(item, (For, While)):
                split = [_split_invariant(b) for b in bodies]
                made.extend(moved for moves, _ in split for moved in moves)
                bodies = [kept for _, kept in split]
            item = _replace_bodies(item, bodies)
        made.append(item)
    return Body(body.args, tuple(made))


def _split_invariant(body: Body) -> tuple[list[Instruction], Body]:
    inner = set(body.args)
    moved, kept = [], []
    for item in body.instructions:
        scalar = all(isinstance(r.type, ScalarType) for r in item.results)
        if is_pure(item) and scalar and not inner.intersection(item.operand_values):
            moved.append(item)
        else:
            kept.append(item)
            inner.update(item.results)
    return moved, Body(body.args, tuple(kept))


def remove_dead(kernel: Kernel) -> Kernel:
    """[dead] Pure instructions whose results nobody reads."""
    used: set[Value] = set()
    return dataclasses.replace(kernel, body=_remove_dead(kernel.body, used))


def _remove_dead(body: Body, used: set[Value]) -> Body:
    kept: list[Instruction] = []
    for old in reversed(body.instructions):
        if is_pure(old) and not used.intersection(old.results):
            continue
        item = old
        if item.nested:
            bodies = [_remove_dead(b, used) for b in reversed(item.nested)]
            item = _replace_bodies(item, bodies[::-1])
        used.update(item.operand_values)
        kept.append(item)
    return Body(body.args, tuple(reversed(kept)))


Access = Load | Store | Copy | CopyOut


def prove_bounds(kernel: Kernel) -> Kernel:
    """[inside] Sets `bounds` on every access: true for the axes that must be checked."""
    facts = find_facts(kernel)

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, (Load, Store, Copy, CopyOut)):
            return None
        bounds = _find_bounds(item, facts)
        if bounds == item.bounds:
            return None
        builder.append(dataclasses.replace(item, bounds=bounds))
        return item.results

    return rebuild(kernel, visit)


def _find_bounds(item: Access, facts: Facts) -> tuple[bool, ...]:
    shape = _region(item)
    return tuple(
        not _is_inside(item.tensor, axis, offset, extent, facts)
        for axis, (offset, extent) in enumerate(zip(item.offsets, shape, strict=True))
    )


def _region(item: Access) -> tuple[int, ...]:
    match item:
        case Load(shape=shape):
            return shape
        case Store(value=value):
            return shape_of(value)
        case Copy(buffer=buffer) | CopyOut(buffer=buffer):
            return shape_of(buffer)


def _is_inside(tensor: Value, axis: int, offset: Value, extent: int, facts: Facts) -> bool:
    if isinstance(offset.type, TileType):
        return False
    start = facts.of(offset)
    end = facts.extent(tensor, axis)
    return (
        end is not None
        and facts.is_nonnegative(start)
        and facts.is_nonnegative(end - start - extent)
    )


PASS = Pass("simplify", simplify)
