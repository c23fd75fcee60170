"""`tilewright vm run FILE.ptx …`: PTX on the virtual machine, once, with everything it found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any

import typer
from rich.console import Console

from tilewright.runtime import vm
from tilewright.runtime.annotate import draw_file
from tilewright.runtime.commands import vm_setup as options
from tilewright.runtime.commands.vm_setup import Setup, parse_ptx, read_setup
from tilewright.runtime.commands.vm_values import Made, Memory, save
from tilewright.runtime.errors import TilewrightError, UsageError
from tilewright.runtime.vm.devices import check_runs, resolve_device
from tilewright.runtime.vm.shapes import CHECKS


def run(
    file: options.File,
    entry: options.Entry = "",
    grid: options.Grid = "",
    block: options.Block = "",
    arg: options.Arg = [],  # noqa: B006
    cluster: options.Cluster = "1",
    shared: options.Shared = 0,
    seed: options.Seed = 0,
    checks: Annotated[str, typer.Option(help="all, off, late or early.")] = "all",
    save_arg: Annotated[
        list[str], typer.Option(help="INDEX:FILE.npy, an argument's array after the run.")
    ] = [],  # noqa: B006
    show_arg: Annotated[list[int], typer.Option(help="INDEX: print an array's elements.")] = [],  # noqa: B006
    json_file: options.Json = None,
    roofline: Annotated[str, typer.Option(help="Lower bounds of the time on H200, A100, …")] = "",
    timeline: Annotated[
        Path | None, typer.Option(help="Draw what happened when into a .html or .svg file.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="FILE.cu: show its lines with what each did (.loc).")
    ] = None,
) -> None:
    """Run PTX without a GPU: results, counters, races, faults. Exits with 1 on the last two."""
    setup = read_setup(
        file, entry, grid, block, arg, cluster=cluster, shared=shared, seed=seed
    )  # fmt: skip
    if checks not in CHECKS:
        raise UsageError(f"--checks {checks}", f"choose one of {', '.join(CHECKS)}")
    check_drawings(setup, roofline, timeline, checks)
    text = None if source is None else read_source(setup, source)
    made = setup.make()
    saved = [read_place(text, made) for text in save_arg]
    shown = [find_memory(index, made, f"--show-arg {index}") for index in show_arg]
    before = [m.memory.array.copy() if m.memory else None for m in made]
    report, fault = attempt(setup, made, seed=seed, checks=checks)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    print_findings(console, setup, report, fault)
    print_changes(console, made, before)
    if report is not None and fault is None:
        draw(console, report, roofline, timeline)
        if source is not None and text is not None:
            console.print(f"\n{draw_file(report, str(source), text)}")
    for memory in shown:
        console.print(str(memory.values()))
    for memory, path in saved:
        save(memory, path)
    if json_file is not None:
        write_json(json_file, report, fault)
    if fault is not None or (report is not None and report.races):
        raise typer.Exit(1)


def check_drawings(setup: Setup, roofline: str, timeline: Path | None, checks: str) -> None:
    """Refuse before the run what could not be drawn after it."""
    if (roofline or timeline) and checks == "off":
        option = "--roofline" if roofline else "--timeline"
        raise UsageError(f"{option} needs what --checks off does not record", "leave it out")
    if timeline is not None and timeline.suffix.lower() not in (".html", ".htm", ".svg"):
        raise UsageError(f"--timeline {timeline}: no .html or .svg file", "write run.html")
    if roofline:
        try:
            check_runs(parse_ptx(setup.ptx).target, resolve_device(roofline))
        except TilewrightError as error:
            raise UsageError(f"--roofline {roofline}: {error.message}", error.hint) from None
        except ValueError as error:
            raise UsageError(f"--roofline {roofline}: {error}") from None


def read_source(setup: Setup, file: Path) -> str:
    """The text of a source file that the PTX's line tables name."""
    known = sorted(set(parse_ptx(setup.ptx).files.values()))
    if file.name not in {PurePath(name).name for name in known}:
        raise UsageError(
            f"--source {file}: the PTX has no lines of it",
            f"it has those of {', '.join(known)}" if known else "compile with -lineinfo",
        )
    try:
        return file.read_text(errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from None


def draw(console: Console, report: vm.Report, roofline: str, timeline: Path | None) -> None:
    """The roofline below the report, the timeline into its file."""
    if roofline:
        console.print(str(report.roofline(roofline)))
    if timeline is not None:
        try:
            report.timeline().save(timeline)
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"cannot write {timeline}: {reason}") from None
        console.print(f"timeline drawn into {timeline}")


def attempt(
    setup: Setup, made: Sequence[Made], *, seed: int, checks: str
) -> tuple[vm.Report | None, vm.Fault | None]:
    """One run: its report, and the fault that ended it early."""
    try:
        return setup.run(made, seed=seed, checks=checks), None
    except vm.Fault as fault:
        return fault.report, fault


def print_findings(
    console: Console, setup: Setup, report: vm.Report | None, fault: vm.Fault | None
) -> None:
    """The kernel's own output, the report, and a verdict."""
    if report is not None:
        console.print("".join(report.output), end="")
        console.print(str(report))
    if fault is not None:
        console.print(f"fault: {fault}", style="red")
        if hint := setup.hint(fault):
            console.print(f"  = hint: {hint}")
        return
    races, warnings = len(report.races if report else ()), len(report.warnings if report else ())
    counts = f"{count(races, 'race')}, {count(warnings, 'warning')}"
    console.print(counts, style="red" if races else "yellow" if warnings else "green")


def count(number: int, what: str) -> str:
    """`no races`, `1 race`, `2 races`."""
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def print_changes(console: Console, made: Sequence[Made], before: Sequence[Any]) -> None:
    """One line for every argument that the run changed."""
    for index, (value, old) in enumerate(zip(made, before, strict=True)):
        if value.memory is not None and value.memory.array.tobytes() != old.tobytes():
            console.print(f"argument {index}, changed: {value.memory}")


def find_memory(index: int, made: Sequence[Made], option: str) -> Memory:
    """The array of argument `index`."""
    arrays = [i for i, m in enumerate(made) if m.memory is not None]
    memory = made[index].memory if 0 <= index < len(made) else None
    if memory is None:
        known = ", ".join(map(str, arrays)) or "none"
        raise UsageError(f"{option}: no array there", f"arguments with arrays: {known}")
    return memory


def read_place(text: str, made: Sequence[Made]) -> tuple[Memory, Path]:
    """`2:out.npy`."""
    index, colon, file = text.partition(":")
    if not colon or not file or not (index.isascii() and index.isdigit()):
        raise UsageError(f"cannot read --save-arg {text}", "write --save-arg 2:out.npy")
    return find_memory(int(index), made, f"--save-arg {text}"), Path(file)


def describe_fault(fault: vm.Fault | None) -> dict[str, Any] | None:
    """A fault for JSON."""
    if fault is None:
        return None
    names = ("kind", "message", "line", "source", "block", "warp", "lanes", "address")
    return {name: getattr(fault, name) for name in names}


def write_json(file: Path, report: vm.Report | None, fault: vm.Fault | None) -> None:
    """The report's JSON with the fault beside it."""
    found = json.loads(report.to_json()) if report else {}
    write_text(file, json.dumps({**found, "fault": describe_fault(fault)}, indent=1))


def write_text(file: Path, text: str) -> None:
    """Write a file; UsageError where that fails."""
    try:
        file.write_text(text)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}") from None
