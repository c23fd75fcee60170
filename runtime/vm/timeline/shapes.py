"""The shapes of a chart: bars, columns of shares, areas, and what a tooltip says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from tilewright.runtime.vm.timeline.columns import Column
from tilewright.runtime.vm.timeline.kinds import BY_NAME, NUMBER
from tilewright.runtime.vm.timeline.spans import Level, Span

LEVEL_HEIGHT = 30
MOST_LINES = 8  # of overlapping bars in one track


@dataclass(frozen=True, slots=True)
class Scale:
    """Steps to pixels."""

    left: float
    right: float
    first: int
    last: int

    def x(self, step: float) -> float:
        """The place of a step, within the plot."""
        share = (step - self.first) / (self.last - self.first)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)


def stack(spans: Iterable[Span]) -> list[tuple[Span, int]]:
    """Gives bars that overlap lines of their own."""
    ends: list[int] = []
    placed = []
    for span in sorted(spans, key=lambda s: s.start):
        until = max(span.end, span.waited or 0)
        line = next((i for i, end in enumerate(ends) if end <= span.start), len(ends))
        if line == MOST_LINES:
            line = min(range(MOST_LINES), key=lambda i: ends[i])
        if line == len(ends):
            ends.append(until)
        ends[line] = until
        placed.append((span, line))
    return placed


def draw_bar(span: Span, scale: Scale, y: float, height: float) -> Iterator[str]:
    """A span: its bar, the pale rest until it is waited for, and its label where there is room."""
    kind = NUMBER[span.kind]
    left, right = scale.x(span.start), scale.x(span.end)
    rest = scale.x(span.waited) if span.waited is not None else right
    place = f'y="{y:.1f}" height="{height:.1f}"'
    yield f"<g><title>{escape(describe(span))}</title>"
    if rest > right:
        yield f'<rect class="k{kind} pale" x="{right:.2f}" {place} width="{rest - right:.2f}"/>'
    wide = max(right - left, 0.8 if span.kind in ("work", "mma") else 1.4)
    if span.end > scale.first:
        yield f'<rect class="k{kind}" x="{left:.2f}" {place} width="{wide:.2f}"/>'
    text = show_bytes(span.bytes) if span.bytes else "" if span.kind == "work" else span.kind
    room = text_width(text, 10) + 8
    if text and max(wide, rest - right) > room:
        on_bar = wide > room
        style = "in light" if on_bar and BY_NAME[span.kind].is_dark else "in"
        at = (left if on_bar else right) + 4
        yield f'<text class="{style}" x="{at:.1f}" y="{y + height / 2 + 3.5:.1f}">{text}</text>'
    yield "</g>"


def draw_columns(columns: Iterable[Column], scale: Scale, y: float, height: float) -> Iterator[str]:
    """Columns of shares, stacked from the bottom."""
    for column in columns:
        left, right = scale.x(column.start), scale.x(column.end)
        parts = ", ".join(f"{name} {share:.0%}" for name, share in column.shares)
        yield f"<g><title>steps {column.start:,.0f} to {column.end:,.0f}\n{parts}</title>"
        bottom = y + height
        for name, share in column.shares:
            tall = share * height
            bottom -= tall
            yield (
                f'<rect class="k{NUMBER[name]}" x="{left:.1f}" y="{bottom:.1f}" '
                f'width="{right - left + 0.3:.1f}" height="{tall:.1f}"/>'
            )
        yield "</g>"


def draw_area(level: Level, scale: Scale, y: float) -> Iterator[str]:
    """The step function of a level as a filled area; of several changes in a pixel the highest."""
    unit = (LEVEL_HEIGHT - 4) / level.most
    bottom = y + LEVEL_HEIGHT
    before = [number for step, number in level.steps if step <= scale.first]
    heights: dict[float, list[int]] = {scale.left: before[-1:] or [0]}
    for step, number in level.steps:
        if scale.first < step < scale.last:
            x = round(scale.x(step), 1 if len(level.steps) < 2000 else 0)
            heights.setdefault(x, []).append(number)
    path = [f"M{scale.left:.1f} {bottom:.1f}"]
    for x, numbers in heights.items():
        path.append(f"H{x:.1f}V{bottom - max(numbers) * unit:.1f}")
        if numbers[-1] != max(numbers):
            path.append(f"h.5V{bottom - numbers[-1] * unit:.1f}")
    path.append(f"H{scale.right:.1f}V{bottom:.1f}Z")
    if level.most <= 8:
        for number in range(1, level.most + 1):
            at = bottom - number * unit
            yield (
                f'<line class="grid" x1="{scale.left:.1f}" x2="{scale.right:.1f}" y1="{at:.1f}" '
                f'y2="{at:.1f}"/>'
            )
    yield (
        f'<path class="k{NUMBER[level.kind]}" fill-opacity=".55" d="{"".join(path)}">'
        f"<title>{level.track} in flight: at most {level.most}</title></path>"
    )


def describe(span: Span) -> str:
    """The lines of a tooltip."""
    until = f"{span.end:,}"
    lines = [f"{span.kind}: steps {span.start:,} to {until} ({span.end - span.start:,})"]
    if span.bytes:
        copies = f"{span.count} copies" if span.count > 1 else "1 copy"
        lines.append(f"{show_bytes(span.bytes)} in {copies}")
    elif span.kind == "wgmma":
        lines.append(f"{span.count} products")
    if span.waited is not None:
        lines.append(f"waited for at step {span.waited:,}")
    if span.label.startswith("PTX lines"):
        lines.append(span.label)
    else:
        text = f"PTX line {span.line}: {span.label}"
        lines.append(text if len(text) <= 100 else text[:99] + "…")
    if span.source:
        lines.append(span.source)
    return "\n".join(lines)


def text_width(text: str, size: float = 12) -> float:
    """About how wide a text is in a sans-serif typeface, in pixels."""
    return sum(0.92 if c in "mwMW" else 0.4 if c in "ijlt.,:; " else 0.64 for c in text) * size


def show_bytes(size: int) -> str:
    """`24 KiB`."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"
