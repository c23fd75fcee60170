"""Targets, devices and their atoms, by name."""

from __future__ import annotations

from tilewright.ir.diagnostics import TilewrightError
from tilewright.ir.targets.cpu import CPU, HOST
from tilewright.ir.targets.cuda import SM_80, SM_90A
from tilewright.ir.targets.devices import DEVICES
from tilewright.ir.targets.record import Atom, Device, Target

CUDA_TARGETS: dict[str, Target] = {target.name: target for target in (SM_80, SM_90A)}
"""The code targets of the CUDA family, by the names that NVRTC knows."""


TARGETS: dict[str, Target] = {**CUDA_TARGETS, CPU.name: CPU}
"""All code targets."""


def find_target(name: str) -> Target:
    """The code target called `name`."""
    if name not in TARGETS:
        raise TilewrightError(f"unknown target {name!r}", f"one of {', '.join(TARGETS)}")
    return TARGETS[name]


def find_device(name: str) -> Device:
    """The record of the machine called `name` ("A100", "H200", …)."""
    if name not in DEVICES:
        raise TilewrightError(f"unknown device {name!r}", f"one of {', '.join(DEVICES)}")
    return DEVICES[name]


def default_device(target: Target) -> Device:
    """The device that code for `target` is planned for when no machine is named."""
    known = (HOST, *DEVICES.values())
    return next(device for device in known if device.target == target.name)


__all__ = [
    "CUDA_TARGETS",
    "TARGETS",
    "Atom",
    "Device",
    "Target",
    "default_device",
    "find_device",
    "find_target",
]
