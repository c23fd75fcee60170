"""How an instruction is declared: a frozen record whose fields have kinds.

    @instruction("tile.reshape", phases=ANY)
    class Reshape(Instruction):
        "result[i] = operand[j], where i and j have the same row-major rank."
        operand: Value = operand()
        shape: tuple[int, ...] = attribute()

        def result(self) -> tuple[Type, ...]: ...
        def meaning(self, operand): ...

Everything else is derived from that one declaration: text form and parser (`ir.printer`,
`ir.parser`), walking, cloning, hashing (`ir.kernel`), checks (`ir.verifier`), the reference page.
Emission, layout demands and costs are tables elsewhere, keyed by the class.

Kinds: `operand()` one SSA value (or None when optional), `operands()` a tuple of them,
`attribute()` a compile-time constant, `body()` a nested body, `bodies()` several of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform

from tilewright.ir.diagnostics import Location
from tilewright.ir.values import Type, Value

Phase = Literal["tile", "laid_out", "scheduled", "target"]
PHASES: tuple[Phase, ...] = ("tile", "laid_out", "scheduled", "target")
ANY: frozenset[Phase] = frozenset(PHASES)
BEFORE_TARGET: frozenset[Phase] = frozenset(PHASES[:3])
FROM_LAID_OUT: frozenset[Phase] = frozenset(PHASES[1:])
TARGET_ONLY: frozenset[Phase] = frozenset(("target",))

Action = Literal["read", "write", "atomic", "init", "arrive", "wait", "world"]
Proxy = Literal["generic", "async", "tensormap"]


@dataclass(frozen=True)
class Effect:
    """One effect: what is done to which operand, through which proxy, now or at the token."""

    action: Action
    on: Value | None
    proxy: Proxy = "generic"
    when: Literal["now", "token"] = "now"


@dataclass(frozen=True, eq=False)
class Body:
    """An ordered list of instructions; `args` are defined by the owner, the last one ends it."""

    args: tuple[Value, ...]
    instructions: tuple[Instruction, ...]

    @property
    def terminator(self) -> Instruction:
        return self.instructions[-1]


def operand(*, default: Any = dataclasses.MISSING) -> Any:
    """A field that holds one SSA value; with `default=None` it may be absent."""
    return _declare("operand", default)


def operands() -> Any:
    """A field that holds a tuple of SSA values."""
    return _declare("operands", dataclasses.MISSING)


def attribute(*, default: Any = dataclasses.MISSING) -> Any:
    """A field that holds a compile-time constant."""
    return _declare("attribute", default)


def body() -> Any:
    """A field that holds a nested body."""
    return _declare("body", dataclasses.MISSING)


def bodies() -> Any:
    """A field that holds a tuple of nested bodies."""
    return _declare("bodies", dataclasses.MISSING)


def _declare(kind: str, default: Any) -> Any:
    if default is dataclasses.MISSING:
        return field(metadata={"kind": kind})
    return field(default=default, metadata={"kind": kind})


@dataclass(frozen=True)
class FieldSpec:
    """One declared field: its name, kind, and default (MISSING where it must be given)."""

    name: str
    kind: Literal["operand", "operands", "attribute", "body", "bodies"]
    default: Any


@dataclass(frozen=True, eq=False, kw_only=True)
class Instruction:
    """Base of all instructions; subclasses declare fields, `result`, `effects` and `meaning`."""

    results: tuple[Value, ...] = ()
    location: Location | None = None

    name: ClassVar[str]
    phases: ClassVar[frozenset[Phase]]
    specs: ClassVar[tuple[FieldSpec, ...]]
    terminates: ClassVar[bool] = False
    blocks: ClassVar[bool] = False  # meaning is a generator: it runs bodies or may wait

    def result(self) -> tuple[Type, ...]:
        """Types of the results, from operands and attributes."""
        return ()

    def effects(self) -> tuple[Effect, ...]:
        """What it does besides computing its results (bodies speak for themselves)."""
        return ()

    def check(self) -> None:
        """Raise what the kinds cannot say."""

    @property
    def mnemonic(self) -> str:
        """The name in text: the class's name, or the value of `op` in a family."""
        return getattr(self, "op", self.name)

    @property
    def operand_values(self) -> tuple[Value, ...]:
        """All SSA values that this instruction reads, in field order."""
        return tuple(self._values())

    def _values(self) -> Iterator[Value]:
        for spec in self.specs:
            if spec.kind == "operand":
                value = getattr(self, spec.name)
                if value is not None:
                    yield value
            elif spec.kind == "operands":
                yield from getattr(self, spec.name)

    @property
    def nested(self) -> tuple[Body, ...]:
        """All nested bodies, in field order."""
        found: list[Body] = []
        for spec in self.specs:
            if spec.kind == "body":
                found.append(getattr(self, spec.name))
            elif spec.kind == "bodies":
                found.extend(getattr(self, spec.name))
        return tuple(found)


REGISTRY: dict[str, tuple[type[Instruction], str | None]] = {}
"""mnemonic → (class, op): filled by the `instruction` decorator, read by parser and reference."""

C = TypeVar("C", bound=type[Instruction])


@dataclass_transform(
    field_specifiers=(operand, operands, attribute, body, bodies),
    eq_default=False,
    kw_only_default=True,
    frozen_default=True,
)
def instruction(
    name: str,
    *,
    phases: frozenset[Phase] = ANY,
    ops: tuple[str, ...] = (),
    terminates: bool = False,
    blocks: bool = False,
) -> Callable[[C], C]:
    """Declare an instruction; with `ops`, a family whose field `op` is its mnemonic in text."""

    def declare(cls: C) -> C:
        made = cls
        dataclass(frozen=True, eq=False, kw_only=True)(made)  # changes and returns its argument
        made.name = name
        made.phases = phases
        made.terminates = terminates
        made.blocks = blocks
        made.specs = tuple(
            FieldSpec(f.name, f.metadata["kind"], f.default)
            for f in dataclasses.fields(made)
            if "kind" in f.metadata
        )
        for mnemonic in ops or (name,):
            assert mnemonic not in REGISTRY, f"instruction {mnemonic} is declared twice"
            REGISTRY[mnemonic] = (made, mnemonic if ops else None)
        return made

    return declare


def with_results(made: Instruction, names: tuple[str, ...] = ()) -> Instruction:
    """`made` with fresh result values of the types that `result` derives."""
    types = made.result()
    padded = names + ("",) * (len(types) - len(names))
    values = tuple(Value(t, n) for t, n in zip(types, padded, strict=True))
    return dataclasses.replace(made, results=values)
