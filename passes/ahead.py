"""Which copies of a loop may be started before their iteration begins, and what that takes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import Alloc, Copy
from tilewright.ir.instructions.control import For
from tilewright.ir.instructions.memory import Rows, Subview
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.sync import Commit, Wait
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import ScalarType, TensorType, Value


@dataclass(frozen=True)
class Ahead:
    """The copies, the buffers they fill, the instructions that make their addresses, in order.

    `removed` are the instructions of the old body that a pipelined loop replaces, `trimmed` the
    commits that lose some of their tokens; `first` is the wait in whose place it waits and issues.
    """

    copies: tuple[Copy, ...]
    buffers: tuple[Alloc, ...]
    addresses: tuple[Instruction, ...]
    removed: frozenset[Instruction]
    trimmed: dict[Instruction, Commit]
    first: Instruction


def find_ahead(kernel: Kernel, loop: For, defined: dict[Value, Instruction]) -> Ahead | None:
    """The copies of `loop` that may run ahead; None where there are none (or it counts down)."""
    step = defined.get(loop.step)
    if not isinstance(step, Const) or step.value <= 0:
        return None
    inside = {value: item for item in loop.body.instructions for value in item.results}
    written = find_written(kernel)
    copies, addresses = [], []
    for item in loop.body.instructions:
        if isinstance(item, Copy) and item.tensor not in written and item.when is None:
            made = _find_addresses(item, loop, inside, written)
            if made is not None and isinstance(inside.get(item.buffer), Alloc):
                copies.append(item)
                addresses.extend(made)
    if not copies:
        return None
    buffers = [inside[copy.buffer] for copy in copies]
    waits, trimmed, first = _find_waits(loop, copies)
    needed = set(addresses)
    ordered = tuple(item for item in loop.body.instructions if item in needed)
    removed = frozenset((*copies, *buffers, *waits))
    allocs = tuple(item for item in buffers if isinstance(item, Alloc))
    return Ahead(tuple(copies), allocs, ordered, removed, trimmed, first)


def find_written(kernel: Kernel) -> frozenset[Value]:
    """Tensors that the kernel writes or updates, and all views of them."""
    root: dict[Value, Value] = {}
    for item in kernel.walk():
        if isinstance(item, (Rows, Subview)):
            root[item.results[0]] = root.get(item.tensor, item.tensor)
    written = set()
    for item in kernel.walk():
        for effect in item.effects():
            changes = effect.action not in ("read", "arrive", "wait")
            if changes and effect.on is not None and isinstance(effect.on.type, TensorType):
                written.add(root.get(effect.on, effect.on))
    return frozenset({*written, *(view for view, of in root.items() if of in written)})


def _find_waits(
    loop: For, copies: list[Copy]
) -> tuple[list[Instruction], dict[Instruction, Commit], Instruction]:
    """Commits and waits about `copies` alone; commits about others, too; the first of the waits."""
    gone = {value for copy in copies for value in copy.results}
    mixed: set[Value] = set()
    removed: list[Instruction] = []
    trimmed: dict[Instruction, Commit] = {}
    waits: list[Instruction] = []
    for item in loop.body.instructions:
        about = isinstance(item, (Commit, Wait)) and (gone | mixed) & set(item.tokens)
        if not isinstance(item, (Commit, Wait)) or not about:
            continue
        whole = gone.issuperset(item.tokens)
        if whole:
            removed.append(item)
        if isinstance(item, Wait):
            waits.append(item)
        elif whole:
            gone.add(item.results[0])
        else:
            rest = tuple(token for token in item.tokens if token not in gone)
            trimmed[item] = dataclasses.replace(item, tokens=rest)
            mixed.add(item.results[0])
    return removed, trimmed, waits[0]


def _find_addresses(
    copy: Copy, loop: For, inside: dict[Value, Instruction], written: frozenset[Value]
) -> list[Instruction] | None:
    """What `copy`'s tensor and offsets need of the body; None: it cannot run ahead."""
    found: list[Instruction] = []
    stack = [copy.tensor, *copy.offsets]
    seen: set[Value] = set()
    carried = set(loop.body.args[1:])
    while stack:
        value = stack.pop()
        if value in carried:
            return None
        item = inside.get(value)
        if item is None or value in seen:
            continue
        seen.add(value)
        if not _is_address(item, written):
            return None
        found.append(item)
        stack.extend(item.operand_values)
    return found


def _is_address(item: Instruction, written: frozenset[Value]) -> bool:
    """Whether `item` makes a scalar or a view, and may be repeated for another iteration."""
    kinds = all(isinstance(r.type, (ScalarType, TensorType)) for r in item.results)
    reads = all(e.action == "read" and e.on not in written for e in item.effects())
    return kinds and reads and not item.nested
