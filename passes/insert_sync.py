"""Insert synchronization: barriers of the block, and how many groups of copies each wait leaves.

before:  %g: token = commit [%t]
         wait [%g], []
         %x: tile<...> = buffer.load %x_buffer
after:   %g: token = commit [%t]
         wait [%g], [], groups=0
         sync
         %x: tile<...> = buffer.load %x_buffer

Needs: offsets of all buffers. Gives: accesses to shared memory, and to tensors that the kernel
writes, are ordered. Cost: linear per round; a loop takes two or three rounds to settle.

Everything follows from effects and bytes (`passes.hazards`): an access by some lanes *meets* an
earlier one by others when their bytes overlap, one of them writes, and no barrier lies between. A
copy meets at its issue what it will overwrite, and becomes a write of the lanes that wait for it at
the wait; so the barrier goes behind the wait, in front of the first read. Named rules: [late] a
barrier stands right before the first access that needs it, so that one serves many; [branch] but
in front of a branch, never inside it, where an access in the branch needs it at its entry; [loop]
what is left at the end of an iteration meets the beginning of the next one; [groups] a wait leaves
as many groups in flight as were committed since its own, at least, on every path. Roles order
themselves by their own barriers: nothing is inserted inside of them.
"""

from __future__ import annotations

import dataclasses

from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import For, ForTiles, While
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.instructions.sync import Sync, Wait
from tilewright.ir.kernel import Kernel
from tilewright.passes.groups import count_groups
from tilewright.passes.hazards import Hazards, State, find_memory
from tilewright.passes.runner import Context, Pass


def insert_sync(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with the barriers that its accesses need, and with `groups` on every wait."""
    memory = find_memory(kernel)
    groups = count_groups(kernel)
    before = _Barriers(memory).find(kernel)

    def build(body: Body) -> Body:
        made: list[Instruction] = []
        for item in body.instructions:
            if item in before:
                made.append(Sync(location=item.location))
            if isinstance(item, Wait) and item in groups:
                made.append(dataclasses.replace(item, groups=groups[item]))
            elif item.nested:
                made.append(_with_bodies(item, [build(b) for b in item.nested]))
            else:
                made.append(item)
        return Body(body.args, tuple(made))

    return dataclasses.replace(kernel, body=build(kernel.body))


class _Barriers:
    """Finds the instructions that need a barrier right before them."""

    def __init__(self, memory: Hazards) -> None:
        self.memory = memory
        self.before: set[Instruction] = set()

    def find(self, kernel: Kernel) -> frozenset[Instruction]:
        """To a fixed point: a barrier that one round adds may make another's accesses meet."""
        while True:
            count = len(self.before)
            self._body(kernel.body, State())
            if len(self.before) == count:
                return frozenset(self.before)

    def _body(self, body: Body, state: State) -> State:
        for item in body.instructions:
            state = self._item(item, state)
        return state

    def _item(self, item: Instruction, state: State) -> State:
        if item in self.before:
            state = State()
        elif not item.terminates and self.memory.meets(item, state):
            self.before.add(item)
            state = State()
        match item:
            case Sync(scope="block"):
                return State()
            case Roles():
                return state.join(self.memory.after_all(item))
            case For() | While() | ForTiles(persistent=True):
                return self._loop(item, state)
        if item.nested:
            return State().join(*(self._body(body, state) for body in item.nested))
        return self.memory.after(item, state)

    def _loop(self, item: Instruction, state: State) -> State:
        """[loop] iterate until what flows back to the beginning is known."""
        entry = state
        while True:
            end = entry
            for body in item.nested:
                end = self._body(body, end)
            merged = entry.join(end)
            if merged == entry:
                return merged
            entry = merged


def _with_bodies(item: Instruction, bodies: list[Body]) -> Instruction:
    made = iter(bodies)
    changes: dict[str, object] = {}
    for spec in item.specs:
        if spec.kind == "body":
            changes[spec.name] = next(made)
        elif spec.kind == "bodies":
            changes[spec.name] = tuple(next(made) for _ in getattr(item, spec.name))
    return dataclasses.replace(item, **changes)  # type: ignore[arg-type]


PASS = Pass("insert_sync", insert_sync)
