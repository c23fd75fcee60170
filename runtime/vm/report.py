"""What a run tells: steps, counters, races, warnings, printed output."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tilewright.runtime.vm.instructions.mma import form_of
from tilewright.runtime.vm.instructions.wgmma import form_of as group_form_of
from tilewright.runtime.vm.instructions.wmma import form_of as wmma_form_of

if TYPE_CHECKING:
    from tilewright.runtime.vm.launch import Launch
    from tilewright.runtime.vm.scheduler import Scheduler


class Report:
    """The result of `run`.

    `steps`: NumPy steps executed. `counters`: a nested dict (see `to_json`). `races` and
    `warnings`: lists. `output`: lines that the kernel printed.
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
        self._collect_flops(issued)
        if self._launch.checks != "off":
            self._collect_traffic()
            self.races = list(self._launch.ledger.log.races.values())
            self.warnings = list(self._launch.ledger.notices.values())

    def _collect_flops(self, issued: Counter[int]) -> None:
        flops: Counter[str] = Counter()
        for pc, count in issued.items():
            ins = self._launch.program.instructions[pc]
            if ins.opcode == "mma":
                form = form_of(ins)
                flops[form.a] += count * form.flops
            elif ins.opcode == "wgmma" and ins.mods[0] == "mma_async":
                group = group_form_of(ins)
                flops[group.a] += count * group.flops
            elif ins.opcode == "wmma" and ins.mods[0] == "mma":
                fragments = wmma_form_of(ins)
                flops[fragments.a] += count * fragments.flops
        self.counters["mma_flops"] = dict(flops)

    def _collect_traffic(self) -> None:
        module = self._launch.program.module
        lines = {k: v for k, v in self._launch.ledger.traffic.lines.items() if v.bytes}
        shared = [v for v in lines.values() if v.space == "shared"]
        globals_ = [v for v in lines.values() if v.space == "global"]
        moved, asked = 32 * sum(v.sectors for v in globals_), sum(v.bytes for v in globals_)
        requests = sum(v.requests for v in globals_)
        self.counters["global"] = {
            "requests": requests,
            "sectors": moved // 32,
            "ideal_sectors": sum(v.ideal_sectors for v in globals_),
            "bytes": asked,
            "efficiency": asked / moved if moved else 1.0,
            "sectors_per_request": moved / 32 / requests if requests else 0.0,
        }
        self.counters["shared"] = {
            "requests": sum(v.requests for v in shared),
            "bytes": sum(v.bytes for v in shared),
            "wavefronts": sum(v.wavefronts for v in shared),
            "ideal_wavefronts": sum(v.ideal_wavefronts for v in shared),
            "bank_conflicts": sum(v.conflicts for v in shared),
        }
        paths = dict.fromkeys(("plain", "cp.async", "bulk"), 0)
        for record in globals_:
            paths[record.kind if record.kind in paths else "plain"] += record.bytes
        self.counters["bytes"] = paths
        self.counters["local_bytes"] = sum(v.bytes for v in lines.values() if v.space == "local")
        self.counters["lines"] = [
            {"line": line, "text": module.lines[line - 1].strip(), **asdict(record),
             "efficiency": record.efficiency, "bank_conflicts": record.conflicts}
            for (line, _), record in sorted(lines.items())
        ]  # fmt: skip

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
        counters = self.counters
        lines = [
            f"{self.entry}: {self.steps:,} steps, {counters.get('issued', 0):,} warp instructions"
        ]
        for name, count in counters.get("instructions", {}).items():
            lines.append(f"  {name:<12} {count:>14,}")
        for kind, flops in counters.get("mma_flops", {}).items():
            lines.append(f"  mma {kind:<8} {flops:>14,} flops")
        if "global" in counters:
            lines.extend(self._traffic_lines())
        lines.extend(str(race) for race in self.races)
        lines.extend(f"warning: {warning}" for warning in self.warnings)
        return "\n".join(lines)

    def _traffic_lines(self) -> list[str]:
        g, s = self.counters["global"], self.counters["shared"]
        lines = []
        for name, part in (("global", g), ("shared", s)):
            text = ", ".join(f"{part[k]:,} {k.replace('_', ' ')}" for k in _SHOWN[name])
            lines.append(f"  {name}: {text}")
        lines[0] += f", efficiency {g['efficiency']:.0%}"
        worst = [r for r in self.counters["lines"] if r["bank_conflicts"] or r["efficiency"] < 0.5]
        for record in sorted(worst, key=lambda r: r["efficiency"])[:8]:
            lines.append(
                f"    {record['efficiency']:>4.0%} at PTX line {record['line']}: {record['text']}"
            )
        return lines


_SHOWN = {
    "global": ("requests", "sectors", "bytes"),
    "shared": ("requests", "wavefronts", "bank_conflicts"),
}
_CLASSES = {
    "memory": "ld ldu st atom red ldmatrix stmatrix prefetch".split(),
    "async": ["cp"],
    "matrix": ["mma", "wgmma", "wmma"],
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
