"""What a run tells: steps, counters, races, warnings, printed output."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tilewright.runtime.vm.assembler import Assembled, assemble
from tilewright.runtime.vm.checks.races import Race
from tilewright.runtime.vm.devices import DeviceRecord, check_runs, resolve_device
from tilewright.runtime.vm.occupancy import Occupancy, find_occupancy
from tilewright.runtime.vm.parts import Part, count_issued
from tilewright.runtime.vm.resources import Resources
from tilewright.runtime.vm.roofline import Roofline, draw_roofline
from tilewright.runtime.vm.timeline.counting import describe_waits
from tilewright.runtime.vm.timeline.timeline import Timeline, make_timeline
from tilewright.runtime.vm.work import Work, measure

if TYPE_CHECKING:
    from tilewright.runtime.vm.launch import Launch
    from tilewright.runtime.vm.scheduler import Scheduler


class Report:
    """The result of `run`.

    `steps`: NumPy steps executed. `counters`: a nested dict (see `to_json`). `races` and
    `warnings`: lists. `output`: lines that the kernel printed. `resources`: what the assembler
    made of the entry, where whoever compiled it says so.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.program = launch.program
        self.issued: Counter[int] = Counter()  # warp instructions by program counter
        self.entry = launch.program.entry.name
        self.steps = 0
        self.counters: dict[str, Any] = {}
        self.races: list[Any] = []
        self.warnings: list[Any] = []
        self.output = launch.output
        self.resources: Resources | None = None
        self.work = Work()
        self._assembled: dict[str, Assembled | None] = {}

    def collect(self, schedulers: list[Scheduler], others: Sequence[Part] = ()) -> None:
        """Adds up what the gangs counted, here and in other processes."""
        self.steps, issued = count_issued(schedulers)
        for part in others:
            self.steps += part.steps
            issued.update(part.issued)
        self.issued = issued
        self.work = measure(self._launch.program.instructions, issued)
        self.counters["instructions"] = dict(sorted(self.work.classes.items()))
        self.counters["issued"] = self.work.classes.total()
        self.counters["mma_flops"] = dict(self.work.flops)
        if self._launch.checks != "off":
            self._collect_traffic()
            self._collect_waits(schedulers)
            self.races = [self._locate(race) for race in self._launch.ledger.log.races.values()]
            self.warnings = list(self._launch.ledger.notices.values())

    def _locate(self, race: Race) -> Race:
        if race.space != "global":
            return race
        return replace(race, where=self._launch.arena.describe(race.address))

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
            **self._launch.ledger.traffic.footprint.count(),
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

    def _collect_waits(self, schedulers: list[Scheduler]) -> None:
        for scheduler in schedulers:
            scheduler.keep_recording()
        waits = self._launch.ledger.waits
        self.counters["waits"] = waits.by_kind()
        self.counters["stages"] = waits.stages()
        self.counters["wait_lines"] = waits.lines(self._launch.program)

    def timeline(self, blocks: int = 4, steps: tuple[int, int] | None = None) -> Timeline:
        """What the first `blocks` blocks did, as spans and as a chart (`.save("run.html")`).

        `steps` limits it to a window of virtual steps. The run must have had its checks on.
        """
        launch = self._launch
        if launch.checks == "off":
            raise ValueError(
                'checks="off" records nothing; run with checks="all", "late" or "early" for a '
                "timeline"
            )
        x, y, z = launch.grid
        about = f'{launch.program.module.target}, checks "{launch.checks}", seed {launch.seed}'
        return make_timeline(
            launch.ledger.recordings, launch.program,
            blocks=blocks, steps=steps, of=x * y * z, about=about,
        )  # fmt: skip

    def occupancy(self, device: str | DeviceRecord, registers: int | None = None) -> Occupancy:
        """Blocks that one multiprocessor of `device` holds at a time, and what limits them.

        `device` is a name ("H200") or any record; `registers` per lane are else taken from
        `resources` or asked of an assembler, and stay unknown where none is installed.
        """
        launch, record = self._launch, resolve_device(device)
        architecture = check_runs(launch.program.module.target, record)
        found, source = self.resources, "as compiled"
        if registers is not None:
            found, source = None, "as given"
        elif found is None:
            found, source = self._assemble(architecture)
        return find_occupancy(
            record,
            threads=math.prod(launch.block),
            shared=launch.shared_needed,
            registers=registers if found is None else found.registers,
            barriers=0 if found is None else found.barriers,
            spills=None if found is None else found.spills,
            source=source,
        )

    def _assemble(self, architecture: str) -> tuple[Resources | None, str]:
        launch = self._launch
        if architecture not in self._assembled:
            text = "\n".join(launch.program.module.lines)
            self._assembled[architecture] = assemble(text, architecture)
        made = self._assembled[architecture]
        if made is None:
            return None, 'registers unknown: pip install "tilewright[vm]"'
        (most,) = launch.program.entry.directives.get("maxnreg", (0,))
        found = made.find(self.entry, math.prod(launch.block), most or None)
        if found is None:
            problem = made.problem.partition("\n")[0]
            return None, f"registers unknown: {made.by} says {problem or 'nothing'}"
        return found, made.by

    def roofline(self, device: str | DeviceRecord, registers: int | None = None) -> Roofline:
        """Lower bounds of the launch's time on `device`, and which limit binds; see `roofline`."""
        record = resolve_device(device)
        occupancy = self.occupancy(record, registers)
        blocks = math.prod(self._launch.grid)
        return draw_roofline(self.entry, record, self.work, self.counters, blocks, occupancy)

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
        if self._launch.checks == "off":
            lines[0] += ', unchecked (checks="off")'
        for name, count in counters.get("instructions", {}).items():
            lines.append(f"  {name:<12} {count:>14,}")
        for kind, flops in counters.get("mma_flops", {}).items():
            lines.append(f"  mma {kind:<8} {flops:>14,} flops")
        if "global" in counters:
            lines.extend(self._traffic_lines())
            lines.extend(describe_waits(counters))
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
