"""What a launch refuses or warns of, apart from overlap: targets, devices, statics, spills."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

from tilewright.runtime.arguments import field_kinds
from tilewright.runtime.bindings import torch
from tilewright.runtime.compile import Compiled, check_way
from tilewright.runtime.errors import LaunchError, ResourceError
from tilewright.runtime.tensors import storage_of


def choose_way(tensors: Mapping[str, Any], target: str | None) -> str:
    """The target given, or that of the tensors' device."""
    if target is not None:
        check_way(target)
        return target
    for tensor in tensors.values():
        if tensor.device.type == "cuda":
            major, minor = torch().cuda.get_device_capability(tensor.device)
            if major < 8:
                raise LaunchError(f"a GPU of compute capability {major}.{minor} is too old: 8.0")
            return "sm_90a" if (major, minor) == (9, 0) else "sm_80"
    return "cpu"


def check_statics(name: str, values: Mapping[str, Any]) -> None:
    """Raise LaunchError for an argument that cannot be compiled in."""
    for label, value in values.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            check_statics(
                name, {f"{label}.{f}": getattr(value, f) for f in field_kinds(type(value))}
            )
            continue
        try:
            hash(value)
        except TypeError:
            raise LaunchError(
                f"argument {label} of {name} is a {type(value).__name__}, which cannot be a static",
                "pass a number, dtype, tuple or @tw.inline function",
            ) from None


def check_devices(name: str, tensors: Mapping[str, Any], way: str) -> None:
    """Raise LaunchError for a tensor that is not where `way` runs, or has no strides."""
    wanted = "cuda" if way.startswith("sm_") else "cpu"
    for label, tensor in tensors.items():
        if storage_of(tensor).layout != torch().strided:
            raise LaunchError(
                f"argument {label} of {name} is {storage_of(tensor).layout}", "pass .to_dense()"
            )
        kind = storage_of(tensor).device.type
        if kind != wanted:
            raise LaunchError(
                f"argument {label} of {name} is on device {kind}, target {way} wants {wanted}",
                f"move it: {label}.to('{wanted}')",
            )
    if wanted == "cuda" and len({storage_of(t).device for t in tensors.values()}) > 1:
        raise LaunchError(f"the tensors of {name} are on different GPUs")


def report_spills(name: str, compiled: Compiled, spills: str) -> None:
    """Warn of registers that the assembler spilled, or raise if `spills` is "raise"."""
    found = compiled.resources
    if found is None or not found.spills:
        return
    message = (
        f"{name} on {compiled.target} spills registers: {found.spill_stores} bytes stored and "
        f"{found.spill_loads} loaded per lane"
    )
    if spills == "raise":
        raise ResourceError(message, "use smaller tiles, or more warps")
    warnings.warn(f"{message}; use smaller tiles, or more warps", stacklevel=6)
