"""`tilewright vm check FILE.ptx …`: many orders of events, and whether anything depends on them.

The same launch runs with several seeds (each lets asynchronous work finish at other moments) and
with the two extremes, as late and as early as is legal. What any of them finds counts, and so do
results that differ between them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tilewright.runtime import vm
from tilewright.runtime.commands import vm_setup as options
from tilewright.runtime.commands.vm_parameters import describe_parameters
from tilewright.runtime.commands.vm_run import attempt, count, describe_fault, write_text
from tilewright.runtime.commands.vm_setup import Setup, parse_ptx, read_ptx, read_setup
from tilewright.runtime.commands.vm_values import Made
from tilewright.runtime.errors import UsageError
from tilewright.runtime.vm.survey import EntrySurvey, survey_entry


@dataclass(frozen=True, eq=False)
class Outcome:
    """One run: its name, what it found, and the arrays it left behind."""

    name: str
    made: tuple[Made, ...]
    races: tuple[Any, ...] = ()
    warnings: tuple[Any, ...] = ()
    fault: vm.Fault | None = None
    steps: int = 0
    differs: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> str:
        """The worst of what it found, in a word or two."""
        if self.fault is not None:
            return self.fault.kind
        found = {"race": self.races, "different": self.differs, "warning": self.warnings}
        return next((word for word, what in found.items() if what), "ok")


def check(
    file: options.File,
    entry: options.Entry = "",
    grid: options.Grid = "",
    block: options.Block = "",
    arg: options.Arg = [],  # noqa: B006
    cluster: options.Cluster = "1",
    shared: options.Shared = 0,
    seed: options.Seed = 0,
    seeds: Annotated[int, typer.Option(help="How many orders of events, besides extremes.")] = 8,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Only read: entries, parameters, what is unsupported.")
    ] = False,
    allow_warnings: Annotated[
        bool, typer.Option("--allow-warnings", help="Exit with 0 where only warnings were found.")
    ] = False,
    json_file: options.Json = None,
) -> None:
    """Sweep the order of events of PTX; exits with 1 where anything was found."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    if no_run:
        raise typer.Exit(survey_file(console, file, entry, json_file))
    if seeds < 0:
        raise UsageError(f"--seeds {seeds} is negative", "write --seeds 8")
    setup = read_setup(
        file, entry, grid, block, arg, cluster=cluster, shared=shared, seed=seed
    )  # fmt: skip
    outcomes = sweep(setup, seed, seeds)
    console.print(verdict_table(setup, outcomes))
    races, warnings, faults = gather(outcomes)
    for found in (*faults, *races):
        console.print(str(found), style="red")
    for found in warnings:
        console.print(f"warning: {found}", style="yellow")
    differences = [text for outcome in outcomes for text in outcome.differs]
    if json_file is not None:
        write_text(json_file, to_json(setup, outcomes))
    broken = bool(races or faults or differences)
    counts = [count(len(races), "race"), count(len(faults), "fault")]
    counts += [count(len(warnings), "warning"), count(len(differences), "difference")]
    console.print(f"{setup.entry.name}: {', '.join(counts)} in {count(len(outcomes), 'run')}")
    if broken or (warnings and not allow_warnings):
        raise typer.Exit(1)


def sweep(setup: Setup, first: int, seeds: int) -> list[Outcome]:
    """All runs; each after the first that ended is compared with that one."""
    runs = [(f"seed {s}", s, "all") for s in range(first, first + seeds)]
    runs += [("late", first, "late"), ("early", first, "early")]
    outcomes: list[Outcome] = []
    for name, seed, checks in runs:
        made = setup.make()
        report, fault = attempt(setup, made, seed=seed, checks=checks)
        reference = next((o for o in outcomes if o.fault is None), None)
        outcomes.append(
            Outcome(
                name, tuple(made),
                tuple(report.races) if report else (), tuple(report.warnings) if report else (),
                fault, report.steps if report else 0,
                compare(reference, made) if reference and fault is None else (),
            )
        )  # fmt: skip
    return outcomes


def compare(reference: Outcome, made: Sequence[Made]) -> tuple[str, ...]:
    """How the arrays differ, bit for bit, from those of another run."""
    texts = []
    for index, (old, new) in enumerate(zip(reference.made, made, strict=True)):
        if old.memory is None or new.memory is None:
            continue
        if old.memory.array.tobytes() == new.memory.array.tobytes():
            continue
        a, b = (np.asarray(m.values()) for m in (old.memory, new.memory))
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
        changed = int((~((a == b) | ((a != a) & (b != b)))).sum())
        most = f"{np.nanmax(apart):.3g}" if changed and not np.isnan(apart).all() else "NaN"
        texts.append(
            f"argument {index} differs from {reference.name} in {changed} of {a.size} elements, "
            f"at most by {most}"
        )
    return tuple(texts)


