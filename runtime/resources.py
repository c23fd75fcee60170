"""What the assembler admits in its report: it can undo a schedule and still report success.

It serializes `wgmma`, injects waits, or ignores `setmaxnreg`. `find_defeats` lists those messages,
which are build errors. What the report says about each entry is read by `vm.resources`, which
reads the reports of foreign assemblers too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tilewright.runtime.vm.resources import Resources, parse_resources

# C7508: setmaxnreg ignored. C7510 to C7517: wgmma serialized, or waits injected into its pipeline.
DEFEATS = frozenset({"C7508", *(f"C75{n}" for n in range(10, 18))})

_DEFEAT = re.compile(r"\((C75\d\d)\)\s*(.*)")
_PTX_LINE = re.compile(r"\bline (\d+)")


@dataclass(frozen=True)
class Defeat:
    """A schedule that the assembler undid: its code, its words, and the PTX line if it says one."""

    code: str
    text: str
    ptx_line: int | None


def find_defeats(log: str) -> list[Defeat]:
    """The messages by which the assembler admits that it undid the schedule."""
    matches = (match for line in log.splitlines() if (match := _DEFEAT.search(line)))
    return [
        Defeat(match[1], match[2].strip(), int(place[1]) if place else None)
        for match in matches
        if match[1] in DEFEATS
        for place in (_PTX_LINE.search(match[2]),)
    ]


__all__ = ["DEFEATS", "Defeat", "Resources", "find_defeats", "parse_resources"]
