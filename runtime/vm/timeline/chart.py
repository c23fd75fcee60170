"""The chart as SVG: blocks from top to bottom, steps from left to right, colour by kind.

Every warp (or group of warps that run together) has a track; below them the asynchronous work of
the block, one bar per stage and as many lines as stages overlap, and the number of stages in flight
as an area. A bar of asynchronous work is full from its issue to the step at which it acted, and
pale from there to the wait that covers it. Where a track has more spans than fit, it is drawn in
columns that show the share of each kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from tilewright.runtime.vm.timeline.columns import find_columns
from tilewright.runtime.vm.timeline.kinds import ASYNCHRONOUS, BY_NAME, KINDS, NUMBER
from tilewright.runtime.vm.timeline.shapes import (
    LEVEL_HEIGHT,
    Scale,
    draw_area,
    draw_bar,
    draw_columns,
    stack,
    text_width,
)
from tilewright.runtime.vm.timeline.spans import Block, Level, Span

if TYPE_CHECKING:
    from tilewright.runtime.vm.timeline.timeline import Timeline

BARS = 3000  # in a chart; each takes 150 to 250 bytes
WARP_HEIGHT, BAR_HEIGHT, GAP = 20, 13, 5
ASYNC_NAMES = frozenset(kind.name for kind in ASYNCHRONOUS)


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
        f'data-first="{scale.first}" data-last="{scale.last}" data-top="{top - 6:.0f}">'
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


# -- tracks ----------------------------------------------------------------------------------------


def _draw_track(track: Track, scale: Scale, y: float, room: int) -> tuple[list[str], float]:
    """The shapes of a row and its height."""
    if track.level is not None:
        label = _label(track.name, scale, y + LEVEL_HEIGHT - 9)
        bed = _bed(scale, y, LEVEL_HEIGHT)
        return [label, bed, *draw_area(track.level, scale, y)], LEVEL_HEIGHT
    is_async = track.spans[0].kind in ASYNC_NAMES
    height = BAR_HEIGHT if is_async else WARP_HEIGHT
    fine = (scale.right - scale.left) / (2 if is_async else 3)  # bars of about three pixels
    if len(track.spans) > min(room, fine):
        columns = find_columns(track.spans, scale.first, scale.last, room)
        shapes = list(draw_columns(columns, scale, y, height))
    elif is_async:
        placed = stack(track.spans)
        pitch = BAR_HEIGHT + 1
        shapes = [
            s for span, line in placed for s in draw_bar(span, scale, y + line * pitch, height)
        ]
        height = (max(line for _, line in placed) + 1) * pitch - 1
    else:
        shapes = [shape for span in track.spans for shape in draw_bar(span, scale, y, height)]
    label = _label(track.name, scale, y + min(height, WARP_HEIGHT) / 2 + 4)
    return [label, _bed(scale, y, height), *shapes], height


def _bed(scale: Scale, y: float, height: float) -> str:
    """What lies under a track."""
    return (
        f'<rect class="bed" x="{scale.left:.1f}" y="{y}" width="{scale.right - scale.left:.1f}" '
        f'height="{height}"/>'
    )


def _label(name: str, scale: Scale, y: float) -> str:
    shown = name
    while text_width(shown) > scale.left - 30:
        shown = shown[:-2] + "…"
    return f'<text x="16" y="{y:.1f}">{escape(shown)}<title>{escape(name)}</title></text>'
