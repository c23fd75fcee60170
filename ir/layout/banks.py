"""Bank conflicts of shared memory, and the swizzle that avoids them.

Shared memory has 32 banks of 4 bytes. One request of a warp is served in phases: 32 lanes of up to
4 bytes, 16 lanes of 8 bytes, or 8 lanes of 16 bytes (a matrix of `ldmatrix` is one such phase). A
phase takes as many wavefronts as the fullest bank has different words; equal words are broadcast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tilewright.ir.layout.places import Ints, LayoutPlaces
from tilewright.ir.layout.value import LayoutError, Swizzle

BANKS = 32
BANK_BYTES = 4


class Access(NamedTuple):
    """Requests of warps to one tile: per request and lane a coordinate, where active.

    `coordinates` has one array (requests, lanes) per dimension; each active lane touches `width`
    bytes from its coordinate on.
    """

    coordinates: tuple[Ints, ...]
    active: Any
    width: int


def matrix_access(shape: Sequence[int], rows: int = 8, *, columns: int, width: int = 16) -> Access:
    """The 8-row matrices by which `ldmatrix` reads a two-dimensional tile, all of them.

    Each request is `rows` lanes with one row of `columns` elements (`width` bytes) each.
    """
    height, breadth = shape
    if height % rows or breadth % columns:
        raise LayoutError(f"matrices of {rows} x {columns} do not tile {tuple(shape)}")
    tops, lefts = np.meshgrid(
        np.arange(0, height, rows), np.arange(0, breadth, columns), indexing="ij"
    )
    row = tops.reshape(-1, 1) + np.arange(rows)
    column = np.broadcast_to(lefts.reshape(-1, 1), row.shape)
    return Access((row, column), np.ones(row.shape, dtype=bool), width)


class _Words(NamedTuple):
    """The different words of all phases: flat, each with its phase."""

    words: Ints
    phase: Ints
    phases: int


def count_wavefronts(addresses: Any, width: int, active: Any = True) -> tuple[int, int]:
    """(wavefronts, ideal) of requests: byte addresses (requests, lanes), `width` bytes per lane.

    The ideal is one wavefront per phase with an active lane.
    """
    words = _distinct_words(addresses, width, active)
    return _count(words.words, words), words.phases


def count_conflicts(memory: LayoutPlaces, accesses: Sequence[Access]) -> int:
    """Wavefronts beyond the ideal of all accesses to a tile laid out as `memory`."""
    return sum(_count(words.words, words) - words.phases for words in _touched(memory, accesses))


def _touched(memory: LayoutPlaces, accesses: Sequence[Access]) -> list[_Words]:
    found = []
    for access in accesses:
        addresses = memory.address(*access.coordinates) * memory.bits // 8
        spread = np.broadcast_to(addresses, np.shape(access.active))
        found.append(_distinct_words(spread, access.width, access.active))
    return found


def _distinct_words(addresses: Any, width: int, active: Any) -> _Words:
    if width not in (1, 2, 4, 8, 16):
        raise LayoutError(f"one lane accesses 1, 2, 4, 8 or 16 bytes, not {width}")
    array = np.atleast_2d(np.asarray(addresses, dtype=np.int64))
    mask = np.broadcast_to(np.asarray(active, dtype=bool), array.shape)
    words = _phase_words(array, mask, width)
    words = words[(words >= 0).any(axis=1)]
    words.sort(axis=1)
    fresh = words >= 0
    fresh[:, 1:] &= words[:, 1:] != words[:, :-1]
    return _Words(words[fresh], np.nonzero(fresh)[0] * BANKS, len(words))


def _count(words: Ints, where: _Words) -> int:
    per_bank = np.bincount(where.phase + (words & (BANKS - 1)), minlength=where.phases * BANKS)
    return int(per_bank.reshape(-1, BANKS).max(axis=1, initial=0).sum())


def _phase_words(addresses: Ints, active: Any, width: int) -> Ints:
    """Words (phases, words per phase) that each phase touches, -1 for inactive lanes."""
    lanes = BANKS * BANK_BYTES // max(width, BANK_BYTES)
    requests, count = addresses.shape
    whole = -(-count // lanes) * lanes
    words = np.full((requests, whole), -1, dtype=np.int64)
    words[:, :count] = np.where(active, addresses // BANK_BYTES, -1)
    words = words.reshape(-1, lanes)
    if width <= BANK_BYTES:
        return words
    steps = np.arange(width // BANK_BYTES)
    spread = np.where(words[:, :, None] >= 0, words[:, :, None] + steps, -1)
    return spread.reshape(len(words), -1)


def find_swizzle(memory: LayoutPlaces, accesses: Sequence[Access]) -> tuple[Swizzle, int]:
    """The first swizzle of `memory` with the fewest conflicts, and their number.

    In order: none, the canonical forms of 32, 64 and 128-byte rows (which TMA and wgmma know),
    then every granule that holds the widest access, with sources at the strides of the buffer
    before others.
    """
    touched = _touched(memory, accesses)
    ideal = sum(words.phases for words in touched)
    best = (Swizzle(0, 0, 0), sum(_count(words.words, words) for words in touched) - ideal)
    width = max((access.width for access in accesses), default=16)
    for swizzle in _candidates(memory, width):
        if best[1] == 0:
            break
        if swizzle.granule * 8 % memory.bits:
            continue
        # A granule holds whole words and whole accesses, so words move as their addresses do.
        moved = [swizzle.apply(words.words * BANK_BYTES) // BANK_BYTES for words in touched]
        conflicts = sum(map(_count, moved, touched)) - ideal
        if conflicts < best[1]:
            best = (swizzle, conflicts)
    return best


def _candidates(memory: LayoutPlaces, width: int) -> list[Swizzle]:
    canonical = [Swizzle(bits, 4, 3) for bits in (1, 2, 3)]
    lowest = max(2, width.bit_length() - 1)
    highest = max(1, memory.size("addr") * memory.bits // 8 - 1).bit_length()
    strides = {(piece.stride * memory.bits // 8).bit_length() - 1 for piece in memory.pieces}
    others = [
        Swizzle(bits, base, shift)
        for base in (4, 5, 6, 3, 2)
        if base >= lowest
        for bits in range(1, 8 - base)
        for shift in range(bits, max(bits, highest - base) + 1)
    ]
    # The bits that tell apart what conflicts usually start at a row or a column of the buffer.
    others.sort(key=lambda swizzle: swizzle.base + swizzle.shift not in strides)
    return [*canonical, *(swizzle for swizzle in others if swizzle not in canonical)]
