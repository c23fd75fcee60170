"""Split loops: whole steps run without masks, the rest of a step runs with them.

before:  for %0, %n, %64, [%acc] (%j, %acc) { load %x, [%i, %j], shape=[4, 64], bounds=[no, yes] }
after:   %a = for %0, %whole, %64, [%acc] (%j, %acc) { load ..., bounds=[no, no] }
         %b = for %whole, %n, %64, [%a] (%j, %a) { load ..., bounds=[no, yes] }

with %whole = (%n - 0) // 64 * 64. The second loop runs at most once.

Needs: bounds from `simplify`. Gives: the same phase. Cost: one clone and one proof per loop.
Named rules: [worth] a loop is split only if an access in it loses a mask; [pipelined] loops with
stages stay whole, so that one ring spans them: their copies mask by the size operand, for free.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import Copy, CopyOut
from tilewright.ir.instructions.control import Break, For
from tilewright.ir.instructions.elementwise import Binary
from tilewright.ir.instructions.memory import Load, Store
from tilewright.ir.kernel import Builder, Kernel, clone_body, rebuild, walk
from tilewright.ir.values import Value
from tilewright.passes.runner import Context, Pass
from tilewright.passes.simplify import prove_bounds


def split_loops(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with every loop split that gets rid of masks by it."""
    loops = (item for item in kernel.walk() if isinstance(item, For))
    candidates = {loop.body.args[0]: loop for loop in loops if _may_split(loop)}
    if not candidates:
        return kernel
    tried = prove_bounds(_split(kernel, set(candidates)))
    worth = {
        index
        for index, loop in candidates.items()
        if _masks(loop) > _masks(_find_loop(tried, index))
    }
    if not worth:
        return kernel
    return tried if len(worth) == len(candidates) else prove_bounds(_split(kernel, worth))


def _may_split(loop: For) -> bool:
    """[pipelined], and loops that are left early stay whole."""
    if loop.stages > 1 or loop.exactly:
        return False
    leaves = any(isinstance(inner, Break) for inner in walk(loop.body))
    return not leaves and _masks(loop) > 0


def _masks(loop: For) -> int:
    """How many axes of accesses in the loop are checked."""
    accesses = (i for i in walk(loop.body) if isinstance(i, (Load, Store, Copy, CopyOut)))
    return sum(sum(item.bounds or ()) for item in accesses)


def _find_loop(kernel: Kernel, index: Value) -> For:
    return next(i for i in kernel.walk() if isinstance(i, For) and i.body.args[0] is index)


def _split(kernel: Kernel, indices: set[Value]) -> Kernel:
    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, For) or item.body.args[0] not in indices:
            return None
        distance = builder.value(Binary(op="sub", left=item.high, right=item.low))
        steps = builder.value(Binary(op="floordiv", left=distance, right=item.step))
        covered = builder.value(Binary(op="mul", left=steps, right=item.step))
        whole = builder.value(Binary(op="add", left=item.low, right=covered), "whole")
        names = tuple(r.name for r in item.results)
        first = builder.add(dataclasses.replace(item, high=whole, results=()), *names)
        rest = clone_body(item.body, {})
        last = dataclasses.replace(item, low=whole, init=first, body=rest, results=())
        return builder.add(last, *names)

    return rebuild(kernel, visit)


PASS = Pass("split_loops", split_loops)
