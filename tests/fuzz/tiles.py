"""Statements on tiles alone: arithmetic, casts, shapes, reductions, products."""

from __future__ import annotations

from dataclasses import replace
from math import exp, inf, prod

from tilewright.ir.types import DType, bool_, f16, f32, f64, i32
from tilewright.tests.fuzz.values import (
    EIGHT,
    FLOATS,
    INTEGERS,
    NARROW,
    Known,
    Skip,
    dtype,
    rounded,
    summed,
    unit,
)

SOFT = ("exp", "exp2", "tanh", "sigmoid", "erf", "sin", "cos", "log", "rsqrt")
"""Functions that targets approximate, to a few units in the last place."""
PRODUCTS = ("f16", "bf16", "f32", "f64", "i8", "u8", "f8e4m3", "f8e5m2")
MIXED = (
    *(("i8", "u8"), ("u8", "i8"), ("f8e4m3", "f8e5m2"), ("u4", "u4"), ("i4", "i8"), ("u8", "u3")),
    *(("f4e2m1", "f4e2m1"), ("f6e3m2", "f8e4m3"), ("i6", "u2")),
)
"""Operands of at most 8 bits may differ."""
PARTS = (1, 2, 5, 8, 16, 17, 32, 33, 40)


def is_number(k: Known) -> bool:
    return k.dtype.is_float or k.dtype.is_integer


