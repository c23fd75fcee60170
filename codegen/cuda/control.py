"""Structured control flow as C's own; carried values are variables, assigned at each `yield`."""

from __future__ import annotations

from collections.abc import Sequence

from tilewright.codegen.cuda.elements import stored_type
from tilewright.codegen.cuda.emitter import Emitter, emits
from tilewright.ir.diagnostics import InternalError
from tilewright.ir.instruction import Body
from tilewright.ir.instructions.control import (
    Break,
    Condition,
    Continue,
    For,
    ForTiles,
    If,
    While,
    Yield,
)
from tilewright.ir.values import (
    BarrierType,
    BufferType,
    PendingType,
    ScalarType,
    TensorType,
    TileType,
    TokenType,
    Value,
    element_type,
)

GROUP = 8
"""Rows of tiles that `order="grouped"` walks together, so that they share columns in L2."""


def declare_carried(e: Emitter, values: Sequence[Value]) -> None:
    """Variables for values that a body assigns; tokens need none."""
    for value in values:
        match value.type:
            case ScalarType() | TileType():
                e.declare(value)
            case PendingType(tile):
                pending = Value(tile, value.name)
                e.alias(value, e.declare(pending))
            case TokenType():
                e.alias(value, "")
            case TensorType() | BufferType() | BarrierType():
                raise InternalError(f"{value!r} cannot be carried by a loop")


def assign(e: Emitter, targets: Sequence[Value], sources: Sequence[Value]) -> None:
    """All targets at once: a source that an earlier assignment overwrites is saved first."""
    pairs = [(e.name(t), e.name(s), t) for t, s in zip(targets, sources, strict=True)]
    pairs = [(to, source, t) for to, source, t in pairs if to and to != source]
    for i, (to, _, target) in enumerate(pairs):
        if any(source == to for _, source, _ in pairs[i + 1 :]):
            saved = _save(e, to, target)
            pairs[i + 1 :] = [(a, saved if b == to else b, t) for a, b, t in pairs[i + 1 :]]
        _assign_one(e, to, pairs[i][1], target)


def _registers(e: Emitter, value: Value) -> int | None:
    match value.type:
        case TileType(layout=layout) | PendingType(TileType(layout=layout)):
            assert layout is not None
            return layout.size("reg")
        case _:
            return None


def _assign_one(e: Emitter, to: str, source: str, value: Value) -> None:
    count = _registers(e, value)
    if count is None:
        e.line(f"{to} = {source};")
        return
    with e.loop(count) as r:
        e.line(f"{to}[{r}] = {source}[{r}];")


def _save(e: Emitter, name: str, value: Value) -> str:
    kind = value.type.tile if isinstance(value.type, PendingType) else value.type
    saved = e.declare(Value(kind, f"{name}_old"))
    _assign_one(e, saved, name, value)
    return saved


def _emit_body(e: Emitter, body: Body, carried: Sequence[Value]) -> None:
    """A body whose `yield` (and only it) assigns `carried`."""
    for item in body.instructions[:-1]:
        e.instruction(item)
    end = body.terminator
    match end:
        case Yield():
            e.point(end.location)
            assign(e, carried, end.values)
        case Break() | Continue():
            e.point(end.location)
            assign(e, e.loops[-1], end.values)
            e.line("break;" if isinstance(end, Break) else "continue;")
        case _:
            raise InternalError(f"a body ends in {end.mnemonic}")


@emits(If)
def emit_if(item: If, e: Emitter) -> None:
    e.comment(item)
    declare_carried(e, item.results)
    with e.block(f"if ({e.name(item.condition)})"):
        _emit_body(e, item.yes, item.results)
    if (
        len(item.no.instructions) > 1
        or item.no.terminator.operand_values
        or not isinstance(item.no.terminator, Yield)
    ):
        with e.block("else"):
            _emit_body(e, item.no, item.results)


