"""What a compiled kernel looks like at each stage of its path."""

from __future__ import annotations

from collections.abc import Callable

from tilewright.ir.instructions.buffer import Alloc
from tilewright.ir.instructions.control import For
from tilewright.ir.printer import print_kernel
from tilewright.runtime.compile import Compiled
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.sass import disassemble

_LAST_PASS = {"laid_out": "infer_layouts", "scheduled": "insert_sync", "target": "select"}


def show(compiled: Compiled, stage: str) -> str:
    """The text of `stage`; LaunchError lists the stages that this target has."""
    makers = _makers(compiled)
    if stage not in makers:
        raise LaunchError(
            f"target {compiled.target} has no stage {stage!r}", f"choose one of {', '.join(makers)}"
        )
    return makers[stage]()


def _makers(compiled: Compiled) -> dict[str, Callable[[], str]]:
    makers: dict[str, Callable[[], str]] = {"tile": lambda: print_kernel(compiled.tile)}
    for stage, name in _LAST_PASS.items():
        if name in compiled.trace.kernels:
            kernel = compiled.trace.kernels[name]
            makers[stage] = lambda kernel=kernel: print_kernel(kernel)  # type: ignore[misc]
    source, binary = compiled.source, compiled.binary
    if source is not None:
        makers["cuda" if binary is not None else "cpp"] = lambda: source
    if binary is not None:
        makers["ptx"] = lambda: binary.ptx
        makers["sass"] = lambda: disassemble(binary.cubin)
        makers["resources"] = lambda: show_resources(compiled)
    return makers


def find_stages(compiled: Compiled) -> str | None:
    """The stages that the rings of buffers got, and how many the kernel asked for at most."""
    asked = {i.stages for i in compiled.tile.walk() if isinstance(i, For) and i.stages > 1}
    planned = compiled.trace.kernels.get("overlap")
    if not asked or planned is None:
        return None
    rings = (i for i in planned.walk() if isinstance(i, Alloc) and is_ring(i))
    got = sorted({item.shape[0] for item in rings})
    return f"{', '.join(map(str, got)) or 1} (asked: at most {max(asked)})"


def is_ring(item: Alloc) -> bool:
    """Whether `overlap` made this buffer a ring of stages."""
    return item.results[0].name.endswith("_ring")


def show_resources(compiled: Compiled) -> str:
    """Registers, spills and shared memory, one per line; shared memory is planned plus static."""
    found = compiled.resources
    assert found is not None
    rows = {
        "threads per block": compiled.threads,
        "registers per lane": found.registers,
        "spill stores": f"{found.spill_stores} bytes",
        "spill loads": f"{found.spill_loads} bytes",
        "shared memory": f"{compiled.shared + found.static_shared} bytes"
        f" ({compiled.shared} planned, {found.static_shared} static)",
        "stack": f"{found.stack} bytes",
    }
    if (stages := find_stages(compiled)) is not None:
        rows["pipeline stages"] = stages
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items()) + "\n"
