"""Overlap: copies of a pipelined loop run ahead of their use, into rings of buffers.

before:  %out = for %low, %high, %step, [%acc], stages=3 (%k, %acc.1) {
           %x_buffer = buffer shape=[128, 64], ...
           %t = copy %a, [%i, %k], %x_buffer
           %g = commit [%t]
           wait [%g], []
           ... read %x_buffer ...
after:   %x_ring = buffer shape=[3, 128, 64], ...
         copies of the first two steps, each into its slot and `when` it exists: tokens %g0, %g1
         %out, ... = for %low, %high, %step, [%acc, %0, %2, %g0, %g1] (%k, %acc.1, %r, %w, ...) {
           wait [%t0], []
           %x_next = buffer.at %x_ring, [%w]
           %t = copy %a, [%i, %k + 2 * %step], %x_next, when=...
           %g = commit [%t]
           %x_buffer = buffer.at %x_ring, [%r]
           ... read %x_buffer ...
           yield [..., (%r + 1) mod 3, %r, %t1, %g]
         }
         wait [the tokens left], []

Needs: `place_tiles`. Gives: phase `scheduled`. Cost: at most `stages` trial plans of shared memory.
Named rules: [ahead] a copy moves if its offsets follow from the loop's index and from what is fixed
before the loop, and nothing in the kernel writes its tensor; [fit] the number of stages is the
largest, up to `stages`, whose buffers fit the device (`exactly` makes fewer an error); [short]
steps beyond the end copy nothing, so loops of any length are right; groups are committed even when
empty, so that the number in flight is the same on every path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from tilewright.ir.diagnostics import ResourceError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.buffer import Alloc, At
from tilewright.ir.instructions.control import Break, Continue, For, If, Yield
from tilewright.ir.instructions.elementwise import Binary, Compare, Select
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.sync import Commit, Wait
from tilewright.ir.kernel import Builder, Environment, Kernel, definitions, rebuild, substitute
from tilewright.ir.types import i32
from tilewright.ir.values import TokenType, Type, Value, element_type
from tilewright.passes.ahead import Ahead, find_ahead
from tilewright.passes.plan_shared import measure_shared
from tilewright.passes.rings import ring_layout
from tilewright.passes.runner import Context, Pass


def overlap(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with every loop that asks for stages pipelined."""
    loops = [item for item in kernel.walk() if isinstance(item, For) and item.stages > 1]
    defined = definitions(kernel)
    moved = {item: ahead for item in loops if (ahead := find_ahead(kernel, item, defined))}
    limit = context.device.shared_bytes_per_block
    named = context.config.get("stages")
    stages = {i.body: i.stages if i.exactly or named is None else named for i in moved}
    made = _pipeline(kernel, moved, stages)
    while measure_shared(made) > limit and any(count > 1 for count in stages.values()):
        for item in moved:
            if item.exactly:
                raise ResourceError(
                    f"{item.stages} stages need {measure_shared(made)} bytes of shared memory; "
                    f"{context.device.name} has {limit} per block",
                    "use smaller tiles, or stages= without exactly",
                    location=item.location,
                )
        stages = {body: max(1, count - 1) for body, count in stages.items()}
        made = _pipeline(kernel, moved, stages)
    return dataclasses.replace(made, phase="scheduled")


def _pipeline(kernel: Kernel, moved: dict[For, Ahead], stages: dict[Body, int]) -> Kernel:
    """`kernel` with the copies of each loop `stages - 1` steps ahead."""
    by_index = {item.body.args[0]: (ahead, stages[item.body]) for item, ahead in moved.items()}

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, For):
            return None
        found = by_index.get(item.body.args[0])
        if found is None or found[1] == 1:
            return builder.add(dataclasses.replace(item, results=(), stages=1))
        return _Loop(item, *found, builder).emit()

    return rebuild(kernel, visit)


