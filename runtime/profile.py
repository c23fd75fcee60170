"""`kernel.profile(…)`: a run on the virtual machine, told by the lines of the user's Python.

Every PTX instruction leads back to a line: generated C++ carries `#line` directives, NVRTC keeps
them as `.loc`, and code of the prelude counts for the line that calls it. What belongs to no line
of its own (reading parameters, numbering lanes and warps) counts for the kernel's `def`. What no
rule reaches is `unmapped`.
"""

from __future__ import annotations

import inspect
import json
import linecache
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tilewright.runtime import vm
from tilewright.runtime.annotate import HEAD, draw_line
from tilewright.runtime.vm.source_lines import (
    LineWork,
    SourceLine,
    count_lines,
    find_callers,
    map_instructions,
)


@dataclass(frozen=True)
class ProfileLine:
    """One line of Python, and what it did."""

    file: str
    line: int
    text: str
    work: LineWork


@dataclass(frozen=True)
class Profile:
    """What each line of a kernel did, and the virtual machine's `report`.

    `lines` are those that did anything, by file and number; `unmapped` is the share of issued
    instructions that could not be led back to a line. Printing it shows the kernel's source.
    """

    name: str
    target: str
    report: vm.Report = field(repr=False)
    file: str
    source: tuple[str, ...] = field(repr=False)
    first: int
    lines: tuple[ProfileLine, ...] = field(repr=False)
    unmapped: float

    @property
    def races(self) -> list[Any]:
        """The races that the run found."""
        return self.report.races

    @property
    def warnings(self) -> list[Any]:
        """The warnings of the run."""
        return self.report.warnings

    @property
    def counters(self) -> dict[str, Any]:
        """The report's counters, of the whole launch."""
        return self.report.counters

    def timeline(self) -> Any:
        """What happened when, in virtual steps."""
        return self.report.timeline()

    def roofline(self, device: Any) -> Any:
        """Lower bounds of the launch's time on a device ("H200"), and which limit binds."""
        return self.report.roofline(device)

    def to_json(self) -> str:
        """The report's JSON with the Python lines beside it."""
        lines = [
            {"file": x.file, "line": x.line, "text": x.text.strip(), **x.work.to_dict()}
            for x in self.lines
        ]
        head = {"kernel": self.name, "target": self.target, "unmapped": self.unmapped}
        return json.dumps({**head, "python": lines, "report": json.loads(self.report.to_json())})

    def __str__(self) -> str:
        return "\n".join(_draw(self))


def make_profile(
    function: Any, report: vm.Report, target: str, files: Mapping[str, str]
) -> Profile:
    """Lead a report back to Python; `files` are the user's files by their names in `.loc`."""
    source, first = inspect.getsourcelines(function)
    head = next((i for i, text in enumerate(source) if text.lstrip().startswith("def ")), 0)
    file = function.__code__.co_filename
    places = find_places(report, files, (file, first + head))
    counted = count_lines(report, places)
    lost = counted.pop(None, LineWork()).issued
    found = [
        ProfileLine(name, line, linecache.getline(name, line).rstrip("\n"), work)
        for (name, line), work in sorted(
            (place, work) for place, work in counted.items() if place is not None
        )
    ]
    return Profile(
        function.__name__, target, report, file, tuple(text.rstrip("\n") for text in source),
        first, tuple(found), lost / max(report.issued.total(), 1),
    )  # fmt: skip


def find_places(
    report: vm.Report, files: Mapping[str, str], head: SourceLine
) -> list[SourceLine | None]:
    """The Python line of every instruction, by program counter.

    Within the kernel, what has no line of Python is the kernel's own set-up and counts for `head`;
    within a function that was not inlined, for the line that calls it.
    """
    program = report.program
    raw = map_instructions(program)
    python = [(files[p[0]], p[1]) if p is not None and p[0] in files else None for p in raw]
    entry = program.entry.name
    owners = [owner.name for owner in program.owners]
    places = [
        head if place is None and owner == entry else place
        for place, owner in zip(python, owners, strict=True)
    ]
    for _ in program.starts:  # a call may stand in a function that another one calls
        callers = find_callers(program, places)
        places = [place or callers.get(owner) for place, owner in zip(places, owners, strict=True)]
    return places


def _draw(profile: Profile) -> list[str]:
    counters, report = profile.counters, profile.report
    lines = [f"{profile.name} on {profile.target}: {counters['issued']:,} warp instructions"]
    lines[0] += f", {1 - profile.unmapped:.1%} of them mapped to Python"
    if "global" in counters:
        moved, shared = counters["global"], counters["shared"]
        lines.append(
            f"  global: {moved['bytes']:,} bytes in {moved['sectors']:,} sectors, efficiency "
            f"{moved['efficiency']:.0%}; shared: {shared['wavefronts']:,} wavefronts, "
            f"{shared['bank_conflicts']:,} of them bank conflicts"
        )
    lines += ["", f"{profile.file}", HEAD]
    total = max(report.issued.total(), 1)
    at = {(x.file, x.line): x.work for x in profile.lines}
    last = profile.first + len(profile.source) - 1
    for number, text in enumerate(profile.source, profile.first):
        lines += draw_line(number, text, at.get((profile.file, number)), total)
    others = [
        x for x in profile.lines if x.file != profile.file or not profile.first <= x.line <= last
    ]
    for index, x in enumerate(others):
        if index == 0 or others[index - 1].file != x.file:
            lines += ["", f"called: {x.file}"]
        lines += draw_line(x.line, x.text, x.work, total)
    return lines + [f"\n{race}" for race in profile.races]
