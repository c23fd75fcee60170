"""Measures ours and its peers in one run, alternating, and reports medians and ratios.

Machines are noisy, so a single time says little: contestants take turns, call by call, and what
counts is the ratio of their medians. Work that should come from memory rotates over copies of its
inputs that together exceed several times the last-level cache.
"""

from __future__ import annotations

import csv
import datetime
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

Contestant = Callable[[int], object]
"""Runs once; the argument counts the rounds, so that inputs can rotate."""


@dataclass(frozen=True)
class Row:
    """One measurement of ours against one peer; times in µs."""

    device: str
    versions: str
    date: str
    name: str
    shape: str
    ours_us: float
    peer: str
    peer_us: float
    ratio: float
    rate: str


def time_all(
    contestants: Mapping[str, Contestant],
    *,
    rounds: int = 15,
    warmup: int = 2,
    wait: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Median seconds of each contestant, alternating; `wait` returns when a device is done."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warmup + rounds):
        for name, run in contestants.items():
            wait()
            start = time.perf_counter()
            run(turn)
            wait()
            if turn >= warmup:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def compare(
    name: str,
    shape: str,
    seconds: Mapping[str, float],
    *,
    device: str,
    versions: str,
    rate: Callable[[float], str] = lambda _: "",
) -> list[Row]:
    """Rows of "ours" against every other contestant; the ratio is peer / ours (above 1: faster)."""
    ours = seconds["ours"]
    today = datetime.date.today().isoformat()
    peers = [peer for peer in seconds if peer != "ours"] or ["-"]
    rows = []
    for peer in peers:
        theirs = seconds.get(peer, float("nan"))
        numbers = (ours * 1e6, peer, theirs * 1e6, theirs / ours, rate(ours))
        rows.append(Row(device, versions, today, name, shape, *numbers))
    return rows


def show(title: str, rows: Sequence[Row]) -> None:
    """Rows as a table on the terminal."""
    table = Table(title=title)
    for column in ("what", "shape", "ours µs", "peer", "peer µs", "ratio", "rate"):
        table.add_column(column, justify="left" if column in ("what", "shape", "peer") else "right")
    for row in rows:
        table.add_row(
            row.name,
            row.shape,
            f"{row.ours_us:,.1f}",
            row.peer,
            f"{row.peer_us:,.1f}" if row.peer != "-" else "",
            f"{row.ratio:.2f}x" if row.peer != "-" else "",
            row.rate,
        )
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)


def write(path: Path, rows: Sequence[Row]) -> None:
    """Rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
