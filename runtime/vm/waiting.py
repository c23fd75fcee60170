"""The signal by which a warp-collective instruction says that lanes of its mask are missing."""

from __future__ import annotations

from tilewright.runtime.vm.memory import Array


class Wait(Exception):
    """`ready` are the lanes (relative to the frame) whose warps are complete and may go on."""

    def __init__(self, ready: Array) -> None:
        super().__init__()
        self.ready = ready
