"""Random kernels in the language: valid by construction, with bounds on what they may compute.

`Program(seed)` is a kernel's source, its arguments, and per output the distance that two correct
targets may have (see `values`). Statements are drawn one by one; each leaves a variable, and what
nobody used is stored at the end. Families of statements live in `tiles`, `memory` and `control`.
"""

from __future__ import annotations

import random
from math import inf, prod

from tilewright.ir.types import DType, i32
from tilewright.tests.fuzz.control import ControlStatements
from tilewright.tests.fuzz.memory import MemoryStatements
from tilewright.tests.fuzz.running import FORMS, Argument, small_range
from tilewright.tests.fuzz.tiles import TileStatements
from tilewright.tests.fuzz.values import (
    EIGHT,
    FLOATS,
    INTEGERS,
    NARROW,
    STORED,
    Known,
    Skip,
    dtype,
)

EXTENTS = (1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 32, 33, 40, 64)
LARGEST = 2048
"""Elements of a tile, at most: the interpreter and the virtual machine are slow."""


class Program(TileStatements, MemoryStatements, ControlStatements):
    """A kernel drawn from `seed`."""

    def __init__(self, seed: int, length: int = 8) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.arguments: list[Argument] = []
        self.scalars: dict[str, int | float] = {}
        self.errors: dict[str, float] = {}
        self.lines: list[str] = []
        self.depth = 1
        self.known: list[Known] = []
        self.used: set[str] = set()
        self.count = 0
        self.loops = 0
        self.config = {"warps": self.random.choice([1, 2, 4, 8])} if self.chance(0.4) else {}
        self.wide = self.chance(0.15)
        self.blocks = self.random.choice([1, 1, 2, 3])
        self.axes = self.draw_axes()
        self.names = self.draw_types()
        self.wildness = self.random.choice([0.0, 0.0, 0.3])
        self.write(length)

    def draw_axes(self) -> tuple[int, ...]:
        """Extents that shapes are made of, so that tiles meet."""
        while True:
            axes = tuple(self.random.choice(EXTENTS) for _ in range(3))
            if prod(sorted(axes)[1:]) <= LARGEST:
                return axes

    def draw_types(self) -> list[str]:
        """A few dtypes, so that tiles meet."""
        groups = [FLOATS, FLOATS, INTEGERS, INTEGERS, NARROW, EIGHT, ("bool",), STORED]
        picked = [self.random.choice(g) for g in self.random.sample(groups, 3)]
        return [*picked, "f32", "i32"]

    def write(self, length: int) -> None:
        self.line("block = " + ("tw.grid(1)" if self.blocks == 1 else f"tw.grid({self.blocks})"))
        for _ in range(length):
            self.statement()
        self.store_results()
        names = ", ".join(f"{a.name}: tw.Tensor" for a in self.arguments)
        scalars = "".join(f", {name}: tw.Scalar" for name in self.scalars)
        self.head = ["@tw.kernel", f"def program({names}{scalars}):"]

    @property
    def text(self) -> str:
        return "\n".join([*self.head, *self.lines]) + "\n"

    # The parts that statements are made of

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def fresh(self, prefix: str = "v") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def define(self, text: str, known: Known) -> Known:
        """`name = text`, a new variable."""
        known.name = self.fresh()
        self.line(f"{known.name} = {text}")
        self.known.append(known)
        return known

    def use(self, known: Known) -> str:
        self.used.add(known.name)
        return known.name

    def draw_dtype(self, *groups: tuple[str, ...]) -> DType:
        """One of the program's dtypes, of `groups` if given."""
        allowed = [n for g in groups for n in g]
        found = [n for n in self.names if not groups or n in allowed]
        return dtype(self.random.choice(found or allowed))

    def draw_shape(self, rank: int | None = None) -> tuple[int, ...]:
        """A shape of the program's extents."""
        while True:
            size = rank or self.random.choice([1, 2, 2, 2, 3])
            shape = tuple(self.random.choice((*self.axes, 1)) for _ in range(size))
            if self.chance(0.7) and size == 2:
                shape = self.axes[:2] if self.chance(0.7) else self.axes[1::-1]
            if prod(shape) <= LARGEST:
                return shape

    def find(self, test) -> Known | None:
        """A variable that passes, the later the likelier."""
        found = [k for k in self.known if test(k)]
        if not found:
            return None
        return found[max(self.random.randrange(len(found)), self.random.randrange(len(found)))]

    def tile(self, test=None, shape=None, kind: DType | None = None) -> Known:
        """A tile that passes `test`, of this shape and dtype: one that is there, or a load."""

        def fits(k: Known) -> bool:
            return (
                k.shape != ()
                and (shape is None or k.shape == shape)
                and (kind is None or k.dtype == kind)
                and (test is None or test(k))
            )

        found = self.find(fits) if self.chance(0.85) else None
        if found is not None:
            return found
        for _ in range(20):
            want = kind or self.draw_dtype()
            made = self.load(want, shape or self.draw_shape())
            if fits(made):
                return made
        if test is not None and shape is not None:
            made = self.load(i32, shape)
            if fits(made):
                return made
        raise Skip

    def input(self, kind: DType, shape: tuple[int, ...], *, leading: bool = False) -> Argument:
        """A new tensor argument."""
        data = "small" if self.chance(0.6) else "random"
        if self.chance(self.wildness) or not (kind.is_float or kind.is_integer):
            data = "wild"
        if kind.is_integer and self.chance(0.3):
            data = "wild"
        if kind.kind == "scale":
            data = "random"
        form = self.random.choice(FORMS)
        made = Argument(self.fresh("x"), kind, shape, data, form)
        self.arguments.append(made)
        return made

    def output(self, kind: DType, shape: tuple[int, ...], data: str = "small") -> Argument:
        """A new tensor argument that is written."""
        form = self.random.choice(("plain", "plain", "turned", "gaps", "shifted"))
        made = Argument(self.fresh("y"), kind, shape, data, form, output=True)
        self.arguments.append(made)
        return made

    def loaded(self, argument: Argument, shape: tuple[int, ...]) -> Known:
        """What is known of a tile of `argument`."""
        kind = argument.dtype
        if argument.data == "small":
            return Known("", shape, kind, float(max(map(abs, small_range(kind)))), whole=True)
        if argument.data == "random" and kind.is_float:
            return Known("", shape, kind, 4.0)
        if kind.is_integer:
            return Known("", shape, kind, float(max(abs(kind.min), abs(kind.max))), whole=True)
        if kind.kind == "bool":
            return Known("", shape, kind, 1.0, whole=True)
        return Known("", shape, kind, inf)

    def statement(self) -> None:
        """One random statement, unless it does not work out."""
        families = [
            (self.tile_statement, 10),
            (self.memory_statement, 4),
            (self.control_statement, 3 if self.depth < 3 else 0),
        ]
        chosen = self.random.choices([f for f, _ in families], [w for _, w in families])[0]
        before = (len(self.lines), len(self.known), len(self.arguments), self.depth)
        try:
            chosen()
        except Skip:
            del self.lines[before[0] :], self.known[before[1] :], self.arguments[before[2] :]
            self.depth = before[3]

    def store_results(self) -> None:
        """What nobody used goes to outputs, and a few others."""
        loose = [k for k in self.known if k.name not in self.used]
        others = [k for k in self.known if k.name in self.used]
        self.random.shuffle(others)
        for known in [*loose, *others[:2]]:
            self.store(known)
        if not self.arguments or not any(a.output for a in self.arguments):
            self.store(self.load(i32, (4,)))
