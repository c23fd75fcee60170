"""Which accesses meet: bytes of shared memory and whole tensors, who touches them, and when.

A *place* is a range of bytes of shared memory, or a tensor (with all its views). The state at a
point holds the places that lanes of the block have read and written since the last barrier of the
block. A copy that is in flight is not in the state: nothing may touch its destination before its
wait, by the meaning of tokens; at the wait it becomes a write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tilewright.ir.instruction import Effect, Instruction
from tilewright.ir.instructions.buffer import Alloc
from tilewright.ir.instructions.control import For, While
from tilewright.ir.instructions.memory import Rows, Subview
from tilewright.ir.instructions.sync import Wait
from tilewright.ir.kernel import Kernel, walk
from tilewright.ir.values import BufferType, TokenType, Value
from tilewright.passes.ahead import find_written
from tilewright.passes.rings import buffer_bytes

WRITES = ("write", "atomic")
COMMUTE = ("atomic.add", "atomic.max", "atomic.min", "atomic.or", "atomic.and")


class Place(NamedTuple):
    """Bytes [start, end) of shared memory, or all of a tensor."""

    space: Value | None
    start: int
    end: int

    def overlaps(self, other: Place) -> bool:
        """Whether some byte is in both."""
        return self.space is other.space and self.start < other.end and other.start < self.end


class Update(NamedTuple):
    """An atomic update whose old values nobody reads: equal ones may come in any order."""

    place: Place
    op: str


@dataclass(frozen=True)
class State:
    """Places read, written and updated by lanes of the block since its last barrier."""

    reads: frozenset[Place] = frozenset()
    writes: frozenset[Place] = frozenset()
    updates: frozenset[Update] = frozenset()

    def join(self, *others: State) -> State:
        """What holds if any of the states may hold."""
        every = (self, *others)
        return State(
            frozenset().union(*(s.reads for s in every)),
            frozenset().union(*(s.writes for s in every)),
            frozenset().union(*(s.updates for s in every)),
        )

    def meets(self, earlier: State) -> bool:
        """Whether an access here and an earlier one have to be ordered."""
        ours, theirs = self._changes(), earlier._changes()
        return (
            _overlap(self.reads, theirs)
            or _overlap(self.writes, earlier.reads | theirs)
            or _overlap(ours, earlier.reads | earlier.writes)
            or any(
                one.op != two.op and one.place.overlaps(two.place)
                for one in self.updates
                for two in earlier.updates
            )
        )

    def _changes(self) -> frozenset[Place]:
        return self.writes | {update.place for update in self.updates}


def _overlap(some: frozenset[Place], others: frozenset[Place]) -> bool:
    return any(one.overlaps(two) for one in some for two in others)


@dataclass
class Hazards:
    """The places of all buffers, tensors and tokens of a kernel."""

    places: dict[Value, Place] = field(default_factory=dict)
    landing: dict[Value, frozenset[Place]] = field(default_factory=dict)
    """Token → where the copies that it stands for write."""
    read: frozenset[Value] = frozenset()
    """All values that some instruction reads."""

    def meets(self, item: Instruction, state: State) -> bool:
        """Whether `item`, or what its branches do first, meets an access in `state`."""
        if isinstance(item, (For, While)):
            return False
        entry = self.after_all(item) if item.nested else self._accesses(item)
        return entry.meets(state)

    def after(self, item: Instruction, state: State) -> State:
        """The state behind an instruction without bodies."""
        done = State()
        if isinstance(item, Wait):
            landed = (self.landing.get(token, frozenset()) for token in item.tokens)
            done = State(writes=frozenset().union(*landed))
        return state.join(self._now(item), done)

    def after_all(self, item: Instruction) -> State:
        """Everything that the bodies of `item` access."""
        parts = [self._accesses(inner) for body in item.nested for inner in walk(body)]
        return State().join(*parts)

    def _accesses(self, item: Instruction) -> State:
        return self._collect(item, [e for e in item.effects() if e.proxy == "generic"])

    def _now(self, item: Instruction) -> State:
        """What lanes have done when the instruction is over; copies are not done yet."""
        now = [e for e in item.effects() if e.proxy == "generic" and e.when == "now"]
        return self._collect(item, now)

    def _collect(self, item: Instruction, effects: list[Effect]) -> State:
        reads, writes, updates = set(), set(), set()
        free = item.mnemonic in COMMUTE and not self.read & {*item.results}
        for effect in effects:
            place = self.places.get(effect.on) if effect.on is not None else None
            if place is None:
                continue
            if effect.action == "read":
                reads.add(place)
            elif effect.action == "atomic" and free:
                updates.add(Update(place, item.mnemonic))
            elif effect.action in WRITES:
                writes.add(place)
        return State(frozenset(reads), frozenset(writes), frozenset(updates))


def find_memory(kernel: Kernel) -> Hazards:
    """Places of all buffers (by offset), of written tensors, and what tokens stand for."""
    used = frozenset(value for item in kernel.walk() for value in item.operand_values)
    found = Hazards(read=used)
    written = find_written(kernel)
    for param in kernel.params:
        if param in written:
            found.places[param] = Place(param, 0, 1)
    changed = True
    while changed:  # loop-carried tokens take a second round
        changed = False
        for item in kernel.walk():
            _name_places(item, found)
            changed |= _name_tokens(item, found)
    return found


def _name_places(item: Instruction, found: Hazards) -> None:
    if isinstance(item, Alloc):
        assert item.layout is not None and item.offset is not None
        end = item.offset + buffer_bytes(item.layout)
        found.places[item.results[0]] = Place(None, item.offset, end)
    elif isinstance(item, (Rows, Subview)) and item.tensor in found.places:
        found.places[item.results[0]] = found.places[item.tensor]
    else:
        for result in item.results:
            if isinstance(result.type, BufferType):  # a slot, a part, a transpose
                found.places[result] = found.places[item.operand_values[0]]


def _name_tokens(item: Instruction, found: Hazards) -> bool:
    """Whether some token stands for more than was known."""
    flows: list[tuple[Value, Value]] = []
    if isinstance(item, (For, While)):
        ends = item.nested[-1].terminator.operand_values
        for body in item.nested:
            args = body.args[1:] if isinstance(item, For) else body.args
            flows += _carried(args, item.init, ends)
        flows += _carried(item.results, item.init, ends)
    changed = False
    for result in item.results:
        if isinstance(result.type, TokenType) and not item.nested:
            flows += _to(result, item.operand_values)
            touched = {
                found.places[e.on]
                for e in item.effects()
                if e.action == "write" and e.on in found.places and e.when == "token"
            }
            changed |= _add(found, result, frozenset(touched))
    for target, source in flows:
        changed |= _add(found, target, found.landing.get(source, frozenset()))
    return changed


def _carried(
    targets: tuple[Value, ...], first: tuple[Value, ...], later: tuple[Value, ...]
) -> list[tuple[Value, Value]]:
    triples = zip(targets, first, later, strict=False)
    return [pair for target, *sources in triples for pair in _to(target, sources)]


def _to(target: Value, sources: Sequence[Value]) -> list[tuple[Value, Value]]:
    return [(target, s) for s in sources if isinstance(s.type, TokenType)]


def _add(found: Hazards, token: Value, places: frozenset[Place]) -> bool:
    before = found.landing.get(token, frozenset())
    found.landing[token] = before | places
    return found.landing[token] != before
