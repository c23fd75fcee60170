"""Capture: a Python function becomes a kernel in phase `tile`. Its syntax tree is read, never run.

    def scale(x: tw.Tensor, n: tw.Static = 64):       kernel @scale(%x: tensor<f32, …>) {
        i = tw.grid(tw.cdiv(x.shape[0], n))             %x_extent0: i32 = extent %x, axis=0
        t = tw.load(x, i * n, n)                        …
        tw.store(x, i * n, t * 2.0)               →     for_tiles [%3] (%i: i32) { … }
                                                        yield []
                                                      }

Statements before `tw.grid` that the host can compute (sizes, arithmetic on scalars) stay ahead of
`for_tiles`; everything else moves into its body, to be done by every block.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tilewright.frontend import functions
from tilewright.frontend.annotations import InlineFunction
from tilewright.frontend.context import Context, Frame, Grid
from tilewright.frontend.inline import call_inline
from tilewright.frontend.outside import admit, source_key, static_key
from tilewright.frontend.source import Source, read_source
from tilewright.frontend.statements import execute
from tilewright.frontend.values import Binding, Flow, Names, Record
from tilewright.ir.awaited import check_awaited
from tilewright.ir.diagnostics import LanguageError, TilewrightError
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.control import ForTiles, If
from tilewright.ir.instructions.elementwise import Binary, Cast, Compare, Fma, Select, Unary
from tilewright.ir.instructions.scalar import Const, Extent, Stride
from tilewright.ir.kernel import Builder, Kernel
from tilewright.ir.types import DType, i32
from tilewright.ir.values import ScalarType, TensorType, Value

ArgumentSpec = Any
"""What an argument is: a TensorType, a ScalarType, a static, None, or a mapping of a dataclass's
fields to these."""

HOST = (Const, Extent, Stride, Unary, Binary, Compare, Fma, Select, Cast)
"""Instructions on scalars that the host computes before the launch."""


def capture(
    function: Callable[..., Any],
    arguments: Mapping[str, ArgumentSpec],
    *,
    index_dtype: DType = i32,
    name: str | None = None,
) -> Kernel:
    """The kernel that `function` describes for these arguments.

    `arguments` says what each parameter is; one that is absent takes its default. Parameters of the
    kernel stand in the order of the signature, dataclasses flattened: `q.codes` is `q_codes`. All
    indices are scalars of `index_dtype` (i32 or i64).
    """
    source = read_source(function)
    names, params = _bind(source, arguments)
    head = Builder()
    frame = Frame(source, names, head)
    c = Context(index_dtype, frame, head, call_inline, parameters=frozenset(params))
    c.frames.append(frame)
    try:
        _run(c, source)
        body = _assemble(c, head)
        kernel = Kernel(name or source.name, type(body)(params, body.instructions))
        check_awaited(kernel)
    except TilewrightError as error:
        raise error.with_traceback(None) from None
    return kernel


def _bind(source: Source, arguments: Mapping[str, ArgumentSpec]) -> tuple[Names, tuple[Value, ...]]:
    """The names of the parameters, and the kernel's parameters in order."""
    signature = inspect.signature(source.function)
    unknown = [name for name in arguments if name not in signature.parameters]
    if unknown:
        raise LanguageError(f"{source.name} has no parameter {unknown[0]}")
    names: Names = {}
    params: list[Value] = []
    for name, parameter in signature.parameters.items():
        if name in arguments:
            spec = arguments[name]
        elif parameter.default is not inspect.Parameter.empty:
            spec = parameter.default
        else:
            raise LanguageError(f"{source.name} misses its argument {name}")
        names[name] = Binding(_parameter(name, spec, params), None)
    return names, tuple(params)


def _parameter(name: str, spec: ArgumentSpec, params: list[Value]) -> Any:
    """What a parameter stands for; tensors and scalars are added to `params`."""
    if isinstance(spec, (TensorType, ScalarType)):
        params.append(Value(spec, name))
        return params[-1]
    if isinstance(spec, Mapping):
        fields = {f: _parameter(f"{name}_{f}", held, params) for f, held in spec.items()}
        return Record(name, fields)
    return admit(spec, name)


def _run(c: Context, source: Source) -> None:
    flow = execute(c, source.tree.body)
    assert flow in (Flow.NEXT, Flow.RETURN), flow


def _assemble(c: Context, head: Builder) -> Any:
    """Prologue, `for_tiles` around the rest, and the end."""
    grid = c.grid or Grid((), (), "row_major", 0, None)
    host, block = _split(head.instructions[: grid.start])
    known = {v for i in (*c.prologue.instructions, *host) for v in i.results} | c.parameters
    for extent in grid.extents:
        if extent not in known:
            raise LanguageError(
                "an extent of the grid is computed by blocks, and the host launches them",
                "compute it from sizes of tensors and scalar arguments",
                location=grid.location,
            )
    body = Builder([*block, *head.instructions[grid.start :]])
    prologue = Builder([*c.prologue.instructions, *host], location=grid.location)
    made = c.close(body)
    tiles = ForTiles(
        extents=grid.extents, body=type(made)(grid.indices, made.instructions), order=grid.order
    )
    prologue.add(tiles)
    return c.close(prologue)


def _split(before: list[Instruction]) -> tuple[list[Instruction], list[Instruction]]:
    """Instructions before `tw.grid`: those that the host computes, and those that blocks do."""
    blocks: set[Value] = set()
    host: list[Instruction] = []
    rest: list[Instruction] = []
    for item in before:
        scalar = all(isinstance(v.type, ScalarType) for v in item.results)
        own = isinstance(item, HOST) and scalar and not blocks & set(item.operand_values)
        if own:
            host.append(item)
            continue
        if isinstance(item, If) or any(e.action in ("write", "atomic") for e in item.effects()):
            raise LanguageError(
                f"{item.mnemonic} before tw.grid: every block would do it",
                "open the grid first",
                location=item.location,
            )
        rest.append(item)
        blocks.update(item.results)
    return host, rest


__all__ = ["ArgumentSpec", "InlineFunction", "capture", "functions", "source_key", "static_key"]
