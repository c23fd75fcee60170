"""Statements on memory: loads at odd places, gathers, scatters, atomics, buffers, copies."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tilewright.ir.types import DType, f32, i32
from tilewright.tests.fuzz.running import Argument
from tilewright.tests.fuzz.values import EIGHT, FLOATS, INTEGERS, NARROW, STORED, Known, Skip


class MemoryStatements:
    """Mixed into `Program`."""

    def memory_statement(self) -> None:
        choices = {
            self.plain_load: 4,
            self.gather: 2,
            self.gather_rows: 2,
            self.scatter: 2,
            self.atomic: 2,
            self.exchange: 4,
            self.copied: 2,
            self.again: 2,
            self.count_once: 1,
        }
        self.random.choices(list(choices), list(choices.values()))[0]()

    def plain_load(self) -> None:
        kind = self.draw_dtype(FLOATS, INTEGERS, NARROW, EIGHT, STORED)
        self.load(kind, self.draw_shape())

    def load(self, kind: DType, shape: tuple[int, ...]) -> Known:
        """A tile of a tensor, new or known, that may reach beyond its bounds."""
        old = [a for a in self.arguments if a.dtype == kind and not a.output]
        old = [a for a in old if len(a.shape) in (len(shape), len(shape) + 1) and a.shape[0]]
        if old and self.chance(0.3):
            source = self.random.choice(old)
        else:
            source = self.input(kind, self.around(shape))
        view, rank = source.name, len(source.shape)
        if rank > len(shape):
            view, rank = f"{view}[{self.index(source.shape[0])}]", rank - 1
        elif self.chance(0.1):
            low = 0 if kind.bits < 8 and rank == 1 else self.random.randint(0, 2)
            high = self.random.choice([f"{source.name}.shape[0]", str(low + 2), str(shape[0])])
            view = f"tw.rows({view}, {low}, {high})" if low else f"{view}[:{high}]"
        offsets = [self.offset(kind, axis == rank - 1) for axis in range(rank)]
        other = ""
        if (kind.is_float or kind.is_integer) and self.chance(0.2):
            other = ", other=1" if kind.is_integer and kind.max >= 1 else ", other=0.5"
            if kind.is_integer and kind.max < 1:
                other = ""
        text = f"tw.load({view}, ({', '.join(offsets)},), {shape}{other})"
        known = self.loaded(source, shape)
        if other.endswith("0.5"):
            known.whole = False
        if kind.kind in ("scale", "codebook"):
            known.whole = False
        known.size = max(known.size, 1.0)
        return self.define(text, known)

    def around(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A tensor's shape near a tile's."""
        found = []
        for extent in shape:
            change = self.random.choice([0, 0, 0, -1, 1, 3, 5, extent])
            found.append(0 if self.chance(0.01) else max(1, extent + change))
        if self.chance(0.25):
            found.insert(0, self.random.choice([1, 2, 3]))
        return tuple(found)

    def index(self, extent: int) -> str:
        """An index inside of an axis."""
        return self.random.choice([str(self.random.randrange(extent)), "0", f"block % {extent}"])

    def offset(self, kind: DType, last: bool) -> str:
        """Where a tile starts; on whole bytes along the last axis."""
        step = 8 if last and kind.bits < 8 else 1
        numbers = [n.name for n in self.known if n.shape == () and n.dtype == i32]
        choices = ["0", "0", "0", str(step * self.random.randint(0, 3)), f"block * {step}"]
        if self.random.random() < 0.1:
            choices.append(f"-{step}")
        if numbers:
            choices.append(f"{self.random.choice(numbers)} % 3 * {step}")
        return self.random.choice(choices)

    def store(self, known: Known) -> None:
        """Write a tile or scalar to a new output, one per block."""
        shape = known.shape or (1,)
        value = known.name if known.shape else f"tw.full((1,), {known.name})"
        if known.dtype.kind in ("scale", "codebook"):
            return
        if known.dtype.bits < 8 and (not known.shape or known.shape[-1] % 8):
            value = f"{value}.cast(tw.f32)"  # a row that ends within a byte is not stored
            known = replace(known, dtype=f32)
        size = list(shape)
        if known.dtype.bits >= 8 and self.chance(0.3):
            at = self.random.randrange(len(size))
            size[at] = max(1, size[at] + self.random.choice([-1, 2]))
        target = self.output(known.dtype, (self.blocks, *size))
        self.errors[target.name] = known.error
        zeros = ", ".join("0" for _ in size)
        if not known.shape and self.chance(0.5):
            self.line(f"{target.name}[block, 0] = {known.name}")
            return
        if self.chance(0.5):
            self.line(f"tw.store({target.name}[block], ({zeros},), {value})")
        else:
            self.line(f"tw.store({target.name}, (block, {zeros}), {value})")

    def places(self, extent: int, shape: tuple[int, ...]) -> Known:
        """An index tile; some indices lie outside."""
        x = self.tile(lambda k: k.dtype.is_integer and k.dtype.bits >= 8, shape)
        text = f"{self.use(x)}.cast(tw.i32) % {extent + self.random.choice([0, 0, 2])}"
        if self.chance(0.3):
            text += " - 1"
        return self.define(text, Known("", shape, i32, extent + 2.0, whole=True))

    def gather(self) -> None:
        shape = self.draw_shape()
        source = self.input(
            self.draw_dtype(FLOATS, INTEGERS, EIGHT), self.draw_shape(self.random.choice([1, 2]))
        )
        index = ", ".join(self.use(self.places(e, shape)) for e in source.shape)
        mask = ""
        if self.chance(0.4):
            holds = self.find(lambda k: k.is_bool and k.shape == shape)
            mask = f", mask={self.use(holds)}" if holds else ""
        known = self.loaded(source, shape)
        self.define(f"tw.gather({source.name}, ({index},){mask})", known)

    def gather_rows(self) -> None:
        shape = self.draw_shape(2)
        source = self.input(self.draw_dtype(FLOATS, INTEGERS, EIGHT), self.around(shape)[-2:])
        rows = self.places(source.shape[0], shape[:1])
        known = self.loaded(source, shape)
        self.define(f"tw.load({source.name}, ({self.use(rows)}, 0), {shape})", known)

    def scatter(self) -> None:
        x = self.tile(lambda k: k.dtype.bits >= 8 and len(k.shape) == 2 and k.dtype.is_float)
        m, n = x.shape
        target = self.output(x.dtype, (self.blocks, m + 2, n))
        self.errors[target.name] = x.error
        rows = self.random.choice([f"{m - 1} - tw.arange({m})", f"tw.arange({m}) + 1"])
        mask = ""
        if self.chance(0.4):
            mask = f", mask=tw.arange({n})[None, :] % 2 == 1"
        self.line(
            f"tw.scatter({target.name}[block], (({rows})[:, None], tw.arange({n})[None, :]), "
            f"{self.use(x)}{mask})"
        )

    def atomic(self) -> None:
        kinds = ("i32", "u32", "i64", "u64", "f32")
        kind = self.draw_dtype(kinds)
        if kind.name not in kinds:
            raise Skip
        x = self.tile(lambda k: k.exact, kind=kind)
        op = self.random.choice(["add", "max", "min", "or", "and"])
        if kind.is_float:
            op = "add"
            if not x.whole or x.size > 64 or prod(x.shape) * self.blocks > 2**14:
                raise Skip
        extent = self.random.choice([1, 5, 33])
        place = self.places(extent, x.shape)
        target = self.output(kind, (extent,))
        self.line(f"tw.atomic_{op}({target.name}, {self.use(place)}, {self.use(x)})")

    def count_once(self) -> None:
        """An atomic of scalars happens once per block."""
        target = self.output(i32, (2,))
        op = self.random.choice(["add", "max", "min", "or"])
        self.line(f"tw.atomic_{op}({target.name}, {self.number()} % 2, {self.number()})")

    def exchange(self) -> None:
        """A tile through a declared buffer, whole, turned, or by parts."""
        x = self.tile(lambda k: k.dtype.bits >= 8 and len(k.shape) in (1, 2, 3))
        buffer = self.fresh("b")
        lead = self.random.choice([0, 0, 2])
        shape = (lead, *x.shape) if lead else x.shape
        if prod(shape) * x.dtype.bits > 8 * 40000:
            raise Skip
        self.line(f"{buffer} = tw.shared({shape}, tw.{x.dtype.name})")
        view = buffer
        if lead:
            view = f"{buffer}[{self.random.choice(['0', '1', 'block % 2'])}]"
        self.line(f"{view}.store({self.use(x)})")
        self.take(view, x)
        if self.chance(0.3):
            y = self.tile(lambda k: k.shape == x.shape, x.shape, x.dtype)
            self.line(f"{view}.store({self.use(y)})")
            self.take(view, y)

    def take(self, view: str, x: Known) -> None:
        """Read what a buffer holds."""
        rank = len(x.shape)
        way = self.random.choice(["whole", "turned", "part", "stage"])
        if way == "turned" and rank >= 2:
            shape = (*x.shape[:-2], x.shape[-1], x.shape[-2])
            self.define(f"{view}.T.load()", replace(x, shape=shape))
        elif way == "part" and not view.endswith("]"):
            text, shape = self.slice(replace(x, name=view))
            if len(shape) != rank:
                raise Skip
            self.define(f"{text}.load()", replace(x, shape=shape))
        elif way == "stage" and rank == 3 and not view.endswith("]"):
            self.define(f"{view}[{self.index(x.shape[0])}].load()", replace(x, shape=x.shape[1:]))
        else:
            self.define(f"{view}.load()", replace(x))

    def copied(self) -> None:
        """An asynchronous copy into a buffer, and what arrives."""
        kind = self.draw_dtype(FLOATS, INTEGERS, EIGHT)
        shape = self.draw_shape(2)
        source = self.input(kind, self.around(shape)[-2:])
        buffer, token = self.fresh("b"), self.fresh("t")
        offsets = f"{self.offset(kind, False)}, {self.offset(kind, True)}"
        self.line(f"{buffer} = tw.shared({shape}, tw.{kind.name})")
        self.line(f"{token} = tw.copy({source.name}, ({offsets}), {buffer})")
        self.line(f"tw.wait({token})")
        self.take(buffer, self.loaded(source, shape))

    def again(self) -> None:
        """Write a tile, then read it back elsewhere: program order holds within a block."""
        x = self.tile(lambda k: k.dtype.bits >= 8 and len(k.shape) == 2 and k.exact)
        if x.dtype.kind in ("scale", "codebook"):
            raise Skip
        m, n = x.shape
        target = self.output(x.dtype, (self.blocks, m, n), "zero")
        self.line(f"tw.store({target.name}[block], (0, 0), {self.use(x)})")
        low = self.random.randint(0, 2)
        known = replace(x)
        self.define(f"tw.load({target.name}[block], ({low}, 0), {x.shape})", known)


__all__ = ["Argument", "MemoryStatements"]
