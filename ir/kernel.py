"""A kernel: parameters and one body. Walking it, building one, and transforming it by rebuilding.

Kernels are values: a pass returns a new one and shares what it did not touch. `rebuild` is the one
way passes rewrite: it walks bodies in order, keeps an environment from old to new values, and asks
a visitor what to put in place of each instruction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tilewright.ir.diagnostics import Location, TilewrightError
from tilewright.ir.instruction import Body, Instruction, Phase, with_results
from tilewright.ir.values import Type, Value


@dataclass(frozen=True, eq=False)
class Kernel:
    """`name(params) { body }` in one phase; `target` and `warps` once passes have chosen them."""

    name: str
    body: Body
    phase: Phase = "tile"
    target: str | None = None
    warps: int | None = None
    shared_bytes: int | None = None

    @property
    def params(self) -> tuple[Value, ...]:
        return self.body.args

    def walk(self) -> Iterator[Instruction]:
        """All instructions, outer before inner, in program order."""
        return walk(self.body)


def walk(body: Body) -> Iterator[Instruction]:
    """All instructions of `body` and of nested bodies, outer before inner, in program order."""
    for item in body.instructions:
        yield item
        for nested in item.nested:
            yield from walk(nested)


@dataclass
class Builder:
    """Appends instructions to a body under construction."""

    instructions: list[Instruction] = field(default_factory=list)
    location: Location | None = None

    def add(self, made: Instruction, *names: str) -> tuple[Value, ...]:
        """Append `made` with fresh results (named `names`); raises its errors at our location."""
        if made.location is None and self.location is not None:
            made = dataclasses.replace(made, location=self.location)
        try:
            made.check()
            placed = with_results(made, names)
        except TilewrightError as error:
            raise error.at(made.location) from None
        self.instructions.append(placed)
        return placed.results

    def value(self, made: Instruction, name: str = "") -> Value:
        """Like `add`, for instructions with exactly one result."""
        (result,) = self.add(made, name)
        return result

    def append(self, placed: Instruction) -> None:
        """Append an instruction that has its results already."""
        if placed.location is None and self.location is not None:
            placed = dataclasses.replace(placed, location=self.location)
        self.instructions.append(placed)

    def body(self, args: Sequence[Value] = ()) -> Body:
        return Body(tuple(args), tuple(self.instructions))


Environment = dict[Value, Value]
Visitor = Callable[[Instruction, Builder], Sequence[Value] | None]
"""Given an instruction whose operands are already new: None keeps it. Else it has been replaced:
the visitor appended what it wants to the builder and returns what stands for the results."""


def rebuild(kernel: Kernel, visit: Visitor, **changes: object) -> Kernel:
    """`kernel` with `visit` applied to each instruction, inner bodies first, and fields changed."""
    body = rebuild_body(kernel.body, visit, {})
    return dataclasses.replace(kernel, body=body, **changes)  # type: ignore[arg-type]


def rebuild_body(body: Body, visit: Visitor, environment: Environment) -> Body:
    """`body` with operands replaced by `environment` and `visit` applied."""
    builder = Builder()
    for old in body.instructions:
        builder.location = old.location
        item = substitute(old, environment)
        if item.nested:
            item = _with_bodies(item, lambda b: rebuild_body(b, visit, environment))
        put = visit(item, builder)
        if put is None:
            builder.append(item)
            put = item.results
        environment.update(
            (was, now) for was, now in zip(old.results, put, strict=True) if was is not now
        )
    return builder.body(tuple(environment.get(a, a) for a in body.args))


def substitute(item: Instruction, environment: Environment) -> Instruction:
    """`item` with its own operands replaced by `environment`; nested bodies are left alone."""
    if not any(v in environment for v in item.operand_values):
        return item
    changes: dict[str, object] = {}
    for spec in item.specs:
        held = getattr(item, spec.name)
        if spec.kind == "operand" and held is not None:
            changes[spec.name] = environment.get(held, held)
        elif spec.kind == "operands":
            changes[spec.name] = tuple(environment.get(v, v) for v in held)
    return dataclasses.replace(item, **changes)  # type: ignore[arg-type]


def _with_bodies(item: Instruction, change: Callable[[Body], Body]) -> Instruction:
    changes: dict[str, object] = {}
    for spec in item.specs:
        if spec.kind == "body":
            changes[spec.name] = change(getattr(item, spec.name))
        elif spec.kind == "bodies":
            changes[spec.name] = tuple(change(b) for b in getattr(item, spec.name))
    return dataclasses.replace(item, **changes)  # type: ignore[arg-type]


def map_types(kernel: Kernel, change: Callable[[Value], Type], **changes: object) -> Kernel:
    """`kernel` with the type of every value replaced by `change(value)`."""
    environment: Environment = {}

    def retype(value: Value) -> Value:
        wanted = change(value)
        if wanted != value.type:
            environment[value] = Value(wanted, value.name)
        return environment.get(value, value)

    def convert(body: Body) -> Body:
        args = tuple(retype(a) for a in body.args)
        made = []
        for old in body.instructions:
            item = substitute(old, environment)
            if item.nested:
                item = _with_bodies(item, convert)
            results = tuple(retype(r) for r in old.results)
            made.append(dataclasses.replace(item, results=results))
        return Body(args, tuple(made))

    return dataclasses.replace(kernel, body=convert(kernel.body), **changes)  # type: ignore[arg-type]


def clone_body(body: Body, environment: Environment) -> Body:
    """`body` with fresh values for everything it defines; `environment` is extended."""
    for arg in body.args:
        environment.setdefault(arg, Value(arg.type, arg.name))
    made = []
    for old in body.instructions:
        item = substitute(old, environment)
        if item.nested:
            item = _with_bodies(item, lambda b: clone_body(b, environment))
        results = tuple(Value(r.type, r.name) for r in old.results)
        environment.update(zip(old.results, results, strict=True))
        made.append(dataclasses.replace(item, results=results))
    return Body(tuple(environment[a] for a in body.args), tuple(made))


def definitions(kernel: Kernel) -> dict[Value, Instruction]:
    """The defining instruction of every result value (arguments of bodies have none)."""
    return {value: item for item in kernel.walk() for value in item.results}


def use_counts(kernel: Kernel) -> dict[Value, int]:
    """How often each value is used as an operand."""
    counts: dict[Value, int] = {}
    for item in kernel.walk():
        for value in item.operand_values:
            counts[value] = counts.get(value, 0) + 1
    return counts