def gather(outcomes: Sequence[Outcome]) -> tuple[list[Any], list[Any], list[Any]]:
    """Races, warnings and faults of all runs, each once per place."""
    races = {(r.space, r.lines): r for o in outcomes for r in o.races}
    warnings = {(w.kind, w.place.line): w for o in outcomes for w in o.warnings}
    faults = {(o.fault.kind, o.fault.line): o.fault for o in outcomes if o.fault}
    return list(races.values()), list(warnings.values()), list(faults.values())


def verdict_table(setup: Setup, outcomes: Sequence[Outcome]) -> Table:
    """One row per run."""
    grid, block = ("x".join(map(str, shape)) for shape in (setup.grid, setup.block))
    title = f"{setup.entry.name}, grid {grid}, block {block}"
    table = Table(title=title, title_justify="left")
    table.add_column("run")
    table.add_column("verdict")
    for name in ("steps", "races", "warnings"):
        table.add_column(name, justify="right")
    table.add_column("results")
    for outcome in outcomes:
        fault = outcome.fault
        results = "; ".join(outcome.differs) or ("none" if fault else "equal")
        verdict = outcome.verdict
        color = {"ok": "green", "warning": "yellow"}.get(verdict, "red")
        table.add_row(
            outcome.name, Text(verdict, style=color), f"{outcome.steps:,}",
            str(len(outcome.races)), str(len(outcome.warnings)), results,
        )  # fmt: skip
    return table


def to_json(setup: Setup, outcomes: Sequence[Outcome]) -> str:
    """All runs as JSON."""
    runs = [
        {
            "run": o.name, "verdict": o.verdict, "steps": o.steps,
            "races": [str(r) for r in o.races],
            "warnings": [str(w) for w in o.warnings], "fault": describe_fault(o.fault),
            "differs": list(o.differs),
        }
        for o in outcomes
    ]  # fmt: skip
    return json.dumps({"entry": setup.entry.name, "runs": runs}, indent=1)


def survey_file(console: Console, file: Path, entry: str, json_file: Path | None) -> int:
    """Print what the file declares and what of it cannot run; the exit code."""
    module = parse_ptx(read_ptx(file))
    if entry:
        names = [options.find_entry(module, entry, file)]
    else:
        names = [f for f in module.functions.values() if f.is_entry and not f.is_extern]
    try:
        surveys = [survey_entry(module, function) for function in names]
    except vm.Fault as fault:
        raise UsageError(str(fault)) from None
    console.print(f"{file}: PTX {module.version}, {module.target}, {count(len(names), 'kernel')}")
    for found in surveys:
        console.print(describe_survey(found))
    if json_file is not None:
        write_text(json_file, json.dumps([_survey_json(found) for found in surveys], indent=1))
    return int(any(found.unsupported for found in surveys))


def describe_survey(found: EntrySurvey) -> str:
    """An entry, its parameters and directives, and what is unsupported."""
    facts = [f"{found.instructions:,} instructions", f"{found.shared:,} bytes of shared memory"]
    if found.dynamic_shared:
        facts[-1] += " and dynamic (--shared)"
    facts += [f"{k} {'x'.join(map(str, v))}" for k, v in found.function.directives.items() if v]
    lines = [f"\n{describe_parameters(found.function)}", f"  {', '.join(facts)}"]
    lines += [f"  unsupported: {item.message} at {item.place}" for item in found.unsupported]
    if not found.unsupported:
        lines.append("  every instruction is supported")
    return "\n".join(lines)


def _survey_json(found: EntrySurvey) -> dict[str, Any]:
    return {
        "entry": found.function.name,
        "parameters": [
            {"name": p.name.split("#")[0], "type": p.type, "size": p.size, "align": p.align}
            for p in found.function.params
        ],
        "directives": {k: list(v) for k, v in found.function.directives.items()},
        "instructions": found.instructions,
        "shared": found.shared,
        "dynamic_shared": found.dynamic_shared,
        "unsupported": [
            {"message": u.message, "line": u.place.line if u.place else None}
            for u in found.unsupported
        ],
    }
