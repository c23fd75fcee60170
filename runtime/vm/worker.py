"""The other end of `processes.py`: runs a share of the gangs and writes down what they found.

The arguments are file descriptors: the arena, the job, and where the result goes.
"""

from __future__ import annotations

import os
import pickle
import sys

from tilewright.runtime.vm.launch import Launch
from tilewright.runtime.vm.parts import Gangs, Range


def main() -> None:
    """Runs the job that the arguments name."""
    arena, job, result = (int(text) for text in sys.argv[1:4])
    with os.fdopen(os.dup(job), "rb") as file:
        file.seek(0)
        launch: Launch
        share: list[Range]
        launch, share = pickle.load(file)
    launch.program.number()
    launch.arena.attach(os.fdopen(arena, "r+b"))
    gangs = Gangs(launch)
    part = gangs.finish(gangs.run(share))
    with os.fdopen(result, "wb") as file:
        pickle.dump(part, file, pickle.HIGHEST_PROTOCOL)
