"""The timeline of a run: its spans, and the chart of them as SVG or as a page of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tilewright.runtime.vm.program import Program
from tilewright.runtime.vm.timeline.chart import draw_chart
from tilewright.runtime.vm.timeline.page import write_page
from tilewright.runtime.vm.timeline.recording import Recording
from tilewright.runtime.vm.timeline.spans import Block, Level, Reader, Span


@dataclass(frozen=True)
class Timeline:
    """What the first blocks of a run did, in virtual steps (one instruction of one warp each).

    `spans` and `levels` hold what the chart draws; `blocks` are the blocks in it, `of` the blocks
    of the run; `window` the steps that it shows; `is_whole` whether recording went on to the end.
    """

    entry: str
    spans: tuple[Span, ...]
    levels: tuple[Level, ...]
    blocks: tuple[Block, ...]
    of: int
    window: tuple[int, int]
    about: str
    is_whole: bool = True

    def to_svg(self, width: int = 1200) -> str:
        """The chart as an SVG picture, `width` pixels wide."""
        return draw_chart(self, width)

    def to_html(self, width: int = 1200) -> str:
        """One page without outside references: the chart, with tooltips and a legend to filter
        by.
        """
        return write_page(self.entry, self.to_svg(width))

    def save(self, path: str | Path) -> None:
        """Writes the chart: `.svg`, or `.html` for the page."""
        path = Path(path)
        writers = {".svg": self.to_svg, ".html": self.to_html, ".htm": self.to_html}
        if path.suffix.lower() not in writers:
            raise ValueError(f"cannot write a timeline to {path.name!r}; use .html or .svg")
        path.write_text(writers[path.suffix.lower()](), encoding="utf-8")

    def _repr_html_(self) -> str:
        return self.to_svg()


def make_timeline(
    recordings: list[Recording],
    program: Program,
    *,
    blocks: int,
    steps: tuple[int, int] | None,
    of: int,
    about: str,
) -> Timeline:
    """The timeline of the first blocks."""
    spans: list[Span] = []
    levels: list[Level] = []
    places: list[Block] = []
    whole = True
    horizon = 0
    for recording in sorted(recordings, key=lambda recording: recording.blocks[0][::-1]):
        reader = Reader(recording, program)
        for block, place in enumerate(recording.blocks[: blocks - len(places)]):
            spans.extend(reader.spans(block))
            levels.extend(reader.levels(block))
            horizon = max(horizon, reader.horizon(block))
            places.append(place)
            whole = whole and recording.is_whole
        if len(places) == blocks:
            break
    window = steps or (0, max(horizon, 1))
    inside = tuple(
        s for s in spans if s.start < window[1] and max(s.end, s.waited or 0) > window[0]
    )
    return Timeline(
        program.entry.name, inside, tuple(levels), tuple(places), of, window, about, whole
    )