class TileStatements:
    """Mixed into `Program`."""

    def tile_statement(self) -> None:
        choices = {
            self.binary: 8,
            self.cast: 5,
            self.shape: 6,
            self.reduce: 4,
            self.unary: 3,
            self.compare: 3,
            self.select: 3,
            self.soft: 2,
            self.fma: 1,
            self.make: 2,
            self.shift: 1,
            self.divide: 2,
            self.product: 3,
            self.with_number: 3,
        }
        self.random.choices(list(choices), list(choices.values()))[0]()

    def partner(self, x: Known, test=None) -> Known:
        """A tile of x's dtype that broadcasts with it."""

        def fits(k: Known) -> bool:
            return k.shape == () or (broadcasts(k.shape, x.shape) and (test is None or test(k)))

        shape = x.shape if self.chance(0.6) else None
        if shape is None and self.chance(0.5):
            shape = tuple(e if self.chance(0.5) else 1 for e in x.shape)
        return self.tile(fits, shape, x.dtype)

    def binary(self) -> None:
        x = self.tile(lambda k: is_number(k) or k.is_bool)
        y = self.partner(x)
        shape = common(x.shape, y.shape)
        ops = ["+", "-", "*", "max", "min"] if is_number(x) else ["&", "|", "^"]
        if x.dtype.is_integer:
            ops += ["&", "|", "^"]
        op = self.random.choice(ops)
        self.used |= {x.name, y.name}
        if op in "&|^":
            known = Known("", shape, x.dtype, float(max(abs(x.dtype.max), abs(x.dtype.min))))
            self.define(f"{x.name} {op} {y.name}", replace(known, whole=True))
            return
        self.combine(op, x, y, shape)

    def with_number(self) -> None:
        x = self.tile(is_number)
        op = self.random.choice(["+", "-", "*", "max", "min"])
        low = 0 if not x.dtype.signed else -1
        number = self.random.choice([low, 1]) if x.dtype.is_integer else 1.5
        if x.dtype.bits < 4 or (x.dtype.kind == "float" and x.dtype.bits < 8):
            raise Skip
        y = Known(str(number), x.shape, x.dtype, abs(number), 0.0, x.dtype.is_integer)
        first, second = (x, y) if self.chance(0.6) else (y, x)
        self.used.add(x.name)
        self.combine(op, first, second, x.shape)

    def combine(self, op: str, x: Known, y: Known, shape: tuple[int, ...]) -> None:
        text = f"{x.name} {op} {y.name}"
        if op in ("max", "min"):
            text = f"tw.{op}imum({x.name}, {y.name})"
        size = {"*": x.size * y.size, "max": max(x.size, y.size), "min": max(x.size, y.size)}
        error = crossed(x, y) if op == "*" else x.error + y.error
        known = Known("", shape, x.dtype, size.get(op, x.size + y.size), error)
        known.whole = x.whole and y.whole
        self.define(text, self.checked(rounded(known)))

    def checked(self, known: Known) -> Known:
        """Refuse what is inexact and may overflow: its distance has no bound."""
        if known.error and (known.error == inf or known.size == inf or known.error != known.error):
            raise Skip
        return known

    def shift(self) -> None:
        x = self.tile(lambda k: k.dtype.is_integer and k.dtype.bits > 1)
        by = self.random.randrange(x.dtype.bits)
        by = min(by, int(x.dtype.max))
        op = self.random.choice(["<<", ">>"])
        self.define(f"{self.use(x)} {op} {by}", rounded(replace(x, size=inf)))

    def divide(self) -> None:
        x = self.tile(lambda k: is_number(k) and k.exact)
        if x.is_float:
            number = self.random.choice([0.5, 1.5, 3.0, 7.0])
            if number > x.dtype.max or x.dtype.bits < 8:
                raise Skip
            op = self.random.choice(["/", "/", "//"])
            known = rounded(replace(x, size=x.size / number + 1, whole=op == "//"))
            self.define(f"{self.use(x)} {op} {number}", known)
            return
        y = self.partner(x)
        op = self.random.choice(["//", "%"])
        if self.chance(0.5) or x.dtype.max < 3:
            number = self.random.randint(1, int(min(11, x.dtype.max)))
            self.define(f"{self.use(x)} {op} {number}", rounded(replace(x)))
            return
        shape = common(x.shape, y.shape)
        text = f"{self.use(x)} {op} tw.maximum({self.use(y)}, 1)"
        self.define(text, rounded(replace(x, shape=shape, size=inf)))

    def unary(self) -> None:
        x = self.tile(lambda k: is_number(k) or k.is_bool)
        ops = ["-{}", "tw.abs({})"] if is_number(x) else ["~{}"]
        if x.dtype.is_integer:
            ops += ["~{}"]
        if x.is_float and x.exact:
            ops += ["tw.floor({})", "tw.ceil({})", "tw.round({})", "tw.sqrt(tw.abs({}))"]
        op = self.random.choice(ops)
        if not x.dtype.signed and op.startswith("tw.abs"):
            raise Skip
        whole = x.whole and "sqrt" not in op
        if "floor" in op or "ceil" in op or "round" in op:
            whole = x.dtype.bits >= 16
        known = replace(x, whole=whole, size=x.size + 1)
        self.define(op.format(self.use(x)), rounded(known))

    def soft(self) -> None:
        x = self.tile(lambda k: k.dtype.name in FLOATS and k.size < 2.0**14)
        op = self.random.choice(SOFT)
        inner, slope, size = self.use(x), 1.0, 1.0
        if op in ("exp", "exp2"):
            inner = f"tw.minimum(tw.maximum({inner}, -4.0), 4.0)"
            slope = size = exp(4.0)
        elif op == "log":
            inner, size = f"tw.abs({inner}) + 1.0", 14.0
        elif op == "rsqrt":
            inner = f"tw.abs({inner}) + 0.5"
            slope, size = 2.0, 1.5
        elif op == "erf":
            slope = 2.0
        # A few units in the last place of the result, and of the argument.
        loose = 8 * unit(x.dtype) * (size + slope * (1 if op in ("exp", "exp2") else x.size))
        known = replace(x, size=size, error=slope * x.error + loose, whole=False)
        self.define(f"tw.{op}({inner})", self.checked(rounded(known)))

    def fma(self) -> None:
        x = self.tile(lambda k: k.dtype.name in FLOATS[:3])
        y, z = self.partner(x), self.partner(x)
        shape = common(common(x.shape, y.shape), z.shape)
        known = Known("", shape, x.dtype, x.size * y.size + z.size, crossed(x, y) + z.error)
        known.whole = x.whole and y.whole and z.whole
        text = f"tw.fma({self.use(x)}, {self.use(y)}, {self.use(z)})"
        self.define(text, self.checked(rounded(known)))

    def compare(self) -> None:
        x = self.tile(lambda k: k.exact and is_number(k))
        y = self.partner(x, lambda k: k.exact)
        if y.error:
            raise Skip
        op = self.random.choice(["<", "<=", "==", "!=", ">", ">="])
        right = self.use(y)
        if self.chance(0.4) and x.dtype.bits > 2:
            right = "1" if x.dtype.is_integer else "1.0"
            y = x
        shape = common(x.shape, y.shape)
        self.define(f"{self.use(x)} {op} {right}", Known("", shape, bool_, 1.0, whole=True))

    def select(self) -> None:
        x = self.tile()
        y = self.partner(x)
        shape = common(x.shape, y.shape)
        c = self.tile(lambda k: k.is_bool and broadcasts(k.shape, shape), kind=bool_)
        known = Known("", common(shape, c.shape), x.dtype, max(x.size, y.size))
        known.error, known.whole = max(x.error, y.error), x.whole and y.whole
        text = f"tw.where({self.use(c)}, {self.use(x)}, {self.use(y)})"
        self.define(text, known)

    def cast(self) -> None:
        x = self.tile()
        if x.error:
            kind = self.draw_dtype(FLOATS)
        else:
            kind = self.draw_dtype() if self.chance(0.6) else self.draw_dtype(FLOATS, INTEGERS)
        self.define(*self.casted(x, kind))

    def casted(self, x: Known, kind: DType) -> tuple[str, Known]:
        """The text and the value of `x` in another dtype."""
        whole = x.whole or kind.is_integer or kind.kind == "bool"
        known = rounded(replace(x, dtype=kind, whole=whole))
        if not (kind.is_float or kind.is_integer):
            known = Known("", x.shape, kind, inf, 0.0, whole=kind.kind == "bool")
        elif kind.bits < 16 and kind.is_float:
            known = replace(known, size=inf, whole=False)
        return f"{self.use(x)}.cast(tw.{kind.name})", self.checked(known)

    def make(self) -> None:
        kind = self.draw_dtype(FLOATS, INTEGERS, NARROW, EIGHT)
        if self.chance(0.5) and kind.is_integer and kind.bits >= 8:
            size = self.draw_shape(1)[0]
            known = Known("", (size,), kind, float(size), whole=True)
            self.define(f"tw.arange({size}, dtype=tw.{kind.name})", known)
            return
        shape = self.draw_shape()
        number = self.random.choice([0, 1]) if kind.is_integer else 0.5
        text = f"tw.full({shape}, {number}, tw.{kind.name})"
        self.define(text, Known("", shape, kind, 1.0, whole=kind.is_integer))

    def shape(self) -> None:
        x = self.tile(lambda k: prod(k.shape) > 1)
        pick = self.random.choice([self.turn, self.reshape, self.slice, self.spread, self.widen])
        text, shape = pick(x)
        if prod(shape) > 4096 or len(shape) > 4:
            raise Skip
        self.define(text, replace(x, shape=shape))

    def turn(self, x: Known) -> tuple[str, tuple[int, ...]]:
        rank = len(x.shape)
        if rank < 2:
            raise Skip
        if self.chance(0.5):
            return f"{self.use(x)}.T", (*x.shape[:-2], x.shape[-1], x.shape[-2])
        axes = self.random.sample(range(rank), rank)
        order = ", ".join(map(str, axes))
        return f"{self.use(x)}.transpose({order})", tuple(x.shape[a] for a in axes)

    def reshape(self, x: Known) -> tuple[str, tuple[int, ...]]:
        total = prod(x.shape)
        divisors = [d for d in range(1, total + 1) if total % d == 0]
        first = self.random.choice(divisors)
        shape = self.random.choice([(first, total // first), (total,), (first, 1, total // first)])
        return f"{self.use(x)}.reshape{tuple(shape)}", tuple(shape)

    def slice(self, x: Known) -> tuple[str, tuple[int, ...]]:
        parts, shape = [], []
        for extent in x.shape:
            low = self.random.randrange(extent)
            high = self.random.randint(low + 1, extent)
            if self.chance(0.2) and len(x.shape) > 1:
                parts.append(str(low))
                continue
            if self.chance(0.4):
                low, high = 0, extent
            parts.append(f"{low}:{high}")
            shape.append(high - low)
        if not shape:
            raise Skip
        return f"{self.use(x)}[{', '.join(parts)}]", tuple(shape)

    def spread(self, x: Known) -> tuple[str, tuple[int, ...]]:
        shape = tuple(self.random.choice(self.axes) if e == 1 else e for e in x.shape)
        if self.chance(0.3):
            shape = (self.random.choice((1, 2, 3)), *shape)
        return f"{self.use(x)}.broadcast{shape}", shape

    def widen(self, x: Known) -> tuple[str, tuple[int, ...]]:
        at = self.random.randint(0, len(x.shape))
        parts = [":"] * len(x.shape)
        parts.insert(at, "None")
        return f"{self.use(x)}[{', '.join(parts)}]", (*x.shape[:at], 1, *x.shape[at:])

    def reduce(self) -> None:
        x = self.tile(lambda k: is_number(k) or k.is_bool)
        axis = self.random.randrange(len(x.shape))
        keep = self.chance(0.5)
        extent = x.shape[axis]
        ops = ["max", "min"]
        if x.is_bool:
            ops = ["any", "all"]
        elif x.dtype.is_integer:
            ops += ["sum", "prod"]
        elif x.dtype.name in FLOATS and x.size * extent < x.dtype.max:
            ops += ["sum", "sum"]
        op = self.random.choice(ops)
        known = summed(x, extent) if op == "sum" else rounded(replace(x))
        if op == "prod":
            known = rounded(replace(x, size=inf))
        known.shape = (*x.shape[:axis], *([1] if keep else []), *x.shape[axis + 1 :])
        if not known.shape:
            keep, known.shape = True, (1,)
        tail = ", keep=True" if keep else ""
        self.define(f"{self.use(x)}.{op}(axis={axis}{tail})", self.checked(known))

    def product(self) -> None:
        kind = self.draw_dtype(PRODUCTS)
        kinds = (kind, kind)
        if self.chance(0.2):
            kinds = tuple(map(dtype, self.random.choice(MIXED)))
        x = self.operand(kinds[0])
        y = self.operand(kinds[1], rows=x.shape[1])
        precision = ', precision="tf32"' if kinds[0] == f32 and self.chance(0.3) else ""
        known, total = self.contracted(x, y, kinds[0])
        if precision and not (x.whole and y.whole and max(x.size, y.size) < 2048):
            # Either operand may be rounded to 10 digits, or truncated.
            known = replace(known, whole=False)
            known.error += 4 * x.shape[1] * x.size * y.size * 2.0**-10
        left, right = self.use(x), self.use(y)
        if self.chance(0.15) and kinds[0].bits >= 8 and kinds[1].bits >= 8:
            left, right = self.buffered(x), self.buffered(y)
        text = f"tw.mma({left}, {right}{precision})"
        acc = self.find(lambda a: a.shape == known.shape and a.dtype == total)
        if acc is not None and acc.size < inf and self.chance(0.5):
            text = f"tw.mma({left}, {right}, {self.use(acc)}{precision})"
            known = self.added(known, acc)
        elif total == f32 and (kinds[0] == f16 or kinds[0].bits <= 8) and self.chance(0.1):
            known = replace(known, dtype=f16)
            if not known.whole or known.error or known.size > 2048:
                raise Skip
            text = f"tw.mma({left}, {right}, tw.zeros({known.shape}, tw.f16){precision})"
        self.define(text, self.checked(rounded(known)))

    def buffered(self, x: Known) -> str:
        """A buffer that holds `x`."""
        name = self.fresh("b")
        self.line(f"{name} = tw.shared({x.shape}, tw.{x.dtype.name})")
        self.line(f"{name}.store({x.name})")
        return name

    def operand(self, kind: DType, rows: int | None = None) -> Known:
        """A matrix, maybe a transposed one."""
        m, n = rows or self.random.choice(PARTS), self.random.choice(PARTS)

        def fits(k: Known) -> bool:
            return k.size < 2.0**10

        if rows is None:
            found = self.find(lambda k: k.dtype == kind and len(k.shape) == 2 and k.size < 2.0**10)
            if found is not None and self.chance(0.5):
                return found
        if self.chance(0.5):
            x = self.tile(fits, (n, m), kind)
            return self.define(f"{self.use(x)}.T", replace(x, shape=(m, n)))
        return self.tile(fits, (m, n), kind)

    def contracted(self, x: Known, y: Known, kind: DType) -> tuple[Known, DType]:
        """The product of two matrices, and the accumulator's dtype."""
        total = i32 if kind.is_integer else f64 if kind == f64 else f32
        k = x.shape[1]
        known = Known("", (x.shape[0], y.shape[1]), total, k * x.size * y.size)
        known.whole = x.whole and y.whole
        known.error = k * crossed(x, y)
        if kind.is_integer:
            known.error = 0.0
        elif not (known.whole and x.exact and y.exact) or known.size > 2.0 ** (total.mantissa + 1):
            # Sums of k products in any order; tensor cores truncate, so a whole unit per addition.
            known.error += 2 * (k + 1) * known.size * unit(total)
        return known, total

    def added(self, known: Known, acc: Known) -> Known:
        both = replace(known, size=known.size + acc.size, error=known.error + acc.error)
        both.whole = known.whole and acc.whole
        exact = both.whole and both.error == 0 and both.size <= 2.0 ** (acc.dtype.mantissa + 1)
        if acc.dtype.is_float and not exact:
            both.error += 64 * both.size * unit(acc.dtype)
        return both


def crossed(x: Known, y: Known) -> float:
    """The error of a product."""
    if x.exact and y.exact:
        return 0.0
    return x.size * y.error + y.size * x.error + x.error * y.error


def broadcasts(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    """Whether two shapes meet, in a tile that is not too large."""
    if not all(a == b or 1 in (a, b) for a, b in zip(left[::-1], right[::-1], strict=False)):
        return False
    return prod(common(left, right)) <= 4096


def common(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(left), len(right))
    left, right = (1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right
    return tuple(max(a, b) for a, b in zip(left, right, strict=True))
