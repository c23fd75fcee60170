"""A track with more spans than a chart can hold, as columns of shares.

The shares of a column are rounded to sixteenths, and neighbours that are equal become one column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tilewright.runtime.vm.timeline.kinds import KINDS, NUMBER
from tilewright.runtime.vm.timeline.spans import Span

PARTS = 16
SPANS = 6  # in a column; with fewer, columns show where they are cut and not what goes on


@dataclass(frozen=True, slots=True)
class Column:
    """Steps `start` to `end`, and what part of them each kind takes."""

    start: float
    end: float
    shares: tuple[tuple[str, float], ...]


def find_columns(spans: Sequence[Span], first: int, last: int, room: int) -> list[Column]:
    """At most about `room` shapes for the spans between two steps."""
    count = max(min(room // 2, len(spans) // SPANS), 8)
    edges = np.linspace(first, last, count + 1)
    shares = np.zeros((len(KINDS), count))
    for number in {NUMBER[span.kind] for span in spans}:
        own = [span for span in spans if NUMBER[span.kind] == number]
        start = np.array([span.start for span in own], float)
        end = np.array([span.end for span in own], float)
        shares[number] = _covered(start, end, edges)
    total = np.maximum(shares.sum(axis=0), 1.0)  # overlapping work fills a column once
    parts = np.rint(shares / total * PARTS).astype(int)
    columns: list[Column] = []
    begin = 0
    for index in range(1, count + 1):
        if index < count and (parts[:, index] == parts[:, begin]).all():
            continue
        kinds = [
            (KINDS[kind].name, parts[kind, begin] / PARTS)
            for kind in np.flatnonzero(parts[:, begin]).tolist()
        ]
        if kinds:
            columns.append(Column(float(edges[begin]), float(edges[index]), tuple(kinds)))
        begin = index
    return columns


def _covered(start: np.ndarray, end: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Which part of every column lies inside of spans."""

    def before(edge: np.ndarray) -> np.ndarray:
        """Steps inside of spans up to each edge."""
        order_start, order_end = np.sort(start), np.sort(end)
        begun = np.searchsorted(order_start, edge, side="right")
        ended = np.searchsorted(order_end, edge, side="right")
        sums_start = np.concatenate([[0], np.cumsum(order_start)])
        sums_end = np.concatenate([[0], np.cumsum(order_end)])
        total: np.ndarray = edge * (begun - ended) - sums_start[begun] + sums_end[ended]
        return total

    inside: np.ndarray = np.diff(before(edges)) / np.diff(edges)
    return inside
