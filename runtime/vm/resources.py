"""Reads an assembler's report (`-v`), which NVRTC and nvJitLink leave in their logs.

One entry's part of the report looks like this:

    ptxas info    : Compiling entry function 'matmul' for 'sm_80'
    ptxas info    : Function properties for matmul
    ptxas         .     288 bytes stack frame, 536 bytes spill stores, 544 bytes spill loads
    ptxas info    : Used 64 registers, used 1 barriers, 1024 bytes smem, 364 bytes cmem[0]
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENTRY = re.compile(r"Compiling entry function '([^']+)'")
_PROPERTIES = re.compile(r"Function properties for (\S+)")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")
_BARRIERS = re.compile(r"used (\d+) barriers")
_SHARED = re.compile(r"(\d+) bytes smem")
_CONSTANT = re.compile(r"(\d+) bytes cmem\[\d+\]")


@dataclass(frozen=True)
class Resources:
    """What one entry uses; bytes, except registers (32-bit, per lane) and barriers."""

    registers: int
    spill_stores: int
    spill_loads: int
    static_shared: int
    stack: int
    constant: int
    barriers: int

    @property
    def spills(self) -> int:
        """Bytes per lane that do not fit in registers."""
        return self.spill_stores + self.spill_loads


def parse_resources(log: str) -> dict[str, Resources]:
    """Resources of each entry function in an assembler report, by name."""
    found: dict[str, Resources] = {}
    entry: str | None = None
    frame = (0, 0, 0)
    own_frame = False
    for line in log.splitlines():
        if match := _ENTRY.search(line):
            entry, frame = match[1], (0, 0, 0)
        elif match := _PROPERTIES.search(line):
            own_frame = match[1] == entry
        elif (match := _STACK.search(line)) and own_frame:
            frame = (int(match[1]), int(match[2]), int(match[3]))
        elif (match := _REGISTERS.search(line)) and entry is not None:
            found[entry] = _resources(line, int(match[1]), frame)
            entry = None
    return found


def _resources(line: str, registers: int, frame: tuple[int, int, int]) -> Resources:
    barriers = _BARRIERS.search(line)
    shared = _SHARED.search(line)
    stack, stores, loads = frame
    return Resources(
        registers=registers,
        spill_stores=stores,
        spill_loads=loads,
        static_shared=int(shared[1]) if shared else 0,
        stack=stack,
        constant=sum(int(size) for size in _CONSTANT.findall(line)),
        barriers=int(barriers[1]) if barriers else 0,
    )
