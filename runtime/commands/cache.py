"""`tilewright cache`: where built kernels are kept, how much they take, and clearing them."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tilewright.runtime.cache import check_writable, list_entries

_MEGABYTE = 1 << 20


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove every built kernel.")] = False,
) -> None:
    """Show how much the cache of built kernels holds, or clear it."""
    root = check_writable()
    entries = list_entries(root)
    console = Console()
    console.print(_table(root, entries))
    if clear:
        for entry in entries:
            shutil.rmtree(entry, ignore_errors=True)
        console.print(f"removed {len(entries)} entries")


def _table(root: Path, entries: list[Path]) -> Table:
    kinds: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        sizes = (path.stat().st_size for path in entry.iterdir() if path.is_file())
        kinds[entry.parent.name].append(sum(sizes))
    table = Table(title=str(root), title_justify="left")
    table.add_column("kind")
    table.add_column("entries", justify="right")
    table.add_column("MB", justify="right")
    for kind, found in sorted(kinds.items()):
        table.add_row(kind, str(len(found)), f"{sum(found) / _MEGABYTE:.1f}")
    return table
