"""Roles: parallel bodies for groups of warps of one block."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from tilewright.ir.diagnostics import ShapeError
from tilewright.ir.instruction import ANY, Body, Instruction, attribute, bodies, instruction

if TYPE_CHECKING:
    from tilewright.ir.interpreter import Machine


@instruction("roles", phases=ANY, blocks=True)
class Roles(Instruction):
    """Runs all `members` in parallel, member i by warps[i] warps of registers[i] registers (0: default).

    Inside a member only uniform scalars, tensors, buffers and barriers from outside are visible;
    tiles cross roles only through buffers.
    """

    names: tuple[str, ...] = attribute()
    warps: tuple[int, ...] = attribute()
    registers: tuple[int, ...] = attribute()
    members: tuple[Body, ...] = bodies()

    def check(self) -> None:
        if not len(self.names) == len(self.warps) == len(self.registers) == len(self.members):
            raise ShapeError("every role has a name, a number of warps and of registers, a body")

    def meaning(
        self, machine: Machine, members: tuple[Body, ...]
    ) -> Generator[str, None, tuple[()]]:
        yield from machine.run_roles(members, self.names, self.warps)
        return ()
