"""Roles: parallel bodies for groups of warps of one block."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from tilewright.ir.diagnostics import ResourceError, ShapeError
from tilewright.ir.instruction import ANY, Body, Instruction, attribute, bodies, instruction

if TYPE_CHECKING:
    from tilewright.ir.interpreter import Machine

REGISTER_FILE = 65536
"""32-bit registers of one SM (all architectures from sm_80)."""


@instruction("roles", phases=ANY, blocks=True)
class Roles(Instruction):
    """Runs all `members` in parallel: member i by warps[i] warps, registers[i] registers a lane.

    0 registers: as launched. Reallocation is by warpgroups, so neighbouring roles may share one.
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
        if any(self.registers):
            check_registers(self.warps, self.registers)

    def meaning(
        self, machine: Machine, members: tuple[Body, ...]
    ) -> Generator[str, None, tuple[()]]:
        yield from machine.run_roles(members, self.names, self.warps)
        return ()


def check_registers(warps: tuple[int, ...], registers: tuple[int, ...]) -> None:
    """The rules of `setmaxnreg`: whole warpgroups, multiples of 8, no more than at the launch.

    More registers than the launch allocated would wait for ever (PTX ISA, `setmaxnreg`).
    """
    per_warp = [r for count, r in zip(warps, registers, strict=True) for _ in range(count)]
    groups = [per_warp[i : i + 4] for i in range(0, len(per_warp), 4)]
    if any(len(group) != 4 or len(set(group)) != 1 for group in groups):
        raise ShapeError(
            f"roles of {warps} warps with {registers} registers split a warpgroup",
            "registers= are equal for the 4 warps of a warpgroup: pad a role or give both the same",
        )
    if any(r % 8 or not 24 <= r <= 256 for r in registers):
        raise ResourceError(f"registers {registers}: want multiples of 8 from 24 to 256")
    launched = REGISTER_FILE // (32 * len(per_warp)) // 8 * 8
    if sum(per_warp) > launched * len(per_warp):
        raise ResourceError(
            f"roles want {sum(per_warp) * 32} registers, the launch gives {launched} per lane, "
            f"{launched * len(per_warp) * 32} in all",
            "give the load role fewer",
        )
