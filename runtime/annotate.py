"""Source text with what each line did beside it, like a line profiler's."""

from __future__ import annotations

from pathlib import PurePath

from tilewright.runtime import vm
from tilewright.runtime.vm.source_lines import LineWork, count_lines, map_instructions

HOT = 0.1
"""The share of all instructions above which a line is marked."""
HEAD = (
    f"{'line':>5} {'instr':>9} {'share':>6} {'sectors':>8} {'used':>5} {'wavefr.':>8} "
    f"{'flops':>9} {'waits':>6}"
)


def draw_file(report: vm.Report, file: str, text: str) -> str:
    """The source file of foreign PTX, from the first to the last line that did anything.

    It is the one that `.loc` names, in whatever folder the compiler found it.
    """
    counted = count_lines(report, map_instructions(report.program))
    base, total = PurePath(file).name, max(report.issued.total(), 1)
    works = {
        place[1]: work
        for place, work in counted.items()
        if place is not None and PurePath(place[0]).name == base
    }
    mapped = sum(work.issued for work in works.values()) / total
    lines = [f"{file}: {mapped:.1%} of {report.issued.total():,} warp instructions", HEAD]
    source = dict(enumerate(text.splitlines(), 1))
    for number in range(min(works, default=1), max(works, default=0) + 1):
        lines += draw_line(number, source.get(number, ""), works.get(number), total)
    return "\n".join(lines)


def draw_line(number: int, text: str, work: LineWork | None, total: int) -> list[str]:
    """A source line behind its counters, and under it what deserves attention."""
    if work is None:
        return [f"{number:>5} {'':>57}| {text}".rstrip()]
    share = work.issued / total
    used = "" if work.efficiency is None else f"{work.efficiency:.0%}"
    cells = (
        f"{number:>5} {work.issued:>9,} {share:>6.1%} {_short(work.sectors):>8} {used:>5} "
        f"{_short(work.wavefronts):>8} {_short(work.flops):>9} {_short(work.waits):>6}"
    )
    mark = "►" if share >= HOT else "|"
    notes = [f"{'':>63}^ {note}" for note in find_notes(work)]
    return [f"{cells} {mark} {text}", *notes]


def _short(value: int) -> str:
    """A count in at most 8 characters; nothing for 0."""
    if value < 1_000_000:
        return f"{value:,}" if value else ""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= unit:
            return f"{value / unit:.2f} {name}"
    raise AssertionError(value)


def find_notes(work: LineWork) -> list[str]:
    """What of a line deserves attention."""
    notes = []
    if work.efficiency is not None and work.sectors > work.ideal_sectors * 1.25:
        notes.append(f"uncoalesced: {work.sectors:,} sectors where {work.ideal_sectors:,} suffice")
    if work.conflicts > 0:
        notes.append(
            f"bank conflicts: {work.conflicts:,} wavefronts beyond {work.ideal_wavefronts:,}"
        )
    if work.local_bytes:
        notes.append(f"local memory: {work.local_bytes:,} bytes")
    if work.races:
        notes.append(f"{len(work.races)} race{'s' * (len(work.races) > 1)}")
    notes += [f"warning: {warning.kind}: {warning.message}" for warning in work.warnings]
    return notes
