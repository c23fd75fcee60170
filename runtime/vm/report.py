"""What a run tells: steps, counters, races, warnings, printed output."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tilewright.runtime.vm.launch import Launch
    from tilewright.runtime.vm.scheduler import Scheduler


class Report:
    """The result of `run`.

    `steps`: NumPy steps executed. `counters`: a nested dict (see `to_json`). `races` and `warnings`: lists. `output`:
    lines that the kernel printed.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.entry = launch.program.entry.name
        self.steps = 0
        self.counters: dict[str, Any] = {}
        self.races: list[Any] = []
        self.warnings: list[Any] = []
        self.output = launch.output

    def collect(self, schedulers: list[Scheduler]) -> None:
        """Adds up what the gangs counted."""
        issued: Counter[int] = Counter()
        for scheduler in schedulers:
            self.steps += scheduler.steps
            for frame in scheduler.gang.frames.values():
                for run in frame.blocks.values():
                    if run.count:
                        issued.update(
                            dict.fromkeys(range(run.start, run.start + run.size), run.count)
                        )
        classes: Counter[str] = Counter()
        for pc, count in issued.items():
            classes[classify(self._launch.program.instructions[pc].opcode)] += count
        self.counters["instructions"] = dict(sorted(classes.items()))
        self.counters["issued"] = sum(classes.values())

    def to_json(self) -> str:
        """Everything as JSON."""
        return json.dumps(
            {
                "entry": self.entry,
                "steps": self.steps,
                "counters": self.counters,
                "races": [str(race) for race in self.races],
                "warnings": [str(warning) for warning in self.warnings],
                "output": self.output,
            },
            default=str,
        )

    def __str__(self) -> str:
        lines = [
            f"{self.entry}: {self.steps:,} steps, {self.counters.get('issued', 0):,} warp instructions"
        ]
        for name, count in self.counters.get("instructions", {}).items():
            lines.append(f"  {name:<10} {count:>12,}")
        lines.extend(f"race: {race}" for race in self.races)
        lines.extend(f"warning: {warning}" for warning in self.warnings)
        return "\n".join(lines)


_CLASSES = {
    "memory": "ld ldu st atom red ldmatrix stmatrix prefetch".split(),
    "async": ["cp"],
    "matrix": ["mma", "wgmma"],
    "control": "bra brx call ret exit".split(),
    "barrier": "bar barrier mbarrier membar fence".split(),
    "warp": "shfl vote match redux activemask elect".split(),
    "move": "mov cvta selp slct prmt".split(),
    "convert": ["cvt"],
    "compare": ["setp", "set"],
    "special": "ex2 lg2 sin cos tanh rcp rsqrt sqrt".split(),
}
_CLASS_OF = {opcode: name for name, opcodes in _CLASSES.items() for opcode in opcodes}


def classify(opcode: str) -> str:
    """The class of an instruction in the counters."""
    return _CLASS_OF.get(opcode, "arithmetic")
