"""`tilewright doctor`: a table of what the machine has and what to do about what is missing."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tilewright.runtime.doctor import Finding, examine_machine

_COLORS = {"ok": "green", "absent": "yellow", "missing": "red"}


def doctor() -> None:
    """Say what this machine has (GPU, compilers, SIMD, cache) and how to get what is missing."""
    findings = examine_machine()
    console = Console()
    console.print(_table(findings))
    missing = [finding.thing for finding in findings if finding.state == "missing"]
    if missing:
        console.print(f"[red]something will not work:[/red] {', '.join(missing)}")
    else:
        console.print("[green]nothing that this machine could use is missing[/green]")


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
