"""Loops and branches: carried scalars are variables, carried tiles are arrays.

The body's arguments name the variables; `yield`, `break` and `continue` assign them, all at once:
a value that another assignment of the same step overwrites is copied out first.
"""

from __future__ import annotations

from tilewright.codegen.cpu.dtypes import held_type
from tilewright.codegen.cpu.emitter import Emitter, statement, tile_of
from tilewright.codegen.cpu.loops import fill_array
from tilewright.codegen.cpu.matmul import emit_contraction, emit_group
from tilewright.codegen.cpu.places import Array
from tilewright.codegen.cpu.plan import RENAMED, aliased, is_tile
from tilewright.codegen.cpu.rows import settle
from tilewright.codegen.cpu.sharing import loop_arguments
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import Break, Condition, Continue, For, If, While, Yield
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.sync import Pend, Wait
from tilewright.ir.values import ScalarType, TokenType, Value


def _check_carried(values: tuple[Value, ...], item: Instruction) -> None:
    for value in values:
        if not (is_tile(value) or isinstance(value.type, (ScalarType, TokenType))):
            raise LanguageError(
                f"{item.mnemonic} carries a {type(value.type).__name__} on the cpu target",
                "carry its index instead",
                location=item.location,
            )


def _begin(emitter: Emitter, item: For | While) -> None:
    """Variables and arrays of the carried values, with their initial values."""
    _check_carried(item.init, item)
    groups = loop_arguments(item)
    for place, first in enumerate(item.init):
        arg = groups[0][place]
        for other in groups[1:]:
            emitter.names.given[other[place]] = emitter.names.of(arg)
        if isinstance(arg.type, ScalarType):
            kind = held_type(arg.type.dtype)
            emitter.out.line(f"{kind} {emitter.names.of(arg)} = {emitter.scalar(first)};")
        elif is_tile(arg) and emitter.array(arg) is not _array_of(emitter, first):
            fill_array(emitter, first, emitter.array(arg))


def _array_of(emitter: Emitter, value: Value) -> Array | None:
    return None if value in emitter.plan.virtual else emitter.array(value)


def _end(emitter: Emitter, item: For | While) -> None:
    """Results are the variables' last values."""
    for result, arg in zip(item.results, loop_arguments(item)[0], strict=True):
        if isinstance(result.type, ScalarType):
            emitter.define_scalar(result, emitter.names.of(arg))


@statement(For)
def emit_for(emitter: Emitter, item: For) -> None:
    """A C++ `for`; or one contraction."""
    if emitter.grouping is not None and emitter.grouping.contraction.loop is item:
        emit_group(emitter, emitter.grouping)
        return
    _begin(emitter, item)
    if item in emitter.contractions:
        emit_contraction(emitter, emitter.contractions[item])
        return
    index = item.body.args[0]
    assert isinstance(index.type, ScalarType)
    name, kind = emitter.names.of(index), held_type(index.type.dtype)
    low, high, step = (emitter.scalar(v) for v in (item.low, item.high, item.step))
    test = f"{name} < {high}"
    known = emitter.plan.definition.get(item.step)
    if isinstance(known, Const) and known.value < 0:
        test = f"{name} > {high}"
    elif not isinstance(known, Const):
        test = f"({step} > 0 ? {name} < {high} : {name} > {high})"
    head = f"for ({kind} {name} = {low}; {test}; {name} = tw::add({name}, {step}))"
    emitter.carried.append(item.body.args[1:])
    with emitter.out.block(head):
        _run(emitter, item.body)
    emitter.carried.pop()
    _end(emitter, item)


@statement(While)
def emit_while(emitter: Emitter, item: While) -> None:
    """An endless loop that the condition leaves."""
    _begin(emitter, item)
    emitter.carried.append(item.before.args)
    with emitter.out.block("for (;;)"):
        emitter.emit_body(item.before)
        end = item.before.terminator
        assert isinstance(end, Condition)
        emitter.out.line(f"if (!{emitter.scalar(end.holds)}) break;")
        _run(emitter, item.after)
    emitter.carried.pop()
    _end(emitter, item)


