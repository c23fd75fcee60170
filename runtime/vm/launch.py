"""One launch: arguments into the arena, the gangs one after another, results back.

Arguments are copied into the virtual machine's own address space, each as its own allocation with
red zones; arrays that overlap share one. When the kernel ends without a fault, writable ones are
copied back.
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks import Ledger
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.gang import Gang
from tilewright.runtime.vm.memory import SHARED_START, Allocation, Arena, Array
from tilewright.runtime.vm.parser import parse
from tilewright.runtime.vm.program import Program, link, operands
from tilewright.runtime.vm.records import Instruction, Symbol, Variable
from tilewright.runtime.vm.report import Report
from tilewright.runtime.vm.scheduler import Scheduler
from tilewright.runtime.vm.tensor_map import SIZE, TensorMap

CHECKS = ("all", "off", "late", "early")
FUNCTIONS = 0x0F00_0000_0000  # function addresses: not memory
GANG_LANES = 2048
SPIN_LANES = 8192  # where blocks may wait for each other; raised when they turn out to
MOST_LANES = 1 << 17


@dataclass(frozen=True, slots=True)
class Host:
    """Bytes of the caller: a range of host memory, and its place in the arena."""

    start: int
    size: int
    allocation: Allocation


@dataclass
class Launch:
    """Everything about a launch that its gangs share."""

    program: Program
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    cluster: tuple[int, int, int]
    dynamic_shared: int
    seed: int
    checks: str
    arena: Arena = field(default_factory=Arena)
    offsets: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    entry_params: dict[str, int] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    shared_end: int = 0
    local_size: int = 0
    spins: bool = False  # lanes may wait for other lanes in a loop
    interleaves: bool = False  # … of other blocks
    ledger: Ledger = field(default_factory=Ledger)
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def variable(self, name: str) -> Variable | None:
        """A variable by its unique name."""
        return self.program.variables.get(name) or self.program.module.variables.get(name)

    def address(self, symbol: Symbol) -> int:
        """The address of a symbol within its own space (global ones: generic)."""
        for table in (self.entry_params, self.offsets, self.addresses):
            if symbol.name in table:
                return table[symbol.name] + symbol.offset
        raise Fault("syntax", f"unknown name {symbol.name!r}")

    def function_at(self, address: int) -> str | None:
        """The function that an address stands for."""
        names = list(self.program.starts)
        index = (address - FUNCTIONS) // 16
        return names[index] if 0 <= index < len(names) and address % 16 == 0 else None


def run(
    ptx: str,
    entry: str,
    grid: tuple[int, ...] | int,
    block: tuple[int, ...] | int,
    args: Any,
    *,
    cluster: tuple[int, ...] = (1, 1, 1),
    shared: int = 0,
    seed: int = 0,
    checks: str = "all",
) -> Report:
    """Runs the entry of a PTX text on NumPy, changing array arguments in place.

    `args`, in order: NumPy arrays or CPU torch tensors (device pointers), ints and floats (as the
    parameter declares them), `TensorMap`s and `bytes` (by-value structs). `shared` is the dynamic
    shared memory in bytes. `checks` is `all`, `off`, or `late`/`early`, which are `all` with
    asynchronous work completed as late or early as is legal. Raises `Fault`; the arguments then
    keep their contents.
    """
    if checks not in CHECKS:
        raise ValueError(f"checks={checks!r}; choose one of {', '.join(CHECKS)}")
    program = link(parse(ptx), entry)
    shape = _triple(grid, "grid"), _triple(block, "block"), _triple(cluster, "cluster")
    lanes = GANG_LANES
    while True:
        launch = Launch(program, *shape, shared, seed, checks)
        launch.rng = np.random.default_rng(seed)
        _check_shape(launch)
        _place_variables(launch)
        hosts = _place_arguments(launch, list(args))
        launch.spins, launch.interleaves = _find_spins(program)
        lanes = max(lanes, SPIN_LANES) if launch.interleaves else lanes
        try:
            with np.errstate(all="ignore"):
                report = _execute(launch, lanes)
        except Fault as fault:
            # Blocks may wait for blocks that had no place beside them: then more run together.
            total = int(np.prod(launch.grid)) * int(np.prod(launch.block))
            if (
                fault.kind != "deadlock"
                or not launch.interleaves
                or lanes >= min(total, MOST_LANES)
            ):
                raise
            lanes *= 4
            continue
        _copy_back(launch, hosts)
        return report


def _triple(value: tuple[int, ...] | int, name: str) -> tuple[int, int, int]:
    values = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    if not 1 <= len(values) <= 3 or any(v < 1 for v in values):
        raise ValueError(f"{name}={value!r}: one to three positive extents")
    x, y, z = (*values, 1, 1)[:3]
    return x, y, z


def _check_shape(launch: Launch) -> None:
    threads = int(np.prod(launch.block))
    if threads > 1024:
        raise Fault("launch", f"a block of {threads} threads; the limit is 1,024")
    if any(g % c for g, c in zip(launch.grid, launch.cluster, strict=True)):
        raise Fault(
            "launch", f"the grid {launch.grid} is no multiple of the cluster {launch.cluster}"
        )
    directives = launch.program.entry.directives
    required = directives.get("reqntid")
    if required and (*required, 1, 1)[:3] != launch.block:
        raise Fault("launch", f"the entry requires blocks of {required}, got {launch.block}")
    limit = directives.get("maxntid")
    if limit and threads > int(np.prod(limit)):
        raise Fault(
            "launch",
            f"the entry allows blocks of at most {int(np.prod(limit))} threads, got {threads}",
        )


def _find_spins(program: Program) -> tuple[bool, bool]:
    """Whether a loop waits through memory at all, and whether it may wait for other blocks."""
    spins = interleaves = False
    for pc, ins in enumerate(program.instructions):
        label = ins.operands[0] if ins.opcode == "bra" else None
        if not isinstance(label, Symbol):
            continue
        for inner in program.instructions[program.target(pc, label.name) : pc]:
            spins |= inner.opcode == "mbarrier" or _polls(inner)
            interleaves |= _polls(inner)
    return spins, interleaves


def _polls(ins: Instruction) -> bool:
    strong = bool({"acquire", "volatile", "relaxed", "mmio"} & set(ins.mods))
    return (ins.opcode == "ld" and strong) or ins.opcode in ("atom", "nanosleep")


# -- variables ---------------------------------------------------------------------------------


def _place_variables(launch: Launch) -> None:
    """Shared, local and parameter variables get offsets, global and constant ones allocations."""
    program = launch.program
    entry = {p.name for p in program.entry.params}
    shared_at, local_at, dynamic = SHARED_START, 0, []
    used = _used_names(program)
    module = [v for v in program.module.variables.values() if v.space != "shared" or v.name in used]
    for variable in (*module, *program.variables.values()):
        if variable.space == "shared" and variable.is_extern:
            dynamic.append(variable)
        elif variable.space == "shared":
            shared_at = _align(shared_at, variable.align)
            launch.offsets[variable.name] = shared_at
            shared_at += variable.size
        elif variable.space in ("local", "param") and variable.name not in entry:
            local_at = _align(local_at, max(variable.align, 16))
            launch.offsets[variable.name] = local_at
            local_at += variable.size
    shared_at = _align(shared_at, max((v.align for v in dynamic), default=16))
    if launch.dynamic_shared:
        shared_at = _align(shared_at, 1024)
    for variable in dynamic:
        launch.offsets[variable.name] = shared_at
    launch.shared_end, launch.local_size = shared_at + launch.dynamic_shared, local_at
    for index, name in enumerate(program.starts):
        launch.addresses[name] = FUNCTIONS + 16 * index


def _align(at: int, align: int) -> int:
    return (at + align - 1) // align * align


def _used_names(program: Program) -> set[str]:
    from_operands = set()

    for ins in program.instructions:
        for operand in ins.operands:
            from_operands |= {o.name for o in operands(operand) if isinstance(o, Symbol)}
    return from_operands


def _initialize_globals(launch: Launch, placed: dict[str, Allocation]) -> None:
    for name, allocation in placed.items():
        variable = launch.program.module.variables[name]
        data = launch.arena.bytes_of(allocation)
        data[: len(variable.initial)] = np.frombuffer(variable.initial, np.uint8)
        for offset, target in variable.pointers:
            address = launch.address(Symbol(target))
            data[offset : offset + 8] = np.frombuffer(struct.pack("<Q", address), np.uint8)


# -- arguments ---------------------------------------------------------------------------------


def _place_arguments(launch: Launch, args: list[Any]) -> list[Host]:
    params = launch.program.entry.params
    if len(args) != len(params):
        raise Fault("launch", f"the entry takes {len(params)} arguments, got {len(args)}")
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
    _initialize_globals(launch, placed)
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
        at = _align(at, max(param.align, 1))
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
    if isinstance(value, (bool, int, np.integer)):
        if param.type in ("f32", "f64"):
            return struct.pack("<f" if param.type == "f32" else "<d", float(value))
        return (int(value) & ((1 << 8 * param.size) - 1)).to_bytes(param.size, "little")
    if isinstance(value, (float, np.floating)):
        formats = {"f32": "<f", "f64": "<d", "b32": "<f", "b64": "<d", "f16": "<e", "b16": "<e"}
        if param.type not in formats:
            raise Fault("launch", f"parameter {name} is {param.type}, got a float")
        return struct.pack(formats[param.type], float(value))
    raise Fault("launch", f"parameter {name}: cannot pass a {type(value).__name__}")


def _device_address(value: Any, hosts: list[Host]) -> int:
    start, size, _ = _span(value)
    host = next(h for h in hosts if h.start <= start and start + size <= h.start + h.size)
    return host.allocation.address + _pointer(value) - host.start


def _copy_back(launch: Launch, hosts: list[Host]) -> None:
    for host in hosts:
        data = launch.arena.bytes_of(host.allocation)
        target = _host_bytes(host)
        if host.allocation.writable:
            target[:] = data
        elif not np.array_equal(target, data):
            raise Fault("launch", f"the kernel wrote to the read-only array {host.allocation.name}")


# -- execution ---------------------------------------------------------------------------------


def _execute(launch: Launch, most: int) -> Report:
    blocks = int(np.prod(launch.grid))
    lanes = (int(np.prod(launch.block)) + 31) // 32 * 32
    cluster = int(np.prod(launch.cluster))
    together = max(most // (lanes * cluster), 1) * cluster
    report = Report(launch)
    gangs: dict[int, tuple[Gang, Scheduler]] = {}
    try:
        for first in range(0, blocks, together):
            count = min(together, blocks - first)
            if count not in gangs:
                gang = Gang(launch, count)
                gangs[count] = gang, Scheduler(gang)
            gangs[count][1].run(first)
    except Fault as fault:
        report.collect([scheduler for _, scheduler in gangs.values()])
        fault.report = report
        for race in report.races[:3]:
            fault.add_note(f"before that, a {race}")
        raise
    report.collect([scheduler for _, scheduler in gangs.values()])
    return report
