"""The `tilewright` command. Each subcommand is a function in its own file under `commands/`.

Errors that a user can cause print as their message, without a traceback. Exit codes: 0 success;
1 it did not work, or the virtual machine found something wrong; 2 the command line cannot be read
or does not fit the file that it names.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from tilewright.ir.diagnostics import TilewrightError
from tilewright.runtime.commands.cache import cache
from tilewright.runtime.commands.doctor import doctor
from tilewright.runtime.commands.inspect import inspect
from tilewright.runtime.commands.layout import layout
from tilewright.runtime.commands.run import run
from tilewright.runtime.commands.vm_check import check as vm_check
from tilewright.runtime.commands.vm_run import run as vm_run
from tilewright.runtime.errors import UsageError

COMMANDS: tuple[Callable[..., Any], ...] = (cache, doctor, inspect, layout, run)

app = typer.Typer(
    name="tilewright",
    help="Write GPU kernels at the level of tiles; run them on GPUs, CPUs and a virtual machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(command)

machine = typer.Typer(
    name="vm",
    help="Run or check PTX, from any compiler, on the virtual machine.",
    no_args_is_help=True,
)
machine.command("run")(vm_run)
machine.command("check")(vm_check)
app.add_typer(machine)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tilewright {_version()}")
        raise typer.Exit


def _version() -> str:
    try:
        return importlib.metadata.version("tilewright")
    except importlib.metadata.PackageNotFoundError:
        return "(a checkout that is not installed)"


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options before the subcommand."""


def main() -> None:
    """The console script: run the app, and print our errors as messages."""
    try:
        app()
    except TilewrightError as error:
        console = Console(stderr=True, soft_wrap=True)
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        sys.exit(2 if isinstance(error, UsageError) else 1)
