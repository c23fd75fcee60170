"""`tilewright doctor`: a table of what the machine has and what to do about what is missing.

It exits with 0 where the cpu target and the virtual machine work (a GPU, its driver and a torch for
it may be missing), and with 1 where something that they need is missing.
"""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from tilewright.runtime.doctor import Finding, examine_machine

_COLORS = {"ok": "green", "absent": "yellow", "missing": "red"}


def doctor() -> None:
    """Say what this machine has (GPU, compilers, SIMD, cache) and how to get what is missing.

    Exits with 1 where the cpu target or the virtual machine cannot work.
    """
    findings = examine_machine()
    console = Console()
    console.print(_table(findings))
    missing = [finding.thing for finding in findings if finding.state == "missing"]
    if missing:
        console.print(f"[red]something will not work:[/red] {', '.join(missing)}")
    else:
        console.print("[green]nothing that this machine could use is missing[/green]")
    if any(finding.needed for finding in findings):
        raise typer.Exit(1)


def _table(findings: list[Finding]) -> Table:
    table = Table(title="tilewright doctor", title_justify="left")
    for column in ("", "state", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        color = _COLORS[finding.state]
        state = f"[{color}]{finding.state}[/{color}]"
        table.add_row(finding.thing, state, _plain(finding.found), _plain(finding.remedy))
    return table


def _plain(text: str) -> str:
    """`text` with its square brackets kept: rich would read `[sass]` as a style."""
    return text.replace("[", r"\[")
