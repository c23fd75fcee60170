"""Which reads of shared memory may move down to their use: nothing writes the buffer in between.

A read moves within the iteration that it belongs to, so a write counts that stands between the two
in program order; and, where the use stands in a loop of its own behind the read, any write after
the read, which may run before the use's next iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.buffer import BufferLoad
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import BufferType, Value


@dataclass(frozen=True)
class SteadyBuffers:
    """Program order, the bodies of instructions, and where each allocation is written."""

    place: dict[Instruction, int]
    body: dict[Instruction, Body]
    root: dict[Value, Value]
    writes: dict[Value, list[int]]

    def may_move(self, load: BufferLoad, to: Instruction) -> bool:
        """Whether `load` reads the same right before `to`."""
        first, last = self.place[load], self.place[to]
        same = self.body[load] is self.body[to]
        writes = self.writes.get(self.root.get(load.buffer, load.buffer), [])
        return not any(at > first and (not same or at < last) for at in writes)


def find_steady_buffers(kernel: Kernel) -> SteadyBuffers:
    """What `SteadyBuffers` answers from."""
    found = SteadyBuffers({}, {}, {}, {})
    _visit(kernel.body, found)
    return found


def _visit(body: Body, found: SteadyBuffers) -> None:
    for item in body.instructions:
        found.place[item] = len(found.place)
        found.body[item] = body
        for effect in item.effects():
            if effect.action == "write" and effect.on is not None:
                root = found.root.get(effect.on, effect.on)
                found.writes.setdefault(root, []).append(found.place[item])
        _follow_views(item, found)
        for nested in item.nested:
            _visit(nested, found)


def _follow_views(item: Instruction, found: SteadyBuffers) -> None:
    """Parts, stages and transposes of a buffer are the buffer."""
    sources = [v for v in item.operand_values if isinstance(v.type, BufferType)]
    for result in item.results:
        if isinstance(result.type, BufferType) and sources:
            found.root[result] = found.root.get(sources[0], sources[0])
