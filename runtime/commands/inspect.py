"""`tilewright inspect FILE.py:KERNEL --arg …`: a kernel at one stage of its path."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from tilewright.ir.parser import parse_kernel
from tilewright.runtime.commands.argument_text import parse_arguments
from tilewright.runtime.commands.run import read_text
from tilewright.runtime.compile import compile_kernel
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.inspect import show
from tilewright.runtime.kernel import KernelFunction


def inspect(
    kernel: Annotated[str, typer.Argument(help="FILE.py:NAME, or FILE.tile.")],
    arg: Annotated[list[str], typer.Option(help="name=dtype:shape:fill or name=number.")] = [],  # noqa: B006
    stage: Annotated[
        str, typer.Option(help="tile, laid_out, scheduled, target, cuda, cpp, ptx, sass, resources")
    ] = "tile",
    target: Annotated[str, typer.Option(help="sm_80, sm_90a or cpu.")] = "sm_80",
) -> None:
    """Print a kernel at one stage: its IR, the generated source, PTX, SASS, or resources."""
    if kernel.endswith(".tile"):
        made = compile_kernel(parse_kernel(read_text(Path(kernel)), kernel), target)
    else:
        made = load_kernel(kernel).compile(target=target, **parse_arguments(arg, 0))
    typer.echo(show(made, stage))


def load_kernel(text: str) -> KernelFunction:
    """The kernel NAME of FILE.py, which is imported."""
    file, colon, name = text.rpartition(":")
    path = Path(file)
    if not colon or not path.is_file():
        raise LaunchError(f"no kernel {text!r}", "write FILE.py:NAME or FILE.tile")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not isinstance(found, KernelFunction):
        known = [n for n, v in vars(module).items() if isinstance(v, KernelFunction)]
        raise LaunchError(f"{file} has no kernel {name}", f"it has {', '.join(known) or 'none'}")
    return found
