"""Targets, devices and their atoms, by name."""

from __future__ import annotations

from tilewright.ir.diagnostics import TilewrightError
from tilewright.ir.targets.cuda import SM_80, SM_90A
from tilewright.ir.targets.devices import DEVICES
from tilewright.ir.targets.record import Atom, Device, Target

CUDA_TARGETS: dict[str, Target] = {target.name: target for target in (SM_80, SM_90A)}
"""The code targets of the CUDA family, by the names that NVRTC knows."""


def find_device(name: str) -> Device:
    """The record of the machine called `name` ("A100", "H200", …)."""
    if name not in DEVICES:
        raise TilewrightError(f"unknown device {name!r}", f"one of {', '.join(DEVICES)}")
    return DEVICES[name]


def default_device(target: Target) -> Device:
    """The device that code for `target` is planned for when no machine is named."""
    return next(device for device in DEVICES.values() if device.target == target.name)


__all__ = ["CUDA_TARGETS", "Atom", "Device", "Target", "default_device", "find_device"]