@emits(For)
def emit_for(item: For, e: Emitter) -> None:
    e.comment(item)
    index = item.body.args[0]
    declare_carried(e, item.results)
    assign(e, item.results, item.init)
    for arg, result in zip(item.body.args[1:], item.results, strict=True):
        e.alias(arg, e.name(result))
    name = e.fresh(index.name or "i")
    e.alias(index, name)
    low, high, step = (e.name(v) for v in (item.low, item.high, item.step))
    kind = stored_type(element_type(item.low))
    e.line(f"#pragma unroll {item.unroll}")
    e.loops.append(item.results)
    with e.block(f"for ({kind} {name} = {low}; {name} < {high}; {name} += {step})"):
        _emit_body(e, item.body, item.results)
    e.loops.pop()


@emits(While)
def emit_while(item: While, e: Emitter) -> None:
    e.comment(item)
    declare_carried(e, item.results)
    assign(e, item.results, item.init)
    for args in (item.before.args, item.after.args):
        for arg, result in zip(args, item.results, strict=True):
            e.alias(arg, e.name(result))
    e.loops.append(item.results)
    with e.block("while (true)"):
        for inner in item.before.instructions[:-1]:
            e.instruction(inner)
        end = item.before.terminator
        assert isinstance(end, Condition)
        e.line(f"if (!{e.name(end.holds)}) break;")
        _emit_body(e, item.after, item.results)
    e.loops.pop()


@emits(ForTiles)
def emit_for_tiles(item: ForTiles, e: Emitter) -> None:
    """One block per grid point, or resident blocks that walk over all points."""
    e.comment(item)
    if e.gridded:
        raise InternalError("a kernel has one for_tiles")
    e.gridded = True
    extents = [e.name(v) for v in item.extents]
    e.line(f"const long long tw_tiles = {' * '.join(f'(long long){x}' for x in extents) or '1'};")
    if item.persistent:
        head = "for (long long tw_tile = blockIdx.x; tw_tile < tw_tiles; tw_tile += gridDim.x)"
        with e.block(head):
            _emit_point(e, item, extents)
        return
    e.line("const long long tw_tile = blockIdx.x;")
    e.line("if (tw_tile >= tw_tiles) return;")
    _emit_point(e, item, extents)


def _emit_point(e: Emitter, item: ForTiles, extents: list[str]) -> None:
    names = []
    for arg in item.body.args:
        names.append(e.fresh(arg.name or "tile"))
        e.alias(arg, names[-1])
    kinds = [stored_type(element_type(arg)) for arg in item.body.args]
    axes = list(range(len(names)))
    rest = "tw_tile"
    if item.order == "grouped" and len(axes) >= 2:
        rest = _emit_grouped(e, names[-2:], kinds[-2:], extents[-2:], last=len(axes) == 2)
        axes = axes[:-2]
    sequence = axes if item.order == "column_major" else axes[::-1]
    for position, axis in enumerate(sequence):
        inner = f"({rest})"
        last = position == len(sequence) - 1
        value = rest if last else f"{rest} % {extents[axis]}"
        e.line(f"const {kinds[axis]} {names[axis]} = ({kinds[axis]})({value});")
        rest = f"{inner} / {extents[axis]}" if rest != "tw_tile" else f"tw_tile / {extents[axis]}"
    _emit_body(e, item.body, ())


def _emit_grouped(
    e: Emitter, names: list[str], kinds: list[str], extents: list[str], *, last: bool
) -> str:
    """GROUP rows at a time, all columns before the next rows; gives what is left of the number."""
    rows, columns = extents
    point = "tw_tile" if last else "tw_point"
    if not last:
        e.line(f"const long long tw_point = tw_tile % ((long long){rows} * {columns});")
    e.line(f"const long long tw_group = {point} / ({GROUP} * (long long){columns});")
    e.line(f"const long long tw_left = {rows} - tw_group * {GROUP};")
    e.line(f"const long long tw_height = tw_left < {GROUP} ? tw_left : {GROUP};")
    e.line(f"const long long tw_inside = {point} - tw_group * {GROUP} * (long long){columns};")
    e.line(
        f"const {kinds[0]} {names[0]} = ({kinds[0]})(tw_group * {GROUP} + tw_inside % tw_height);"
    )
    e.line(f"const {kinds[1]} {names[1]} = ({kinds[1]})(tw_inside / tw_height);")
    return f"tw_tile / ((long long){rows} * {columns})"


@emits(Yield)
def emit_yield(item: Yield, e: Emitter) -> None:
    """The end of the kernel's own body."""
