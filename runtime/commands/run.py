"""`tilewright run FILE.tile --arg …`: compile a kernel from IR text and run it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich import print as show

from tilewright.ir.kernel import Kernel
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_type
from tilewright.ir.values import TensorType, Value
from tilewright.ir.verifier import verify
from tilewright.runtime.bindings import torch
from tilewright.runtime.commands.argument_text import describe, parse_arguments
from tilewright.runtime.compile import compile_kernel
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.overlap import find_written
from tilewright.runtime.tensors import PackedTensor, classify


def run(
    file: Annotated[Path, typer.Argument(help="A kernel as IR text.")],
    arg: Annotated[list[str], typer.Option(help="name=dtype:shape:fill or name=number.")] = [],  # noqa: B006
    target: Annotated[str, typer.Option(help="cpu, sm_80, vm:sm_80, interpret, …")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of random fills.")] = 0,
    check: Annotated[bool, typer.Option(help="Compare with the interpreter.")] = False,
) -> None:
    """Compile a kernel from IR text and run it on arguments made on the spot."""
    kernel = parse_kernel(read_text(file), str(file))
    verify(kernel)
    arguments = parse_arguments(arg, seed)
    report = launch_text(kernel, arguments, target)
    for index in find_written(kernel):
        name = kernel.params[index].name
        show(f"{name}: {describe(arguments[name])}")
    if check:
        compare(kernel, arguments, arg, seed)
    if report is not None:
        typer.echo(str(report))  # PTX has square brackets, which rich would read as styles


def read_text(file: Path) -> str:
    """The text of `file`; LaunchError where it cannot be read."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchError(
            f"cannot read {file}: {error}", "give a file of IR text, as inspect prints it"
        ) from None


def launch_text(kernel: Kernel, arguments: dict[str, Any], target: str) -> Any:
    """Launch a parsed kernel on named arguments, whose classes must be those of its types."""
    ordered = [_argument(param, arguments) for param in kernel.params]
    return compile_kernel(kernel, target).launch(ordered)


def _argument(param: Value, arguments: dict[str, Any]) -> Any:
    if param.name not in arguments:
        raise LaunchError(f"{param.name} is missing", f"--arg {param.name}=f32:128x64:randn")
    value = arguments[param.name]
    if isinstance(param.type, TensorType):
        have = classify(value)
        if not _fits(have, param.type):
            raise LaunchError(
                f"{param.name} is {print_type(have)}, the kernel wants {print_type(param.type)}"
            )
    return value


def _fits(have: TensorType, want: TensorType) -> bool:
    strides = zip(have.strides, want.strides, strict=False)
    extents = zip(have.extents, want.extents, strict=False)
    return (
        have.dtype == want.dtype
        and have.rank == want.rank
        and (have.aligned or not want.aligned)
        and all(w in ("any", h) or (w == "x16B" and h == "0") for h, w in strides)
        and all(w in ("any", h) for h, w in extents)
    )


def compare(kernel: Kernel, arguments: dict[str, Any], texts: list[str], seed: int) -> None:
    """Run the interpreter on fresh equal arguments and print how far the results are apart."""
    wanted = parse_arguments(texts, seed)
    launch_text(kernel, wanted, "interpret")
    for index in find_written(kernel):
        name = kernel.params[index].name
        have, want = arguments[name], wanted[name]
        if isinstance(have, PackedTensor):
            same = torch().equal(have.storage, want.storage)
            show(f"{name}: bytes {'equal' if same else 'differ'}")
            continue
        apart, norm = (have.double() - want.double()).norm(), want.double().norm()
        show(f"{name}: {float(apart / norm) if norm else float(apart):.3g} from the interpreter")
