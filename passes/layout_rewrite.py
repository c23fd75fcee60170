"""Writes chosen layouts into a kernel and inserts `convert` where an instruction needs another.

Every operand of every instruction has one layout that makes the instruction a matter of registers
(`layout_wants`). A result that an instruction gives in another layout than its group's is converted
behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import For, While
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.instructions.shape import Convert
from tilewright.ir.kernel import Builder, Environment, Kernel, substitute
from tilewright.ir.layout import Layout
from tilewright.ir.values import PendingType, TileType, Type, Value, element_type, tile_type
from tilewright.passes.layout_groups import tile_of
from tilewright.passes.layout_relations import normal
from tilewright.passes.layout_wants import Scope, Solution, Wants, find_wants


def rewrite_layouts(kernel: Kernel, solution: Solution) -> Kernel:
    """`kernel` with layouts on all tiles and converts in front of operands that need another."""
    body = _Rewriter(solution).body(kernel.body, Scope(solution, solution.warps))
    return replace(kernel, body=body)


@dataclass
class _Rewriter:
    """`environment` maps values to those with layouts; definitions come before uses."""

    solution: Solution
    environment: Environment = field(default_factory=dict)

    def body(self, body: Body, scope: Scope) -> Body:
        args = tuple(self._retype(a) for a in body.args)
        builder = Builder()
        for old in body.instructions:
            builder.location = old.location
            item = substitute(old, self.environment)
            results = tuple(self._retype(r) for r in old.results)
            if old.nested:
                item = self._nested(item, results, scope)
            given = _place(item, results, scope, builder)
            self.environment.update(
                (was, now) for was, now in zip(old.results, given, strict=True) if was is not now
            )
        return builder.body(args)

    def _retype(self, value: Value) -> Value:
        kind = tile_of(value)
        if kind is None:
            return value
        laid = kind.with_layout(self.solution.layout(value).with_bits(kind.dtype.bits))
        wanted: Type = PendingType(laid) if isinstance(value.type, PendingType) else laid
        made = Value(wanted, value.name)
        self.environment[value] = made
        self.solution.old[made] = value
        return made

    def _nested(self, item: Instruction, results: tuple[Value, ...], scope: Scope) -> Instruction:
        loop = results if isinstance(item, (For, While)) else scope.loop
        inner = replace(scope, branch=results, loop=loop)
        changes: dict[str, object] = {}
        for spec in item.specs:
            held = getattr(item, spec.name)
            if spec.kind == "body":
                changes[spec.name] = self.body(held, inner)
            elif spec.kind == "bodies":
                counts = item.warps if isinstance(item, Roles) else (scope.warps,) * len(held)
                changes[spec.name] = tuple(
                    self.body(b, Scope(self.solution, warps))
                    for b, warps in zip(held, counts, strict=True)
                )
        return replace(item, **changes)  # type: ignore[arg-type]


def _place(
    item: Instruction, results: tuple[Value, ...], scope: Scope, builder: Builder
) -> tuple[Value, ...]:
    """Append `item`, its operands converted; gives its results in the layouts of `results`."""
    wanted, given = find_wants(item, results, scope)
    item = _convert_operands(item, wanted, builder)
    made = tuple(
        v if layout is None or _same(layout, v.type) else Value(_laid(v, layout), v.name)
        for v, layout in zip(results, given or (None,) * len(results), strict=True)
    )
    builder.append(replace(item, results=made))
    return tuple(
        now if now is was else _convert(now, tile_type(was).layout, builder)
        for now, was in zip(made, results, strict=True)
    )


def _same(layout: Layout, kind: Type) -> bool:
    have = kind.tile.layout if isinstance(kind, PendingType) else kind.layout  # type: ignore[union-attr]
    return have is not None and normal(have) is normal(layout)


def _laid(value: Value, layout: Layout) -> Type:
    kind = tile_type(value)
    return kind.with_layout(layout.with_bits(kind.dtype.bits))


def _convert(value: Value, layout: Layout | None, builder: Builder) -> Value:
    assert layout is not None
    wanted = layout.with_bits(element_type(value).bits)
    return builder.value(Convert(operand=value, layout=wanted), value.name)


def _convert_operands(item: Instruction, wants: Wants, builder: Builder) -> Instruction:
    """`item` with every operand that wants another layout converted, once per layout."""
    left: dict[Value, list[Layout]] = {}
    for value, layout in wants:
        left.setdefault(value, []).append(layout)
    made: dict[tuple[Value, Layout], Value] = {}

    def take(value: Value | None) -> Value | None:
        if value is None or value not in left or not isinstance(value.type, TileType):
            return value
        layout = left[value].pop(0) if len(left[value]) > 1 else left[value][0]
        if _same(layout, value.type):
            return value
        if (value, layout) not in made:
            made[value, layout] = _convert(value, layout, builder)
        return made[value, layout]

    changes: dict[str, object] = {}
    for spec in item.specs if left else ():
        held = getattr(item, spec.name)
        if spec.kind == "operand":
            changes[spec.name] = take(held)
        elif spec.kind == "operands":
            changes[spec.name] = tuple(take(v) for v in held)
    return replace(item, **changes)  # type: ignore[arg-type]
