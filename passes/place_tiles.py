"""Place tiles: operands of products pass through shared memory, and so does what changes lanes.

before:  %x: tile<[128, 64], f16, #fragment> = load %a, [%i, %k], shape=[128, 64]
         %r: tile<[128, 128], f32, #acc> = mma %x, %y, %acc, atom=..., warp_grid=[2, 2]
after:   %x_buffer: buffer<[128, 64], f16, #swizzled> = buffer shape=[128, 64], ...
         %t: token = copy %a, [%i, %k], %x_buffer, width=16
         %g: token = commit [%t]
         wait [%g], []
         %p: buffer<[128, 16], f16, ...> = buffer.part %x_buffer, start=[0, 0], shape=[128, 16]
         %x.0: tile<[128, 16], f16, ...> = buffer.load %p
         %r.0: tile<[128, 128], f32, #acc> = mma %x.0, %y.0, %acc, ...      (one per step of k)

Needs: phase `laid_out`, atoms chosen. Gives: the same phase, buffers with `addr` layouts; no
`convert` is left that would have to leave its warp's lanes. Cost: one search for a swizzle per new
pair of layouts (cached). Named rules: [stage] a load that ends in a product through transposes and
elementwise instructions becomes a copy into a buffer in the tensor's own order; copies of one
group complete together; [absorb] a `convert` right behind such a load is what the buffer is read
as; [step] a product reads its buffers one step of k at a time (`passes.slice_products`);
[wide] a narrow store of a large tile goes through shared memory (`passes.wide_stores`);
[exchange] a `convert` through shared memory becomes a store and a load (`passes.exchange`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field

from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.buffer import Alloc, BufferLoad, Copy
from tilewright.ir.instructions.memory import Load
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.shape import Convert
from tilewright.ir.instructions.sync import Commit, Wait
from tilewright.ir.kernel import Builder, Environment, Kernel, definitions, substitute
from tilewright.ir.targets.record import Target
from tilewright.ir.values import (
    ScalarType,
    TensorType,
    Value,
    tensor_type,
    tile_type,
)
from tilewright.passes.exchange import expand_converts
from tilewright.passes.facts import Facts, find_facts
from tilewright.passes.runner import Context, Pass
from tilewright.passes.slice_products import slice_products
from tilewright.passes.staging import choose_memory, choose_width, find_blocks
from tilewright.passes.users import Users, ends_in_product, find_users
from tilewright.passes.wide_stores import widen_stores


def place_tiles(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with its operands staged, its products cut into steps, its converts expanded."""
    users = find_users(kernel)
    stage = _Stage(context.target, find_facts(kernel), _find_staged(kernel, users), users)
    body = stage.body(kernel.body, {})
    staged = dataclasses.replace(kernel, body=body)
    return expand_converts(widen_stores(slice_products(staged, context.target)))


def _find_staged(kernel: Kernel, users: Users) -> dict[Value, Value]:
    """[stage] results of loads that become buffers → the value as which the buffer is read."""
    defined = definitions(kernel)
    found: dict[Value, Value] = {}
    for item in kernel.walk():
        if (
            isinstance(item, Load)
            and _can_stage(item, defined)
            and ends_in_product(item.results[0], users)
        ):
            result = item.results[0]
            match users[result]:
                case [Convert() as only]:
                    found[result] = only.results[0]
                case _:
                    found[result] = result
    return found


def _can_stage(item: Load, defined: dict[Value, Instruction]) -> bool:
    """Whether a copy means the same: scalar offsets, zero outside, whole bytes."""
    fill = None if item.other is None else defined.get(item.other)
    zero = item.other is None or (isinstance(fill, Const) and fill.value == 0)
    scalars = all(isinstance(offset.type, ScalarType) for offset in item.offsets)
    kind = item.tensor.type
    if not isinstance(kind, TensorType) or kind.dtype.kind == "bool":
        return False
    return zero and scalars and kind.dtype.bits in (8, 16, 32, 64)


@dataclass
class _Stage:
    """Rebuilds bodies; copies wait together, right before the first use of any of them."""

    target: Target
    facts: Facts
    staged: dict[Value, Value]
    users: Users
    pending: list[tuple[Value, Value, Value]] = field(default_factory=list)
    """(token, buffer, what to read it as) of copies that nothing has waited for."""

    def body(self, body: Body, environment: Environment) -> Body:
        outer, self.pending = self.pending, []
        builder = Builder()
        for old in body.instructions:
            builder.location = old.location
            item = substitute(old, environment)
            if self._must_flush(item):
                self._flush(builder)
            if item.nested:
                item = _with_bodies(item, [self.body(b, environment) for b in item.nested])
            if item.results and item.results[0] in self.staged:
                assert isinstance(item, Load)
                self._start(item, builder)
            elif not self._is_absorbed(item):
                builder.append(item)
        self.pending = outer
        return builder.body(body.args)

    def _must_flush(self, item: Instruction) -> bool:
        if isinstance(item, Load) and item.results[0] in self.staged:
            return False
        stops = bool(item.nested or item.terminates or item.effects())
        return stops or self._reads_pending(item)

    def _reads_pending(self, item: Instruction) -> bool:
        waiting = {result for _, _, result in self.pending}
        return any(value in waiting for value in item.operand_values)

    def _is_absorbed(self, item: Instruction) -> bool:
        return isinstance(item, Convert) and self.staged.get(item.operand) is item.results[0]

    def _start(self, item: Load, builder: Builder) -> None:
        """The buffer and the copy into it."""
        result = self.staged[item.results[0]]
        kind = tile_type(result)
        assert kind.layout is not None
        axis = tensor_type(item.tensor).fast_axis
        matrices = self.target.has("ldmatrix")
        registers = kind.layout.with_bits(kind.dtype.bits)
        memory = choose_memory(
            registers, axis, matrices, find_blocks(result, self.users, self.target)
        )
        width = choose_width(item, memory.shape[axis], self.facts)
        path = "cp_async" if width >= 4 and self.target.has("cp_async") else "plain"
        name = result.name or "x"
        buffer = builder.value(
            Alloc(shape=kind.shape, dtype=kind.dtype, layout=memory), f"{name}_buffer"
        )
        token = builder.value(
            Copy(
                tensor=item.tensor,
                offsets=item.offsets,
                buffer=buffer,
                path=path,
                bounds=item.bounds,
                width=width,
            )
        )
        self.pending.append((token, buffer, result))

    def _flush(self, builder: Builder) -> None:
        """Wait for the pending copies and read their buffers."""
        if not self.pending:
            return
        group = builder.value(Commit(tokens=tuple(token for token, _, _ in self.pending)))
        builder.add(Wait(tokens=(group,), pending=()))
        for _, buffer, result in self.pending:
            builder.append(dataclasses.replace(BufferLoad(buffer=buffer), results=(result,)))
        self.pending.clear()


def _with_bodies(item: Instruction, bodies: Iterable[Body]) -> Instruction:
    made = iter(bodies)
    changes: dict[str, object] = {}
    for spec in item.specs:
        if spec.kind == "body":
            changes[spec.name] = next(made)
        elif spec.kind == "bodies":
            changes[spec.name] = tuple(next(made) for _ in getattr(item, spec.name))
    return dataclasses.replace(item, **changes)  # type: ignore[arg-type]


PASS = Pass("place_tiles", place_tiles)
