"""What each source line did: the counters of a run, joined through `.loc`.

A compiler says for most instructions which line they came from (`-lineinfo`); the code of an
inlined function counts for the line of the outermost call. Where it says line 0 (it merged code of
several lines, or made it up), the instruction counts for the line before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tilewright.runtime.vm.program import Program
from tilewright.runtime.vm.records import Symbol
from tilewright.runtime.vm.work import Work

if TYPE_CHECKING:
    from tilewright.runtime.vm.report import Report

SourceLine = tuple[str, int]
"""File, as the compiler names it, and line."""


@dataclass
class LineWork:
    """What one source line did.

    `issued` counts instructions per warp; `requests` to `ideal_sectors` are of global memory;
    `wavefronts` of shared memory; `wait_steps` are virtual steps that warps stood at its waits.
    """

    issued: int = 0
    work: Work = field(default_factory=Work)
    requests: int = 0
    bytes: int = 0
    sectors: int = 0
    ideal_sectors: int = 0
    wavefronts: int = 0
    ideal_wavefronts: int = 0
    local_bytes: int = 0
    waits: int = 0
    wait_steps: int = 0
    races: list[Any] = field(default_factory=list)
    warnings: list[Any] = field(default_factory=list)

    @property
    def flops(self) -> int:
        """Operations of matrix instructions and of floats in lanes."""
        return self.work.flops.total() + self.work.vector_flops

    @property
    def efficiency(self) -> float | None:
        """Bytes asked for over bytes moved; None without global memory."""
        return self.bytes / (32 * self.sectors) if self.sectors else None

    @property
    def conflicts(self) -> int:
        """Wavefronts of shared memory beyond the ideal."""
        return self.wavefronts - self.ideal_wavefronts

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "issued": self.issued, "instructions": dict(sorted(self.work.classes.items())),
            "requests": self.requests, "bytes": self.bytes, "sectors": self.sectors,
            "ideal_sectors": self.ideal_sectors, "efficiency": self.efficiency,
            "wavefronts": self.wavefronts, "ideal_wavefronts": self.ideal_wavefronts,
            "bank_conflicts": self.conflicts, "local_bytes": self.local_bytes,
            "flops": self.flops, "mma_flops": dict(self.work.flops), "waits": self.waits,
            "wait_steps": self.wait_steps, "races": [str(race) for race in self.races],
            "warnings": [str(warning) for warning in self.warnings],
        }  # fmt: skip


def map_instructions(program: Program) -> list[SourceLine | None]:
    """The source line of every instruction, by program counter."""
    found: list[SourceLine | None] = []
    last: SourceLine | None = None
    starts = set(program.starts.values())
    for pc, ins in enumerate(program.instructions):
        if pc in starts:
            last = None
        if ins.source is not None and ins.source[1]:
            last = (program.module.files.get(ins.source[0], "?"), ins.source[1])
        found.append(last)
    return found


def find_callers(program: Program, places: Sequence[SourceLine | None]) -> dict[str, SourceLine]:
    """Function → the one source line that calls it; without those that several lines call."""
    calls: dict[str, set[SourceLine | None]] = {}
    for pc, ins in enumerate(program.instructions):
        if ins.opcode == "call":
            for operand in ins.operands:
                if isinstance(operand, Symbol) and operand.name in program.starts:
                    calls.setdefault(operand.name, set()).add(places[pc])
    one = {name: next(iter(lines)) for name, lines in calls.items() if len(lines) == 1}
    return {name: line for name, line in one.items() if line is not None}


def count_lines(
    report: Report, places: Sequence[SourceLine | None]
) -> dict[SourceLine | None, LineWork]:
    """The counters of a run by source line; `None` holds what has no line."""
    program = report.program
    lines: dict[SourceLine | None, LineWork] = {}
    for pc, count in report.issued.items():
        line = lines.setdefault(places[pc], LineWork())
        line.issued += count
        line.work.add(program.instructions[pc], count)
    by_text = {ins.line: places[pc] for pc, ins in reversed([*enumerate(program.instructions)])}
    for record in report.counters.get("lines", ()):
        _add_traffic(lines.setdefault(by_text.get(record["line"]), LineWork()), record)
    for record in report.counters.get("wait_lines", ()):
        line = lines.setdefault(by_text.get(record["line"]), LineWork())
        line.waits += record["count"]
        line.wait_steps += record["steps"]
    for race in report.races:
        for number in dict.fromkeys(race.lines):
            lines.setdefault(by_text.get(number), LineWork()).races.append(race)
    for warning in report.warnings:
        place = by_text.get(warning.place.line)
        lines.setdefault(place, LineWork()).warnings.append(warning)
    return lines


def _add_traffic(line: LineWork, record: dict[str, Any]) -> None:
    if record["space"] == "local":
        line.local_bytes += record["bytes"]
    elif record["space"] == "global":
        line.requests += record["requests"]
        line.bytes += record["bytes"]
        line.sectors += record["sectors"]
        line.ideal_sectors += record["ideal_sectors"]
    else:
        line.wavefronts += record["wavefronts"]
        line.ideal_wavefronts += record["ideal_wavefronts"]
