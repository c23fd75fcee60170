"""Statements that steer: scalars, branches, loops with carried tiles and scalars, pipelines."""

from __future__ import annotations

from dataclasses import replace
from math import inf, prod

from tilewright.ir.types import i32
from tilewright.tests.fuzz.values import FLOATS, Known, Skip, rounded

TRIPS = 4
"""Iterations of a loop, at most."""


class ControlStatements:
    """Mixed into `Program`."""

    def control_statement(self) -> None:
        choices = {
            self.scalar: 3,
            self.branch: 3,
            self.loop: 5,
            self.pipeline: 3,
        }
        self.random.choices(list(choices), list(choices.values()))[0]()

    def number(self) -> str:
        """A block-uniform integer, small."""
        numbers = [k.name for k in self.known if k.shape == () and k.dtype == i32]
        choices = ["block", "block + 1", *numbers[-3:]]
        if self.chance(0.2):
            name = self.fresh("s")
            self.scalars[name] = self.random.randint(2, 9)
            choices = [name]
        return self.random.choice(choices)

    def scalar(self) -> None:
        """A scalar of a tile, of a tensor's element, or of other scalars."""
        way = self.random.choice(["tile", "element", "mix", "mix"])
        if way == "tile":
            x = self.tile(lambda k: k.dtype.is_integer and k.dtype.bits >= 8)
            op = self.random.choice(
                ["max()", "min()", "sum()", f"reshape(-1)[{prod(x.shape) - 1}:].item()"]
            )
            text = f"{self.use(x)}.{op}.cast(tw.i32) % 7"
        elif way == "element":
            source = self.input(i32, self.draw_shape(self.random.choice([1, 2])))
            index = ", ".join(self.index(e) for e in source.shape)
            text = f"{source.name}[{index}] % 7"
        else:
            op = self.random.choice(["+", "-", "*"])
            text = f"({self.number()} {op} {self.number()}) % {self.random.randint(2, 7)}"
        self.define(text, Known("", (), i32, 7.0, whole=True))

    def condition(self) -> str:
        op = self.random.choice(["<", ">=", "==", "!="])
        return f"{self.number()} {op} {self.random.randint(0, 4)}"

    def branch(self) -> None:
        """Both sides give a variable, or one of them changes it."""
        x = self.tile(lambda k: k.dtype.is_float or k.dtype.is_integer or k.is_bool)
        name = self.fresh()
        self.line(f"{name} = {self.use(x)}")
        self.line(f"if {self.condition()}:")
        found = [x, self.side(name, x)]
        if self.chance(0.6):
            self.line("else:")
            found.append(self.side(name, x))
        self.known.append(replace(joined(found), name=name))

    def side(self, name: str, x: Known) -> Known:
        """One side of a branch, which sets `name`."""
        with_scope = len(self.known)
        self.depth += 1
        for _ in range(self.random.choice([0, 0, 1, 2])):
            self.statement()
        y = self.tile(None, x.shape, x.dtype)
        self.line(f"{name} = {self.use(y)}")
        self.depth -= 1
        del self.known[with_scope:]
        return y

    def loop(self) -> None:
        """A loop whose body changes one or two tiles and a scalar."""
        carried = [self.carry() for _ in range(self.random.choice([1, 1, 2]))]
        counter = self.fresh()
        self.line(f"{counter} = 0")
        trips = self.random.randint(1, TRIPS)
        outer = len(self.known)
        self.known += [k for k, _ in carried]
        self.open_loop(trips)
        start = len(self.lines)
        for _ in range(self.random.choice([1, 1, 2, 3])):
            self.statement()
        for known, limit in carried:
            if self.chance(0.15):
                self.line(f"if {self.condition()}:")
                leave = self.random.choice(["break", "continue"])
                if leave == "continue" or self.chance(0.5):
                    self.line(f"    {counter} = {counter} + 1")
                self.line(f"    {leave}")
            self.update(known, limit)
        self.line(f"{counter} = {counter} + 2")
        assert len(self.lines) > start
        self.depth -= 1
        del self.known[outer:]
        self.known += [k for k, _ in carried]
        self.known.append(Known(counter, (), i32, 8.0, whole=True))

    def open_loop(self, trips: int) -> None:
        """The head of a loop of at most `trips` iterations."""
        self.loops += 1
        index = f"i{self.loops}"
        way = self.random.choice(["range", "range", "dynamic", "static", "while"])
        if way == "while":
            self.line(f"{index} = {self.number()} % {trips + 1}")
            self.line(f"while {index} > 0:")
            self.depth += 1
            self.line(f"{index} = {index} - 1")
            return
        if way == "static":
            self.line(f"for {index} in range({trips}):")
        elif way == "range":
            step = self.random.choice([1, 1, 2, 3])
            stages = self.random.choice(["", "", ", stages=2", ", stages=3", ", unroll=2"])
            low = self.random.randint(0, 2)
            self.line(f"for {index} in tw.range({low}, {low + trips * step}, {step}{stages}):")
        else:
            self.line(f"for {index} in tw.range({self.number()} % {trips + 1}):")
        self.depth += 1
        if way != "static":
            self.known.append(Known(index, (), i32, 16.0, whole=True))

    def carry(self) -> tuple[Known, float]:
        """A variable for a loop to change, bounded as after the loop; and by how much it grows."""
        x = self.tile(lambda k: k.dtype.is_integer or k.dtype.name in FLOATS)
        name = self.fresh()
        self.line(f"{name} = {self.use(x)}")
        limit = 8.0
        if x.dtype.is_integer:
            return rounded(replace(x, name=name, size=inf)), limit
        if x.size == inf:
            raise Skip
        grown = replace(x, name=name, size=max(x.size, limit) + TRIPS * limit)
        grown.error = 0.0
        grown = rounded(grown)
        unit = 2.0**-x.dtype.mantissa
        digits = 2.0 ** (x.dtype.mantissa + 1)
        if not (grown.whole and grown.exact and x.exact and grown.size < digits):
            grown.whole = False
        # What is added has an error of at most 1/8 per trip: `update` sees to it.
        grown.error = x.error + TRIPS * (0.125 + grown.size * unit) if x.error else 0.0
        return grown, limit

    def update(self, known: Known, limit: float) -> None:
        """name = name op something, within the bounds that `carry` states."""
        if known.dtype.is_integer:
            y = self.tile(lambda k: k.name != known.name, known.shape, known.dtype)
            op = self.random.choice(["+", "-", "*", "^"])
            self.line(f"{known.name} = {known.name} {op} {self.use(y)}")
            return

        def fits(k: Known) -> bool:
            small = k.error <= 0.125 if known.error else k.exact
            return k.name != known.name and small and (k.whole or not known.whole)

        y = self.tile(fits, known.shape, known.dtype)
        number = self.use(y)
        if y.size > limit:
            number = f"tw.minimum(tw.maximum({number}, -{limit}), {limit})"
        op = self.random.choice(["+", "-", "max"])
        if op == "max":
            self.line(f"{known.name} = tw.maximum({known.name}, {number})")
        else:
            self.line(f"{known.name} = {known.name} {op} {number}")

    def pipeline(self) -> None:
        """A product accumulated over a loop of loads, overlapped by stages."""
        kind = self.draw_dtype(("f16", "bf16", "f32", "i8", "f8e4m3", "f64"))
        m, n = (self.random.choice((1, 8, 16, 17, 32, 48)) for _ in range(2))
        part, whole = self.random.choice((8, 16, 24, 32)), self.random.choice((16, 40, 64, 77))
        left = self.input(kind, (whole, m) if self.chance(0.3) else (m, whole))
        right = self.input(kind, (whole, n) if self.chance(0.5) else (n, whole))
        if m == whole or n == whole:
            raise Skip
        x, y = self.loaded(left, (m, whole)), self.loaded(right, (whole, n))
        known, total = self.contracted(x, y, kind)
        acc, at = self.fresh(), self.fresh("k")
        stages = self.random.choice([1, 2, 3, 4])
        self.line(f"{acc} = tw.zeros(({m}, {n}), tw.{total.name})")
        self.line(
            f"for {at} in tw.range(0, {left.name}.shape[{left.shape.index(whole)}], {part}, "
            f"stages={stages}):"
        )
        self.depth += 1
        names = []
        for tensor, want in ((left, (m, part)), (right, (part, n))):
            name = self.fresh()
            turned = tensor.shape.index(whole) != want.index(part)
            if want[0] == want[1]:
                turned = (tensor.shape[0] == whole) != (tensor is right)
            if turned:
                text = f"tw.load({tensor.name}, ({self.at(tensor, whole, at)}), {want[::-1]}).T"
            else:
                text = f"tw.load({tensor.name}, ({self.at(tensor, whole, at)}), {want})"
            self.line(f"{name} = {text}")
            names.append(name)
        for name in names:
            if self.chance(0.2) and kind.is_float:
                change = self.random.choice(["-{}", "tw.abs({})", "tw.minimum({}, 4.0)"])
                self.line(f"{name} = {change.format(name)}")
        if self.chance(0.3):
            test = self.random.choice([f"{at} == {part}", f"{at} > {part}", self.condition()])
            self.line(f"if {test}:")
            self.line("    " + self.random.choice(["break", "continue"]))
        if self.chance(0.2):
            self.line(f"if {self.condition()}:")
            self.depth += 1
            self.line(f"{acc} = tw.mma({names[0]}, {names[1]}, {acc})")
            self.depth -= 1
        else:
            self.line(f"{acc} = tw.mma({names[0]}, {names[1]}, {acc})")
        self.depth -= 1
        if not known.error and not known.whole:
            raise Skip
        known.name = acc
        self.known.append(self.checked(rounded(known)))

    def at(self, tensor, whole: int, index: str) -> str:
        return f"{index}, 0" if tensor.shape[0] == whole else f"0, {index}"


def joined(values: list[Known]) -> Known:
    """What holds for one of several values."""
    return replace(
        values[0],
        size=max(v.size for v in values),
        error=max(v.error for v in values),
        whole=all(v.whole for v in values),
    )