@dataclass
class _Loop:
    """Emits one pipelined loop."""

    item: For
    ahead: Ahead
    stages: int
    builder: Builder

    def emit(self) -> Sequence[Value]:
        item, builder = self.item, self.builder
        rings = {alloc.results[0]: self._ring(alloc) for alloc in self.ahead.buffers}
        room = builder.value(Binary(op="sub", left=item.high, right=item.low))
        tokens = tuple(
            self._issue(builder, rings, item.low, room, turn, self._number(builder, turn))
            for turn in range(self.stages - 1)
        )
        slots = (self._number(builder, 0), self._number(builder, self.stages - 1))
        made = dataclasses.replace(
            item,
            results=(),
            init=(*item.init, *slots, *tokens),
            body=self._body(rings, len(tokens)),
            stages=1,
        )
        results = builder.add(made, *(r.name for r in item.results))
        count = len(item.results)
        builder.add(Wait(tokens=results[count + 2 :], pending=()))
        return results[:count]

    def _ring(self, alloc: Alloc) -> Value:
        assert alloc.layout is not None
        name = alloc.results[0].name.replace("_buffer", "") + "_ring"
        layout = ring_layout(alloc.layout, self.stages)
        shape = (self.stages, *alloc.shape)
        return self.builder.value(Alloc(shape=shape, dtype=alloc.dtype, layout=layout), name)

    def _number(self, builder: Builder, number: int) -> Value:
        return builder.value(Const(value=number, dtype=i32))

    def _issue(
        self,
        builder: Builder,
        rings: dict[Value, Value],
        index: Value,
        room: Value,
        turns: int,
        slot: Value,
    ) -> Value:
        """The copies of the step `turns` after `index` into `slot`, if `room` reaches that far."""
        dtype = element_type(index)
        count = builder.value(Const(value=turns, dtype=dtype))
        reach = builder.value(Binary(op="mul", left=count, right=self.item.step))
        exists = builder.value(Compare(op="gt", left=room, right=reach))
        at = builder.value(Binary(op="add", left=index, right=reach), self.item.body.args[0].name)
        environment: Environment = {self.item.body.args[0]: at}
        for made in self.ahead.addresses:
            results = builder.add(
                dataclasses.replace(substitute(made, environment), results=()),
                *(r.name for r in made.results),
            )
            environment.update(zip(made.results, results, strict=True))
        tokens = []
        for copy in self.ahead.copies:
            stage = builder.value(At(buffer=rings[copy.buffer], index=(slot,)))
            environment[copy.buffer] = stage
            moved = dataclasses.replace(copy, results=(), when=exists)
            tokens.append(builder.value(substitute(moved, environment)))
        return builder.value(Commit(tokens=tuple(tokens)))

    def _body(self, rings: dict[Value, Value], waiting: int) -> Body:
        """The old body: waits for the oldest step, starts a new one, reads from its slot."""
        old, item = self.item.body, self.item
        read, write = Value(self._slot_type(), "read"), Value(self._slot_type(), "write")
        tokens = tuple(Value(TokenType()) for _ in range(waiting))
        builder = Builder()
        environment: Environment = {}
        extra: tuple[Value, ...] = ()
        for inner in old.instructions:
            builder.location = inner.location
            if inner is self.ahead.first:
                builder.add(Wait(tokens=tokens[:1], pending=()))
                room = builder.value(Binary(op="sub", left=item.high, right=old.args[0]))
                issued = self._issue(builder, rings, old.args[0], room, waiting, write)
                extra = (self._next_slot(builder, read), read, *tokens[1:], issued)
                for buffer, ring in rings.items():
                    stage = builder.value(At(buffer=ring, index=(read,)), buffer.name)
                    environment[buffer] = stage
            if inner not in self.ahead.removed:
                kept = self.ahead.trimmed.get(inner, inner)
                builder.append(_carry(substitute_deep(kept, environment), extra))
        return builder.body((*old.args, read, write, *tokens))

    def _slot_type(self) -> Type:
        return Const(value=0, dtype=i32).result()[0]

    def _next_slot(self, builder: Builder, slot: Value) -> Value:
        one, count = self._number(builder, 1), self._number(builder, self.stages)
        after = builder.value(Binary(op="add", left=slot, right=one))
        wraps = builder.value(Compare(op="eq", left=after, right=count))
        zero = self._number(builder, 0)
        return builder.value(Select(condition=wraps, yes=zero, no=after))


def substitute_deep(item: Instruction, environment: Environment) -> Instruction:
    """`item` with operands replaced by `environment`, in nested bodies too."""
    item = substitute(item, environment)
    return _map_bodies(
        item,
        lambda body: Body(
            body.args, tuple(substitute_deep(i, environment) for i in body.instructions)
        ),
    )


def _carry(item: Instruction, extra: tuple[Value, ...]) -> Instruction:
    """`item` with `extra` behind the values of every terminator that belongs to this loop."""
    if isinstance(item, (Yield, Break, Continue)):
        return dataclasses.replace(item, values=(*item.values, *extra))
    if isinstance(item, If):
        return _map_bodies(item, lambda body: _carry_branch(body, extra))
    return item


def _carry_branch(body: Body, extra: tuple[Value, ...]) -> Body:
    *front, end = body.instructions
    inner = [_carry(i, extra) if isinstance(i, If) else i for i in front]
    last = _carry(end, extra) if isinstance(end, (Break, Continue)) else end
    return Body(body.args, (*inner, last))


def _map_bodies(item: Instruction, change: object) -> Instruction:
    assert callable(change)
    changes: dict[str, object] = {}
    for spec in item.specs:
        if spec.kind == "body":
            changes[spec.name] = change(getattr(item, spec.name))
        elif spec.kind == "bodies":
            changes[spec.name] = tuple(change(b) for b in getattr(item, spec.name))
    return dataclasses.replace(item, **changes) if changes else item  # type: ignore[arg-type]


PASS = Pass("overlap", overlap)
