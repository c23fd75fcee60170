"""The chart as SVG: blocks from top to bottom, steps from left to right, colour by kind.

Every warp (or group of warps that run together) has a track; below them the asynchronous work of
the block, one bar per stage and as many lines as stages overlap, and the number of stages in flight
as an area. A bar of asynchronous work is full from its issue to the step at which it acted, and
pale from there to the wait that covers it. Where a track has more spans than fit, it is drawn in
columns that show the share of each kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from tilewright.runtime.vm.timeline.columns import Column, find_columns
from tilewright.runtime.vm.timeline.kinds import ASYNCHRONOUS, BY_NAME, KINDS, NUMBER
from tilewright.runtime.vm.timeline.spans import Block, Level, Span

if TYPE_CHECKING:
    from tilewright.runtime.vm.timeline.timeline import Timeline

BARS = 3000  # in a chart; each takes 150 to 250 bytes
WARP_HEIGHT, BAR_HEIGHT, LEVEL_HEIGHT, GAP = 20, 13, 30, 5
MOST_LINES = 8  # of overlapping bars in one track
ASYNC_NAMES = frozenset(kind.name for kind in ASYNCHRONOUS)


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


@dataclass(frozen=True, slots=True)
class Track:
    """One row of the chart: spans, or a level."""

    name: str
    spans: tuple[Span, ...] = ()
    level: Level | None = None


def draw_chart(timeline: Timeline, width: int) -> str:
    """The SVG text."""
    blocks = {block: _tracks(timeline, block) for block in timeline.blocks}
    names = [track.name for tracks in blocks.values() for track in tracks]
    gutter = min(max((text_width(name) for name in names), default=60.0), 240.0) + 30
    scale = Scale(gutter, width - 20.0, *timeline.window)
    present = _present(timeline)
    head, y = _head(timeline, present, width)
    body: list[str] = []
    top = y + 18
    y = top
    room = _share_room([len(track.spans) for tracks in blocks.values() for track in tracks])
    for block, tracks in blocks.items():
        body.append(_block_title(timeline, block, y, width))
        y += 26
        for track in tracks:
            lines, height = _draw_track(track, scale, y, room)
            body.extend(lines)
            y += height + GAP
        y += 8
    axis = _axis(scale, top - 6, y)
    height = y + 30
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="vm-timeline" width="{width}" '
        f'height="{height:.0f}" viewBox="0 0 {width} {height:.0f}" '
        f'data-left="{scale.left:.1f}" data-right="{scale.right:.1f}" '
        f'data-first="{scale.first}" data-last="{scale.last}">'
    )
    return "\n".join((opening, _style(), *head, *axis, *body, "</svg>\n"))


def _tracks(timeline: Timeline, block: Block) -> list[Track]:
    """The rows of a block: warps, then each kind of asynchronous work with its level."""
    rows: dict[str, list[Span]] = {}
    for span in timeline.spans:
        if span.block == block:
            rows.setdefault(span.track, []).append(span)
    tracks = [Track(name, tuple(spans)) for name, spans in rows.items()]
    levels = [
        Track(f"{level.track} (at most {level.most})", level=level)
        for level in timeline.levels
        if level.block == block and level.most > 1
    ]
    return tracks + levels


def _share_room(counts: list[int]) -> int:
    """How many spans a track may have so that the chart as a whole holds about `BARS`."""
    left, room = BARS, BARS
    for index, count in enumerate(sorted(counts)):
        room = left // (len(counts) - index)
        left -= min(count, room)
    return max(room, 24)


def _present(timeline: Timeline) -> list[str]:
    kinds = {span.kind for span in timeline.spans}
    return [kind.name for kind in KINDS if kind.name in kinds]


# -- frame ---------------------------------------------------------------------------------------


def _style() -> str:
    rules = "".join(f".vm-timeline .k{NUMBER[k.name]}{{fill:{k.color}}}" for k in KINDS)
    return (
        "<style>.vm-timeline{background:#fff;font:12px system-ui,-apple-system,'Segoe UI',"
        "'DejaVu Sans',sans-serif;color:#26303c}.vm-timeline text{fill:#26303c}"
        ".vm-timeline .dim{fill:#66717f}.vm-timeline .title{font-size:15px;font-weight:600}"
        ".vm-timeline .in{font-size:10px;pointer-events:none}.vm-timeline .light{fill:#fff}"
        ".vm-timeline .pale{opacity:.38}"
        ".vm-timeline .grid{stroke:#e3e8ee}.vm-timeline .bed{fill:#f6f8fa}"
        f"{rules}</style>"
    )


def _head(timeline: Timeline, present: list[str], width: int) -> tuple[list[str], float]:
    """Title, what is shown, and the legend; and where they end."""
    first, last = timeline.window
    shown, of = len(timeline.blocks), timeline.of
    which = "1 block" if of == 1 else f"{shown} of {of:,} blocks" if shown < of else f"{of} blocks"
    steps = f"{last - first:,} virtual steps" if not first else f"steps {first:,} to {last:,}"
    lines = [
        f'<text class="title" x="16" y="26">{escape(timeline.entry)}: {which}, {steps}</text>',
    ]
    notes = [timeline.about, "one step is one instruction of one warp; steps are not cycles"]
    if not timeline.is_whole:
        notes.append("the recording stops before the end")
    lines.append(f'<text class="dim" x="16" y="46">{escape("; ".join(notes))}</text>')
    x, y = 16.0, 68.0
    for name in present:
        room = text_width(name) + 36
        if x + room > width - 16:
            x, y = 16.0, y + 20
        lines.append(
            f'<g class="entry" data-kind="{NUMBER[name]}"><title>{escape(BY_NAME[name].meaning)}'
            f'</title><rect class="k{NUMBER[name]}" x="{x}" y="{y - 10}" width="12" height="12" '
            f'rx="2"/><text x="{x + 17}" y="{y}">{escape(name)}</text></g>'
        )
        x += room
    if any(span.waited is not None for span in timeline.spans):
        text = "pale: done, no wait has covered it yet"
        if x + text_width(text) > width - 16:
            x, y = 16.0, y + 20
        lines.append(f'<text class="dim" x="{x:.1f}" y="{y}">{text}</text>')
    return lines, y + 22


def _block_title(timeline: Timeline, block: Block, y: float, width: int) -> str:
    return (
        f'<line class="grid" x1="16" x2="{width - 20}" y1="{y}" y2="{y}"/>'
        f'<text x="16" y="{y + 18}" font-weight="600">block {block}</text>'
    )


def _axis(scale: Scale, top: float, bottom: float) -> list[str]:
    """Vertical lines at round steps."""
    span = scale.last - scale.first
    tick = next(
        base * 10**power
        for power in range(20)
        for base in (1, 2, 5)
        if base * 10**power * 10 >= span
    )
    lines = []
    for step in range(-(-scale.first // tick) * tick, scale.last + 1, tick):
        x = scale.x(step)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        anchor = "end" if x > scale.right - 20 else "middle"
        for y in (top - 4, bottom + 14):
            lines.append(
                f'<text class="dim" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{step:,}</text>'
            )
    return lines


# -- tracks --------------------------------------------------------------------------------------


def _draw_track(track: Track, scale: Scale, y: float, room: int) -> tuple[list[str], float]:
    """The shapes of a row and its height."""
    if track.level is not None:
        return [_label(track.name, scale, y + LEVEL_HEIGHT - 9), *_area(track.level, scale, y)], (
            LEVEL_HEIGHT
        )
    is_async = track.spans[0].kind in ASYNC_NAMES
    if len(track.spans) > room:
        columns = find_columns(track.spans, scale.first, scale.last, room)
        height = BAR_HEIGHT if is_async else WARP_HEIGHT
        shapes, height = list(_draw_columns(columns, scale, y, height)), height
    elif is_async:
        lines = _stack(track.spans)
        shapes = [shape for span, line in lines for shape in _bar(
            span, scale, y + line * (BAR_HEIGHT + 1), BAR_HEIGHT)]  # fmt: skip
        height = (max(line for _, line in lines) + 1) * (BAR_HEIGHT + 1) - 1
    else:
        shapes = [s for span in track.spans for s in _bar(span, scale, y, WARP_HEIGHT)]
        height = WARP_HEIGHT
    bed = (
        f'<rect class="bed" x="{scale.left:.1f}" y="{y}" width="{scale.right - scale.left:.1f}" '
        f'height="{height}"/>'
    )
    return [_label(track.name, scale, y + min(height, WARP_HEIGHT) / 2 + 4), bed, *shapes], height


def _label(name: str, scale: Scale, y: float) -> str:
    shown = name
    while text_width(shown) > scale.left - 30:
        shown = shown[:-2] + "…"
    return f'<text x="16" y="{y:.1f}">{escape(shown)}<title>{escape(name)}</title></text>'


def _stack(spans: Iterable[Span]) -> list[tuple[Span, int]]:
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


def _bar(span: Span, scale: Scale, y: float, height: float) -> Iterator[str]:
    """A span: its bar, the pale rest until it is waited for, and its label where there is room."""
    kind = NUMBER[span.kind]
    left, right = scale.x(span.start), scale.x(span.end)
    wide = max(right - left, 0.8 if span.kind in ("work", "mma") else 1.4)
    tip = f"<title>{escape(describe(span))}</title>"
    place = f'y="{y:.1f}" height="{height:.1f}"'
    rest = right
    if span.waited is not None and span.waited > span.end:
        rest = scale.x(span.waited)
        yield (
            f'<rect class="k{kind} pale" x="{right:.2f}" {place} width="{rest - right:.2f}">'
            f"{tip}</rect>"
        )
    yield f'<rect class="k{kind}" x="{left:.2f}" {place} width="{wide:.2f}">{tip}</rect>'
    text = show_bytes(span.bytes) if span.bytes else "" if span.kind == "work" else span.kind
    room = text_width(text, 10) + 8
    if text and max(wide, rest - right) > room:
        on_bar = wide > room
        style = "in light" if on_bar and BY_NAME[span.kind].is_dark else "in"
        at = left if on_bar else right
        yield (
            f'<text class="{style}" x="{at + 4:.1f}" y="{y + height / 2 + 3.5:.1f}">'
            f"{escape(text)}</text>"
        )


def _draw_columns(
    columns: Iterable[Column], scale: Scale, y: float, height: float
) -> Iterator[str]:
    """Columns of shares, stacked from the bottom."""
    for column in columns:
        left, right = scale.x(column.start), scale.x(column.end)
        parts = ", ".join(f"{name} {share:.0%}" for name, share in column.shares)
        tip = f"<title>steps {column.start:,.0f} to {column.end:,.0f}\n{escape(parts)}</title>"
        bottom = y + height
        for name, share in column.shares:
            tall = share * height
            bottom -= tall
            yield (
                f'<rect class="k{NUMBER[name]}" x="{left:.1f}" y="{bottom:.1f}" '
                f'width="{right - left + 0.3:.2f}" height="{tall:.1f}">{tip}</rect>'
            )


def _area(level: Level, scale: Scale, y: float) -> Iterator[str]:
    """The step function of a level as a filled area; of several changes in a pixel the highest."""
    unit = (LEVEL_HEIGHT - 4) / max(level.most, 1)
    bottom = y + LEVEL_HEIGHT
    points: dict[float, int] = {}
    for step, number in level.steps:
        x = round(scale.x(step), 1 if len(level.steps) < 2000 else 0)
        points[x] = max(points.get(x, 0), number) if scale.x(step) < scale.right else 0
    path = [f"M{scale.left:.1f} {bottom}"]
    for x, number in points.items():
        path.append(f"H{x:.1f}V{bottom - number * unit:.1f}")
    path.append(f"V{bottom}Z")
    tip = f"<title>{escape(level.track)} in flight: at most {level.most}</title>"
    yield (
        f'<rect class="bed" x="{scale.left:.1f}" y="{y}" width="{scale.right - scale.left:.1f}" '
        f'height="{LEVEL_HEIGHT}"/>'
    )
    if level.most <= 8:
        for number in range(1, level.most + 1):
            at = bottom - number * unit
            yield (
                f'<line class="grid" x1="{scale.left:.1f}" x2="{scale.right:.1f}" y1="{at:.1f}" '
                f'y2="{at:.1f}"/>'
            )
    yield (
        f'<path class="k{NUMBER[level.kind]}" fill-opacity=".55" d="{"".join(path)}">{tip}</path>'
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
        lines.append(f"PTX line {span.line}: {span.label}"[:100])
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
