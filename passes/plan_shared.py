"""Plan shared memory: every buffer and barrier gets its place; buffers that are dead share it.

before:  %x_ring: buffer<...> = buffer shape=[3, 128, 64], dtype=f16, layout=#1
         %r_exchange: buffer<...> = buffer shape=[128, 128], dtype=f16, layout=#2
after:   %x_ring: buffer<...> = buffer shape=[3, 128, 64], dtype=f16, layout=#1, offset=0
         %r_exchange: buffer<...> = buffer shape=[128, 128], dtype=f16, layout=#2, offset=0
         (and the kernel: shared_bytes=98304)

Needs: buffers with layouts. Gives: offsets in bytes; `insert_sync` orders the accesses of buffers
that share bytes. Cost: quadratic in the number of buffers. Named rules: [live] a buffer lives from
its allocation to its last access, the waits for copies into it included; where that lies in a loop
that does not contain the allocation, to the end of the loop; [fit] the largest buffers first, each
at the lowest aligned offset where it meets no live one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from tilewright.ir.diagnostics import ResourceError
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import Alloc
from tilewright.ir.instructions.sync import Barrier
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.values import Value
from tilewright.passes.liveness import Span, find_spans
from tilewright.passes.rings import buffer_alignment, buffer_bytes
from tilewright.passes.runner import Context, Pass

BARRIER_BYTES = 8


@dataclass(frozen=True)
class Room:
    """One allocation: its bytes, alignment and life; `offset` once it has one."""

    value: Value
    size: int
    alignment: int
    span: Span
    offset: int = 0

    @property
    def end(self) -> int:
        return self.offset + self.size


def plan_shared(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with offsets on all its buffers and barriers, and its shared memory in bytes."""
    rooms = plan_rooms(kernel)
    total = max((room.end for room in rooms), default=0)
    limit = context.device.shared_bytes_per_block
    if total > limit:
        raise ResourceError(
            _explain(rooms, total, limit, context.device.name), "use smaller tiles or fewer stages"
        )
    offsets = {room.value: room.offset for room in rooms}

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if isinstance(item, (Alloc, Barrier)):
            builder.append(dataclasses.replace(item, offset=offsets[item.results[0]]))
            return item.results
        return None

    return rebuild(kernel, visit, shared_bytes=total)


def measure_shared(kernel: Kernel) -> int:
    """Bytes of shared memory that `kernel` would get."""
    return max((room.end for room in plan_rooms(kernel)), default=0)


def plan_rooms(kernel: Kernel) -> list[Room]:
    """[fit] all allocations with their offsets, the largest first."""
    placed: list[Room] = []
    for room in sorted(_find_rooms(kernel), key=lambda room: -room.size):
        alive = [other for other in placed if room.span.meets(other.span)]
        placed.append(dataclasses.replace(room, offset=_find_offset(room, alive)))
    return placed


def _find_rooms(kernel: Kernel) -> list[Room]:
    spans = find_spans(kernel)
    rooms = []
    for item in kernel.walk():
        if isinstance(item, Alloc):
            assert item.layout is not None
            size, alignment = buffer_bytes(item.layout), buffer_alignment(item.layout)
            rooms.append(Room(item.results[0], size, alignment, spans[item.results[0]]))
        elif isinstance(item, Barrier):
            size = item.size * BARRIER_BYTES
            rooms.append(Room(item.results[0], size, 16, Span(0, spans[item.results[0]].last)))
    return rooms


def _find_offset(room: Room, alive: Sequence[Room]) -> int:
    """The lowest aligned offset at which `room` meets none of `alive`."""
    starts = sorted({0, *(-(-other.end // room.alignment) * room.alignment for other in alive)})
    for start in starts:
        if all(start + room.size <= other.offset or start >= other.end for other in alive):
            return start
    raise AssertionError("behind all others there is room")


def _explain(rooms: Sequence[Room], total: int, limit: int, device: str) -> str:
    parts = [f"the kernel needs {total} bytes of shared memory; {device} has {limit} per block"]
    parts += [f"  {room.value.name or 'a buffer'}: {room.size} bytes" for room in rooms]
    return "\n".join(parts)


PASS = Pass("plan_shared", plan_shared)
