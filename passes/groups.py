"""How many groups of copies may stay in flight at each wait: counted, on every path.

The hardware completes groups in the order of their commits and waits for "all but the latest n"
(PTX ISA, `cp.async.wait_group`). The *age* of a token is the number of commits since its own; on
several paths the least counts. A wait for tokens leaves min(age) groups in flight.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.buffer import Copy
from tilewright.ir.instructions.control import Break, Continue, For, If, While, Yield
from tilewright.ir.instructions.sync import Commit, TokenDone, Wait
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import TokenType, Value

Ages = dict[Value, int]
DONE = 1 << 30
"""The age of a token that needs no waiting."""


@dataclass
class _Count:
    waits: dict[Instruction, int] = field(default_factory=dict)
    exits: list[list[tuple[tuple[Value, ...], Ages]]] = field(default_factory=list)

    def body(self, body: Body, ages: Ages) -> Ages:
        for item in body.instructions:
            ages = self.item(item, ages)
        return ages

    def item(self, item: Instruction, ages: Ages) -> Ages:
        match item:
            case Commit():
                ages = {token: age + (age < DONE) for token, age in ages.items()}
                ages[item.results[0]] = 0
            case TokenDone():
                ages = ages | {item.results[0]: DONE}
            case Wait():
                known = [ages[t] for t in item.tokens if t in ages]
                if known:
                    self.waits[item] = min(*known, self.waits.get(item, DONE), DONE)
            case Break() | Continue():
                self.exits[-1].append((item.values, ages))
            case If():
                ages = self.branch(item, ages)
            case For() | While():
                ages = self.loop(item, ages)
            case _:
                for body in item.nested:
                    ages = self.body(body, ages)
        return ages

    def branch(self, item: If, ages: Ages) -> Ages:
        ends = [(body.terminator, self.body(body, dict(ages))) for body in item.nested]
        merged: Ages = {}
        for end, after in ends:
            if isinstance(end, Yield):
                named = _rename(item.results, end.values, after)
                merged = _least(merged, after | named)
        return merged or ages

    def loop(self, item: For | While, ages: Ages) -> Ages:
        """Ages at the beginning of an iteration are the least of all ways to get there."""
        bodies = item.nested
        args = bodies[0].args[1:] if isinstance(item, For) else bodies[0].args
        start = ages | _rename(args, item.init, ages)
        while True:
            self.exits.append([])
            after = self.body(bodies[0], dict(start))
            for body in bodies[1:]:
                after = self.body(body, after | _rename(body.args, args, after))
            ends = [*self.exits.pop(), (bodies[-1].terminator.operand_values, after)]
            merged = dict(start)
            for values, at_end in ends:
                merged = _least(merged, at_end | _rename(args, values, at_end))
            if merged == start:
                break
            start = merged
        return start | _rename(item.results, args, start)


def _rename(to: tuple[Value, ...], values: tuple[Value, ...], ages: Ages) -> Ages:
    pairs = zip(to, values, strict=False)
    return {t: ages[v] for t, v in pairs if isinstance(t.type, TokenType) and v in ages}


def _least(one: Ages, two: Ages) -> Ages:
    return {t: min(one.get(t, DONE), two.get(t, DONE)) for t in {*one, *two}}


def count_groups(kernel: Kernel) -> dict[Instruction, int]:
    """For every wait for groups of copies, how many later ones it may leave in flight."""
    count = _Count()
    count.body(kernel.body, {})
    asynchronous = any(isinstance(item, Copy) for item in kernel.walk())
    found = count.waits.items() if asynchronous else ()
    return {wait: groups for wait, groups in found if groups < DONE}
