"""Arguments: host arrays into the arena, values into the parameter block, results back."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.memory import Allocation, Array
from tilewright.runtime.vm.records import Variable
from tilewright.runtime.vm.shapes import check_count
from tilewright.runtime.vm.tensor_map import SIZE, TensorMap
from tilewright.runtime.vm.variables import align_up, initialize_globals

if TYPE_CHECKING:
    from tilewright.runtime.vm.launch import Launch


@dataclass(frozen=True, slots=True)
class Host:
    """Bytes of the caller: a range of host memory, and its place in the arena."""

    start: int
    size: int
    allocation: Allocation


def place_arguments(launch: Launch, args: list[Any]) -> list[Host]:
    params = launch.program.entry.params
    check_count(params, len(args))
    memories = [a.tensor if isinstance(a, TensorMap) else a for a in args]
    spans = sorted(_span(a) for a in memories if _is_array(a))
    merged: list[list[Any]] = []
    for start, size, writable in spans:
        if merged and start < merged[-1][0] + merged[-1][1] and size:
            merged[-1][1] = max(merged[-1][1], start + size - merged[-1][0])
            merged[-1][2] = merged[-1][2] and writable
        else:
            merged.append([start, size, writable])
    hosts = []
    for start, size, writable in merged:
        index = _owner(memories, start, size)
        name = params[index].name.split("#")[0]
        hosts.append(Host(start, size, launch.arena.reserve(name, size, writable=writable)))
    placed = {}
    for variable in launch.program.module.variables.values():
        if variable.space in ("global", "const"):
            placed[variable.name] = launch.arena.reserve(
                variable.name,
                variable.size,
                align=max(variable.align, 256),
                writable=variable.space == "global",
            )
            launch.addresses[variable.name] = placed[variable.name].address
    block = _place_parameters(launch)
    launch.arena.build()
    for host in hosts:
        launch.arena.bytes_of(host.allocation)[:] = _host_bytes(host)
    initialize_globals(launch, placed)
    for param, value in zip(params, args, strict=True):
        raw = _encode(launch, param, value, hosts)
        start = launch.entry_params[param.name] - block.address
        launch.arena.bytes_of(block)[start : start + len(raw)] = np.frombuffer(raw, np.uint8)
    return hosts


def _owner(memories: list[Any], start: int, size: int) -> int:
    """The first argument whose memory a host range holds."""
    return next(
        i for i, a in enumerate(memories) if _is_array(a) and start <= _pointer(a) <= start + size
    )


def _place_parameters(launch: Launch) -> Allocation:
    """The parameter block: one read-only allocation."""
    at, offsets = 0, {}
    for param in launch.program.entry.params:
        at = align_up(at, max(param.align, 1))
        offsets[param.name] = at
        at += param.size
    block = launch.arena.reserve("parameters", at, writable=False)
    launch.entry_params = {name: block.address + offset for name, offset in offsets.items()}
    return block


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (
        hasattr(value, "data_ptr") and hasattr(value, "stride")
    )


def _pointer(value: Any) -> int:
    return int(value.ctypes.data) if isinstance(value, np.ndarray) else int(value.data_ptr())


def _span(value: Any) -> tuple[int, int, bool]:
    """First byte, bytes and writability of an array or tensor."""
    if isinstance(value, np.ndarray):
        low, high = (
            np.lib.array_utils.byte_bounds(value) if value.size else (value.ctypes.data,) * 2
        )
        return int(low), int(high) - int(low), bool(value.flags.writeable)
    if value.device.type != "cpu":
        raise Fault("launch", f"a tensor on {value.device}; the virtual machine takes CPU tensors")
    extent = 0
    if value.numel():
        extent = sum((n - 1) * s for n, s in zip(value.shape, value.stride(), strict=True)) + 1
    return int(value.data_ptr()), extent * int(value.element_size()), True


def _host_bytes(host: Host) -> Array:
    if not host.size:
        return np.empty(0, np.uint8)
    raw = (ctypes.c_uint8 * host.size).from_address(host.start)
    found: Array = np.frombuffer(memoryview(raw), np.uint8)
    return found


def _encode(launch: Launch, param: Variable, value: Any, hosts: list[Host]) -> bytes:
    """One argument as the bytes of its parameter."""
    name = param.name.split("#")[0]
    if _is_array(value):
        address = _device_address(value, hosts)
        if param.size != 8:
            raise Fault(
                "launch", f"parameter {name} has {param.size} bytes; an array needs a pointer of 8"
            )
        return struct.pack("<Q", address)
    if isinstance(value, TensorMap):
        if param.size != SIZE:
            raise Fault(
                "launch", f"parameter {name} has {param.size} bytes; a tensor map has {SIZE}"
            )
        return value.encode_descriptor(_device_address(value.tensor, hosts))
    if isinstance(value, (bytes, bytearray)):
        if len(value) != param.size:
            raise Fault("launch", f"parameter {name} has {param.size} bytes, got {len(value)}")
        return bytes(value)
    if isinstance(value, (bool, int, np.integer, np.bool_, float, np.floating)):
        return _encode_number(param, value)
    raise Fault(
        "launch",
        f"parameter {name}: cannot pass a {type(value).__name__}; pass an array or tensor for a "
        "pointer, a number, a TensorMap, or bytes for a struct",
    )


_FLOATS = {"f32": "<f", "f64": "<d", "b32": "<f", "b64": "<d", "f16": "<e", "b16": "<e"}


def _encode_number(param: Variable, value: Any) -> bytes:
    """A number in the parameter's width and kind."""
    name = param.name.split("#")[0]
    if param.is_array:
        raise Fault(
            "launch",
            f"parameter {name} is a struct of {param.size} bytes, got the number {value}; pass "
            f"bytes{' or a TensorMap' if param.size == SIZE else ''}",
        )
    whole = isinstance(value, (bool, int, np.integer, np.bool_))
    if not whole or param.type in ("f32", "f64"):
        if param.type not in _FLOATS:
            raise Fault("launch", f"parameter {name} is {param.type}, got a float")
        return struct.pack(_FLOATS[param.type], float(value))
    bits = 8 * param.size
    if not -(1 << bits - 1) <= int(value) < 1 << bits:
        raise Fault("launch", f"parameter {name} has {bits} bits, too few for {value}")
    return (int(value) & ((1 << bits) - 1)).to_bytes(param.size, "little")


def _device_address(value: Any, hosts: list[Host]) -> int:
    start, size, _ = _span(value)
    host = next(h for h in hosts if h.start <= start and start + size <= h.start + h.size)
    return host.allocation.address + _pointer(value) - host.start


def copy_back(launch: Launch, hosts: list[Host]) -> None:
    for host in hosts:
        data = launch.arena.bytes_of(host.allocation)
        target = _host_bytes(host)
        if host.allocation.writable:
            target[:] = data
        elif not np.array_equal(target, data):
            raise Fault("launch", f"the kernel wrote to the read-only array {host.allocation.name}")
