"""What a device must say of itself for occupancy and roofline, and where known devices come from.

Any object with these attributes will do, for instance a `Device` of `tilewright.ir.targets` with
some fields replaced. Their meaning and units are written there.
"""

from __future__ import annotations

from typing import Protocol


class Matrix(Protocol):
    """Operations per second of the matrix units, by operand type; 0 is unknown."""

    @property
    def f64(self) -> float: ...
    @property
    def tf32(self) -> float: ...
    @property
    def f16(self) -> float: ...
    @property
    def f16_f16(self) -> float: ...
    @property
    def f8(self) -> float: ...
    @property
    def f8_f16(self) -> float: ...
    @property
    def s8(self) -> float: ...
    @property
    def s4(self) -> float: ...
    @property
    def b1(self) -> float: ...


class Lanes(Protocol):
    """Results per clock of one multiprocessor."""

    @property
    def f32(self) -> int: ...
    @property
    def f16x2(self) -> int: ...
    @property
    def f64(self) -> int: ...
    @property
    def alu(self) -> int: ...
    @property
    def multiply(self) -> int: ...
    @property
    def special(self) -> int: ...
    @property
    def memory(self) -> int: ...
    @property
    def issue(self) -> int: ...


class Residency(Protocol):
    """What blocks on one multiprocessor share."""

    @property
    def warps(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def shared_bytes(self) -> int: ...
    @property
    def registers(self) -> int: ...
    @property
    def barriers(self) -> int: ...
    @property
    def partitions(self) -> int: ...
    @property
    def register_granule(self) -> int: ...
    @property
    def shared_granule(self) -> int: ...
    @property
    def reserved_shared(self) -> int: ...


class DeviceRecord(Protocol):
    """One device."""

    @property
    def name(self) -> str: ...
    @property
    def capability(self) -> str: ...
    @property
    def multiprocessors(self) -> int: ...
    @property
    def clock_hertz(self) -> float: ...
    @property
    def bandwidth_bytes_per_second(self) -> float: ...
    @property
    def shared_bytes_per_block(self) -> int: ...
    @property
    def shared_bytes_per_clock(self) -> int: ...
    @property
    def l2_port_bytes_per_clock(self) -> int: ...
    @property
    def l2_bytes_per_clock(self) -> int: ...
    @property
    def matrix(self) -> Matrix | None: ...
    @property
    def lanes(self) -> Lanes | None: ...
    @property
    def residency(self) -> Residency | None: ...


def resolve_device(device: str | DeviceRecord) -> DeviceRecord:
    """A record by the name that `tilewright.ir.targets` knows it by; other records as they are.

    That look-up is the only thing that the virtual machine takes from the rest of the package.
    """
    if not isinstance(device, str):
        return device
    from tilewright.ir.targets import find_device

    return find_device(device)


def check_runs(target: str, device: DeviceRecord) -> str:
    """The architecture to assemble PTX of `target` for on `device`; ValueError if it cannot run."""
    target = target.split(",")[0].strip()
    own, there = _number(target), _number(device.capability)
    exact = not target[-1].isdigit()
    if own > there or (exact and own != there):
        raise ValueError(f"code for {target} does not run on {device.name} ({device.capability})")
    return target if exact else device.capability


def _number(architecture: str) -> int:
    digits = "".join(c for c in architecture if c.isdigit())
    return int(digits) if digits else 0
