"""Registers of wgmma in flight: whoever else uses them before the wait is told.

The manual calls it undefined to use the accumulators of a product, or to change its A fragments,
before a `wgmma.wait_group` covers it. Compilers in the field do it, and the assembler then injects
a wait, which is correct and slow. So here such work is done first, and it is a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tilewright.runtime.vm.checks.registers import read, written
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction, Register, Vector

if TYPE_CHECKING:
    from tilewright.runtime.vm.checks.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Held:
    """The registers of a product: its accumulators and, where A is not in memory, its fragments."""

    results: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()


def registers_of(ins: Instruction) -> Held:
    """What `wgmma.mma_async` holds until it is waited for."""
    parts = [
        frozenset(r.name for r in o.items if isinstance(r, Register))
        if isinstance(o, Vector)
        else frozenset[str]()
        for o in ins.operands[:2]
    ]
    return Held(*parts)


def uses_of(ins: Instruction) -> Held:
    """What an instruction uses of products: `results` it must not touch, `sources` it changes."""
    if ins.opcode == "wgmma":
        held = registers_of(ins) if "mma_async" in ins.mods else Held()
        return Held(held.sources)  # products in flight may share accumulators, in order
    return Held(frozenset((*read(ins), *written(ins))), frozenset(written(ins)))


def bind_use(ins: Instruction, frame: Frame, ledger: Ledger) -> Callable[[Array | None], Any]:
    """What to do before an instruction that uses registers of products."""
    queues, program = frame.gang.matrix_queues, frame.gang.program
    uses, pc = uses_of(ins), program.pc_of(ins)

    def before(mask: Array | None) -> None:
        if not queues.in_flight:
            return
        early = queues.finish_users(uses, frame, mask)
        if early:
            names = ", ".join(sorted(name.split("#")[0] for name in early)[:3])
            message = f"uses {names} of a wgmma that no wgmma.wait_group has covered yet"
            ledger.notice("product in flight", message, program, pc)

    return before


def bind_change(
    ins: Instruction, frame: Frame, products: frozenset[str]
) -> Callable[[Frame, Array | None], None] | None:
    """What to do after an instruction that writes registers of products: they need a new
    `wgmma.fence`. Copies of one register to another do not count; assemblers see through them.
    """
    is_copy = ins.opcode == "mov" and isinstance(ins.operands[1], Register)
    if ins.opcode == "wgmma" or is_copy or products.isdisjoint(written(ins)):
        return None
    return frame.gang.matrix_queues.change
