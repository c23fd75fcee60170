"""A loop nest over the elements of a tile: every instruction that walks over elements is one.

Loop variables are `i0`, `i1`, …, one per axis of extent above 1. A temporary stands in the
outermost loop in which its value is fixed, so a factor per row is computed once per row:

    for (int i0 = 0; i0 < 128; ++i0) {
      const float scale_e = scale[i0];
    #pragma omp simd
      for (int i1 = 0; i1 < 64; ++i1) {
        const float v1 = x[i0 * 64 + i1] * scale_e;
        out[i0 * 64 + i1] = v1;
      }
    }
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tilewright.ir.values import Value

if TYPE_CHECKING:
    from tilewright.codegen.cpu.emitter import Emitter


@dataclass(frozen=True)
class Term:
    """C++ text of a value and the number of loops that it depends on (the innermost one's)."""

    text: str
    depth: int = 0


_ROUNDED = re.compile(r"const float (\w+) = tw::round_b?f16\((\w+)\);")
LoadRule = Callable[["Nest", Value, tuple[Term, ...]], Term]
"""How a nest reads element `index` of a load that has no array."""


@dataclass
class Nest:
    """Loops over `shape` under construction; `order` lists axes, the innermost last."""

    emitter: Emitter
    shape: tuple[int, ...]
    read: LoadRule
    order: tuple[int, ...] = ()
    starts: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    clauses: str = ""
    vector: bool = True
    chunk: int = 0
    index: tuple[Term, ...] = ()
    loops: tuple[int, ...] = ()
    levels: list[list[str]] = field(default_factory=list)
    closing: list[list[str]] = field(default_factory=list)
    known: dict[tuple[Value, tuple[str, ...]], Term] = field(default_factory=dict)
    shared: dict[tuple[str, str], Term] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order = self.order or tuple(range(len(self.shape)))
        self.starts = self.starts or ("0",) * len(self.shape)
        self.limits = self.limits or tuple(str(extent) for extent in self.shape)
        self.loops = self._list_loops()
        depths = {axis: depth + 1 for depth, axis in enumerate(self.loops)}
        self.index = tuple(
            Term(f"i{axis}", depths[axis]) if axis in depths else Term("0")
            for axis in range(len(self.shape))
        )
        self.levels = [[] for _ in range(len(self.loops) + 1)]
        self.closing = [[] for _ in range(len(self.loops) + 1)]

    def _list_loops(self) -> tuple[int, ...]:
        """Axes with a loop; one of extent 1 has one (outermost) only if it may be empty."""
        moving = [axis for axis in self.order if self.shape[axis] != 1]
        maybe = [a for a in self.order if self.shape[a] == 1 and self.limits[a] != "1"]
        return (*maybe, *moving)

    @property
    def depth(self) -> int:
        """The number of loops."""
        return len(self.levels) - 1

    def add(self, text: str, depth: int | None = None) -> None:
        """A statement inside `depth` loops (all of them by default)."""
        self.levels[self.depth if depth is None else depth].append(text)

    def after(self, text: str, depth: int) -> None:
        """A statement inside `depth` loops, behind the loop that they hold."""
        self.closing[depth].append(text)

    def define(self, ctype: str, text: str, depth: int, hint: str = "v") -> Term:
        """A temporary that holds `text`; equal texts share one."""
        key = (ctype, text)
        if key not in self.shared:
            name = self.emitter.names.fresh(f"{hint}_e")
            self.add(f"const {ctype} {name} = {text};", depth)
            self.shared[key] = Term(name, depth)
        return self.shared[key]

    def unrounded(self, text: str) -> str:
        """A temporary's operand, if it only rounds it: a store rounds anyway."""
        found = (_ROUNDED.fullmatch(line) for level in self.levels for line in level)
        return next((m[2] for m in found if m and m[1] == text), text)

    def value(self, value: Value, index: Sequence[Term]) -> Term:
        """The element of `value` at `index`, held."""
        key = (value, tuple(term.text for term in index))
        if key not in self.known:
            self.known[key] = self.emitter.element(self, value, tuple(index))
        return self.known[key]

    def write(self) -> None:
        """Emit the loops."""
        self._write(0)

    def _write(self, depth: int) -> None:
        out = self.emitter.out
        for line in self.levels[depth]:
            out.line(line)
        if depth < len(self.loops):
            axis = self.loops[depth]
            start, limit = self.starts[axis], self.limits[axis]
            inner = depth == len(self.loops) - 1
            if inner and self.chunk:
                self._write_chunks(axis)
            else:
                self._write_loop(
                    depth, f"int i{axis} = {start}; i{axis} < {limit}; ++i{axis}", inner
                )
        for line in self.closing[depth]:
            out.line(line)

    def _write_loop(self, depth: int, head: str, inner: bool) -> None:
        out = self.emitter.out
        if inner and self.vector:
            out.line(f"#pragma omp simd{self.clauses}")
        with out.block(f"for ({head})"):
            self._write(depth + 1)

    def _write_chunks(self, axis: int) -> None:
        """The innermost loop in chunks of fixed length that start at `i`, and what remains."""
        depth, extent, size = len(self.loops) - 1, self.shape[axis], self.chunk
        whole = extent // size * size
        if whole:
            with self.emitter.out.block(f"for (int i = 0; i < {whole}; i += {size})"):
                head = f"int i{axis} = i; i{axis} < i + {size}; ++i{axis}"
                self._write_loop(depth, head, True)
        if whole < extent:
            with self.emitter.out.block(""):
                self.emitter.out.line(f"const int i = {whole};")
                head = f"int i{axis} = i; i{axis} < {extent}; ++i{axis}"
                self._write_loop(depth, head, True)


def linear(index: Sequence[Term], strides: Sequence[int | str], *, wide: bool = False) -> Term:
    """The sum of index · stride, outer terms first, as C++ text."""
    parts: list[tuple[int, str]] = []
    for term, stride in zip(index, strides, strict=True):
        if term.text == "0" or str(stride) == "0":
            continue
        text = term.text if term.text.isidentifier() or term.text.isdigit() else f"({term.text})"
        text = f"(int64_t){text}" if wide and str(stride) != "1" else text
        parts.append((term.depth, text if str(stride) == "1" else f"{text} * {stride}"))
    if not parts:
        return Term("0")
    return Term(" + ".join(text for _, text in sorted(parts, key=lambda p: p[0])), max(parts)[0])
