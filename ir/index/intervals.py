"""Intervals of integers with open ends: (low, high), None where nothing is known."""

from __future__ import annotations

Bound = int | None
Interval = tuple[Bound, Bound]


def add_intervals(a: Interval, b: Interval) -> Interval:
    """All sums."""
    low = None if a[0] is None or b[0] is None else a[0] + b[0]
    high = None if a[1] is None or b[1] is None else a[1] + b[1]
    return low, high


def scale_interval(a: Interval, factor: int) -> Interval:
    """All products with a number."""
    if factor == 0:
        return 0, 0
    low = None if a[0] is None else a[0] * factor
    high = None if a[1] is None else a[1] * factor
    return (low, high) if factor > 0 else (high, low)


def multiply_intervals(a: Interval, b: Interval) -> Interval:
    """All products; an open end stays useful where the other side keeps its sign."""
    if a[0] is not None and a[1] is not None and b[0] is not None and b[1] is not None:
        corners = [x * y for x in (a[0], a[1]) for y in (b[0], b[1])]
        return min(corners), max(corners)
    if a == (0, 0) or b == (0, 0):
        return 0, 0
    if a[1] is not None and a[1] <= 0:
        return scale_interval(multiply_intervals(scale_interval(a, -1), b), -1)
    if b[1] is not None and b[1] <= 0:
        return scale_interval(multiply_intervals(a, scale_interval(b, -1)), -1)
    if a[0] is None or a[0] < 0:
        a, b = b, a
    if a[0] is None or a[0] < 0:
        return None, None
    # Now a ≥ 0, and b reaches above zero.
    low = _extreme(b[0], a[0], a[1]) if b[0] is not None else None
    high = b[1] * a[1] if b[1] is not None and a[1] is not None else None
    return low, high


def _extreme(low: int, smallest: int, largest: Bound) -> Bound:
    """The lower end of x·y for x in [smallest, largest] (≥ 0) and y ≥ low."""
    if low >= 0:
        return low * smallest
    return None if largest is None else low * largest


def divide_intervals(a: Interval, b: Interval) -> Interval:
    """All floor quotients by a positive divisor."""
    if b[0] is None or b[0] <= 0:
        return None, None
    low, high = a
    if low is not None:
        if low < 0:
            low = low // b[0]
        else:
            low = 0 if b[1] is None else low // b[1]
    if high is not None:
        if high >= 0:
            high = high // b[0]
        else:
            high = -1 if b[1] is None else high // b[1]
    return low, high


def modulo_intervals(a: Interval, b: Interval) -> Interval:
    """All floor remainders by a positive divisor."""
    if b[0] is None or b[0] <= 0:
        return None, None
    high = None if b[1] is None else b[1] - 1
    if a[0] is not None and a[0] >= 0 and a[1] is not None:
        high = a[1] if high is None else min(a[1], high)
    return 0, high
