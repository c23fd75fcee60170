"""What to do about the limit that binds, in one sentence that the counters bear out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PLAIN = {
    "matrix": "The matrix units bind: nothing but a narrower operand type or less work is faster.",
    "fma": "Multiply-adds of lanes bind: matrix instructions or packed halves do more per clock.",
    "half": "Packed halves bind: matrix instructions do more per clock.",
    "f64": "f64 binds: compute in f32 where the result allows it.",
    "alu": "Logic, shifts and comparisons bind: hoist index arithmetic, unpack more at a time.",
    "special": "Special functions bind: replace some by polynomials, or compute fewer of them.",
    "lsu": "Load/store instructions bind: move 16 bytes per lane, or copy in bulk.",
    "issue": "Issue slots bind: wider loads, unrolling and matrix instructions take fewer.",
}
_IDLE = 0.75  # below this share of busy multiprocessors the grid is the first thing to look at
_WASTE = 0.1  # of sectors or wavefronts


def advise(binding: str, counters: Mapping[str, Any], blocks: int, multiprocessors: int) -> str:
    """What would lower the bound `binding` of a run, most useful first."""
    rounds = -(-blocks // multiprocessors)
    balance = blocks / (rounds * multiprocessors)
    if balance < _IDLE and binding != "memory":
        return (
            f"The grid binds: {count_of(blocks, 'block')} on {multiprocessors} multiprocessors "
            f"leave {1 - balance:.0%} of {count_of(rounds, 'round')} idle; use more or smaller "
            "blocks."
        )
    if binding == "memory":
        return _advise_memory(counters)
    if binding == "l2":
        return _advise_cache(counters)
    if binding == "shared":
        return _advise_shared(counters)
    return _PLAIN[binding]


def _advise_memory(counters: Mapping[str, Any]) -> str:
    return _find_waste(counters, "Global memory") or (
        "Global memory binds and every sector is used: only fewer bytes are faster."
    )


def _advise_cache(counters: Mapping[str, Any]) -> str:
    traffic = counters["global"]
    moved = traffic["read_sectors"] + traffic["written_sectors"]
    return _find_waste(counters, "The L2 cache") or (
        f"The L2 cache binds: each sector is moved {traffic['sectors'] / max(moved, 1):.1f} times; "
        "larger tiles, or multicast within a cluster, move it less often."
    )


def _find_waste(counters: Mapping[str, Any], what: str) -> str | None:
    worst = _find_worst(counters, "global", "sectors", "ideal_sectors")
    if worst is None:
        return None
    requests, sectors, waste = worst["requests"], worst["sectors"], worst["wasted"]
    return (
        f"{what} binds: {waste / requests:.1f} of {sectors / requests:.1f} sectors per request "
        f"are waste at {_place(worst)}; let neighbouring lanes touch neighbouring bytes."
    )


def _advise_shared(counters: Mapping[str, Any]) -> str:
    worst = _find_worst(counters, "shared", "wavefronts", "ideal_wavefronts")
    if worst is None:
        return "Shared memory binds without conflicts: larger tiles per warp read operands less."
    share = worst["wasted"] / worst["wavefronts"]
    return (
        f"Shared memory binds: {share:.0%} of the {worst['wavefronts']:,} wavefronts at "
        f"{_place(worst)} are bank conflicts; swizzle or pad the rows."
    )


def _find_worst(
    counters: Mapping[str, Any], space: str, actual: str, ideal: str
) -> dict[str, Any] | None:
    """The access line of a space that wastes most, if what it wastes matters to the space."""
    lines = [line for line in counters["lines"] if line["space"] == space and line["requests"]]
    if not lines:
        return None
    rated = [line | {"wasted": line[actual] - line[ideal]} for line in lines]
    worst = max(rated, key=lambda line: line["wasted"])
    total = sum(line[actual] for line in lines)
    return worst if worst["wasted"] > _WASTE * total else None


def _place(line: Mapping[str, Any]) -> str:
    return f"PTX line {line['line']}: {line['text']}"


def count_of(number: int, name: str) -> str:
    """A number and what it counts: "1 block", "2 blocks"."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
