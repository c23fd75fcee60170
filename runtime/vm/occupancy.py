"""How many blocks one multiprocessor holds at a time, and what limits them.

The rules are those of `cuda_occupancy.h`. Warps get registers in granules within one of four
partitions, so that a partition holds whole warps; a block is refused if its warps, rounded up to
the partitions, exceed the register file. A block's shared memory is what it asks for plus what the
system reserves, in granules. Where the registers are unknown, the other limits are an upper bound.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tilewright.runtime.vm.devices import DeviceRecord, Residency

MOST_REGISTERS = 255  # of one lane


@dataclass(frozen=True)
class Occupancy:
    """Resident blocks per multiprocessor by each limit; `blocks` is the least of them.

    `warps` and `share` are what that makes resident, of what the device could hold. `registers`
    per lane are None where no assembler said them: then `blocks` is an upper bound.
    """

    device: str
    limits: dict[str, int]
    warps_per_block: int
    most_warps: int
    registers: int | None
    shared: int
    spills: int | None
    source: str

    @property
    def blocks(self) -> int:
        """Resident blocks."""
        return min(self.limits.values())

    @property
    def limited_by(self) -> tuple[str, ...]:
        """The resources that allow no more."""
        return tuple(name for name, blocks in self.limits.items() if blocks == self.blocks)

    @property
    def warps(self) -> int:
        """Resident warps."""
        return self.blocks * self.warps_per_block

    @property
    def share(self) -> float:
        """Resident warps over what the device could hold: the occupancy."""
        return self.warps / self.most_warps

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return asdict(self) | {
            "blocks": self.blocks,
            "warps": self.warps,
            "share": self.share,
            "limited_by": list(self.limited_by),
        }

    def __str__(self) -> str:
        known = self.registers is not None
        registers = f"{self.registers} registers ({self.source})" if known else self.source
        spilled = f", {self.spills:,} bytes spilled" if self.spills else ""
        return (
            f"occupancy {'' if known else 'at most '}{self.share:.0%}: {self.blocks} blocks of "
            f"{self.warps_per_block} warps per multiprocessor, limited by "
            f"{' and '.join(self.limited_by)}; {registers}{spilled}, {self.shared:,} bytes shared"
        )


def find_occupancy(
    device: DeviceRecord,
    *,
    threads: int,
    shared: int,
    registers: int | None = None,
    barriers: int = 0,
    spills: int | None = None,
    source: str = "registers unknown",
) -> Occupancy:
    """The occupancy of blocks of `threads` lanes with `shared` bytes on `device`.

    `registers` are per lane; None leaves them out.
    """
    hold = device.residency
    if hold is None:
        raise ValueError(f"the record of {device.name} does not say what blocks share")
    warps = -(-threads // 32)
    limits = {"warps": hold.warps // warps, "block slots": hold.blocks}
    fits = shared <= device.shared_bytes_per_block
    needed = _round_up(shared + hold.reserved_shared, hold.shared_granule)
    limits["shared memory"] = hold.shared_bytes // needed if fits else 0
    if registers is not None:
        limits["registers"] = _count_by_registers(hold, warps, registers)
    if hold.barriers and barriers:
        limits["barriers"] = hold.barriers // barriers
    return Occupancy(device.name, limits, warps, hold.warps, registers, shared, spills, source)


def _count_by_registers(hold: Residency, warps: int, registers: int) -> int:
    of_warp = _round_up(max(registers, 1) * 32, hold.register_granule)
    if registers > MOST_REGISTERS or of_warp * _round_up(warps, hold.partitions) > hold.registers:
        return 0
    return hold.registers // hold.partitions // of_warp * hold.partitions // warps


def _round_up(value: int, granule: int) -> int:
    return -(-value // granule) * granule
