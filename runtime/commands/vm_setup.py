"""What `tilewright vm run` and `vm check` share: the options, and from them a launch to repeat."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tilewright.runtime import vm
from tilewright.runtime.commands.vm_parameters import assign
from tilewright.runtime.commands.vm_values import Made, make_values
from tilewright.runtime.errors import UsageError
from tilewright.runtime.vm.parser import parse
from tilewright.runtime.vm.records import Function, Module

_BINARIES = {
    b"\x7fELF": "a cubin (machine code)",
    b"\x50\xed\x55\xba": "a fat binary",
    b"BC\xc0\xde": "LLVM bitcode",
    b"\x93NUMPY": "a NumPy array",
}
_WORDS_OF_CUDA = ("__global__", "#include", "__device__", "<<<")
_BAD_INPUT = ("syntax", "launch")

File = Annotated[Path, typer.Argument(help="PTX text, from any compiler.")]
Entry = Annotated[str, typer.Option(help="The kernel; may be left out where there is one.")]
Grid = Annotated[str, typer.Option(help="Blocks, such as 4x2.")]
Block = Annotated[str, typer.Option(help="Threads of a block, such as 128.")]
Arg = Annotated[
    list[str],
    typer.Option(
        help="In order: dtype:shape:fill, FILE.npy, a number, dtype=number, bytes:HEX, or "
        "tensormap:dtype:shape:fill:box=64x64:swizzle=128; any of them after NAME=."
    ),
]
Cluster = Annotated[str, typer.Option(help="Blocks of a cluster, such as 2x1x1.")]
Shared = Annotated[int, typer.Option(help="Dynamic shared memory, bytes.")]
Seed = Annotated[int, typer.Option(help="Of random fills and of the order of events.")]
Json = Annotated[
    Path | None, typer.Option("--json", help="Also write what was found into this file.")
]


@dataclass(frozen=True)
class Setup:
    """A launch: everything but the values, which `make` makes anew for each run."""

    ptx: str
    entry: Function
    grid: tuple[int, ...]
    block: tuple[int, ...]
    cluster: tuple[int, ...]
    shared: int
    texts: tuple[str, ...]
    seed: int

    def make(self) -> list[Made]:
        """Fresh arguments, equal each time."""
        return make_values(self.texts, self.entry, self.seed)

    def run(self, made: Sequence[Made], *, seed: int, checks: str) -> vm.Report:
        """One run; what the command line got wrong is a UsageError, other faults are raised."""
        try:
            return vm.run(
                self.ptx, self.entry.name, self.grid, self.block, [m.value for m in made],
                cluster=self.cluster, shared=self.shared, seed=seed, checks=checks,
            )  # fmt: skip
        except vm.Fault as fault:
            if fault.kind in _BAD_INPUT:
                raise UsageError(str(fault)) from None
            raise
        except (ValueError, MemoryError) as error:
            raise UsageError(str(error) or "the launch needs more memory than there is") from None

    def hint(self, fault: vm.Fault) -> str | None:
        """What of the command line may explain a fault."""
        if self.shared or ".extern .shared" not in self.ptx or "shared" not in fault.message:
            return None
        return "the PTX declares dynamic shared memory (.extern .shared): give --shared BYTES"


def read_setup(
    file: Path, entry: str, grid: str, block: str, texts: Sequence[str], *, cluster: str = "1",
    shared: int = 0, seed: int = 0,
) -> Setup:  # fmt: skip
    """The launch that the options describe."""
    ptx = read_ptx(file)
    function = find_entry(parse_ptx(ptx), entry, file)
    if shared < 0 or seed < 0:
        name, value = ("--shared", shared) if shared < 0 else ("--seed", seed)
        raise UsageError(f"{name} {value} is negative", f"write {name} 0 or more")
    assign(texts, function)  # what is missing is listed before other options are asked for
    required = "x".join(map(str, function.directives.get("reqntid", ())))
    shapes = [
        read_shape("--grid", grid, "4x2"),
        read_shape("--block", block or required, "128"),
        read_shape("--cluster", cluster, "2x1x1"),
    ]
    return Setup(ptx, function, shapes[0], shapes[1], shapes[2], shared, tuple(texts), seed)


def read_ptx(file: Path) -> str:
    """The text of a PTX file; UsageError names what else it is."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read {file}: {reason}", "give a file of PTX text") from None
    for magic, what in _BINARIES.items():
        if raw.startswith(magic):
            raise UsageError(
                f"{file} is {what}, not PTX text", "compile with nvcc -ptx -lineinfo instead"
            )
    try:
        text = raw.decode().replace("\r\n", "\n").rstrip("\0")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is binary, not PTX text", "give a file of PTX text") from None
    if ".version" not in text:
        cuda = any(word in text for word in _WORDS_OF_CUDA)
        what = "CUDA C++, not PTX" if cuda else "no PTX: it has no .version"
        fix = f"compile it: nvcc -ptx -arch=sm_90a -lineinfo {file.name}"
        raise UsageError(f"{file} is {what}", fix if cuda else "give a file of PTX text")
    return text


def parse_ptx(text: str) -> Module:
    """The parsed file; a syntax error is the command line's."""
    try:
        return parse(text)
    except vm.Fault as fault:
        raise UsageError(str(fault)) from None


def find_entry(module: Module, name: str, file: Path) -> Function:
    """The entry `name`, or the only one."""
    entries = {f.name: f for f in module.functions.values() if f.is_entry and not f.is_extern}
    if not entries:
        raise UsageError(f"{file} has no .entry: no kernel to run", "compile a __global__ function")
    if not name and len(entries) == 1:
        return next(iter(entries.values()))
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=3, cutoff=0.5)
    near += [e for e in entries if name and name in e and e not in near]
    what = f"{file} has no entry {name!r}" if name else f"{file} has {len(entries)} entries"
    shown = near or list(entries)
    more = f", … ({len(entries)} in all)" if len(shown) > 8 else ""
    raise UsageError(what, f"choose --entry {', '.join(shown[:8])}{more}")


def read_shape(option: str, text: str, example: str) -> tuple[int, ...]:
    """`4x2`: one to three positive extents."""
    parts = text.replace(",", "x").split("x")
    good = 1 <= len(parts) <= 3 and all(p.isascii() and p.isdigit() and int(p) for p in parts)
    if not good:
        what = f"{option} {text}: one to three positive extents" if text else f"{option} is missing"
        raise UsageError(what, f"write {option} {example}")
    return tuple(int(part) for part in parts)