@statement(If)
def emit_if(emitter: Emitter, item: If) -> None:
    """A C++ `if`; results are variables that both branches assign."""
    _check_carried(item.results, item)
    for result in item.results:
        if isinstance(result.type, ScalarType):
            kind = held_type(result.type.dtype)
            emitter.out.line(f"{kind} {emitter.names.of(result)} = {kind}();")
        elif is_tile(result):
            emitter.array(result)
    condition = emitter.scalar(item.condition)
    with emitter.out.block(f"if ({condition})"):
        _run(emitter, item.yes, item.results)
    if len(item.no.instructions) > 1 or item.results or not isinstance(item.no.terminator, Yield):
        with emitter.out.block("else"):
            _run(emitter, item.no, item.results)


def _run(emitter: Emitter, body: Body, results: tuple[Value, ...] | None = None) -> None:
    """A body and its terminator; `results` are a branch's, else the loop's carried values."""
    emitter.emit_body(body)
    end = body.terminator
    targets = emitter.carried[-1] if results is None or not isinstance(end, Yield) else results
    _assign(emitter, targets, end.operand_values)
    if isinstance(end, Break):
        emitter.out.line("break;")
    elif isinstance(end, Continue):
        emitter.out.line("continue;")


def _assign(emitter: Emitter, targets: tuple[Value, ...], values: tuple[Value, ...]) -> None:
    """targets = values, at once."""
    pairs = list(zip(targets, values, strict=True))
    scalars = [(t, v) for t, v in pairs if isinstance(t.type, ScalarType)]
    tiles = [(t, v) for t, v in pairs if is_tile(t) and not _is_settled(emitter, t, v)]
    names = []
    for target, value in scalars:
        name = emitter.scalar(value)
        if len(scalars) > 1:
            name = emitter.names.fresh("next")
            emitter.out.line(f"const auto {name} = {emitter.scalar(value)};")
        names.append((emitter.names.of(target), name))
    written = {emitter.plan.leader(t) for t, _ in tiles}
    sources: list[Value | Array] = []
    for _, value in tiles:
        reads = _reads(emitter, value)
        sources.append(_copy(emitter, value) if reads & written else value)
    for (target, _), source in zip(tiles, sources, strict=True):
        _fill(emitter, target, source)
    for target_name, name in names:
        if target_name != name:
            emitter.out.line(f"{target_name} = {name};")


def _is_settled(emitter: Emitter, target: Value, value: Value) -> bool:
    same = emitter.plan.leader(target) is emitter.plan.leader(value)
    return same and value not in emitter.plan.virtual


def _reads(emitter: Emitter, value: Value) -> set[Value]:
    """The arrays (by leader) that a tile is read from."""
    item = emitter.plan.definition.get(value)
    if value not in emitter.plan.virtual:
        return {emitter.plan.leader(value)}
    if isinstance(item, (Wait, Pend)):
        return _reads(emitter, aliased(item, value))
    assert isinstance(item, RENAMED)
    return {leader for v in item.operand_values if is_tile(v) for leader in _reads(emitter, v)}


def _copy(emitter: Emitter, value: Value) -> Array:
    """A copy of a tile in an array of its own."""
    if value in emitter.plan.virtual:
        return settle(emitter, value)
    kind = tile_of(value)
    array = emitter.local("next", emitter.array(value).ctype, kind)
    fill_array(emitter, value, array)
    return array


def _fill(emitter: Emitter, target: Value, source: Value | Array) -> None:
    array = emitter.array(target)
    if isinstance(source, Value):
        fill_array(emitter, source, array)
        return
    nest = emitter.nest(array.shape, lambda nest, value, index: nest.index[0])
    element = emitter.array_element(source, nest.index).text
    nest.add(emitter.put(array, nest.index, element))
    nest.write()
