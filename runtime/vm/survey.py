"""What a PTX file asks of the machine, without running it.

Every instruction of every entry is bound once, as a launch would bind it, on a gang of one block
whose arguments are zeros. What binding refuses is what a run that reaches the instruction would
refuse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.runtime.vm.arguments import place_arguments
from tilewright.runtime.vm.bind import bind_full, bind_masked
from tilewright.runtime.vm.control import bind_terminator
from tilewright.runtime.vm.faults import Fault, Place
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.gang import Gang
from tilewright.runtime.vm.launch import Launch
from tilewright.runtime.vm.parser import parse
from tilewright.runtime.vm.program import is_control, link
from tilewright.runtime.vm.records import Function, Module
from tilewright.runtime.vm.scheduler import Scheduler
from tilewright.runtime.vm.variables import place_variables

WARPGROUP = 128


@dataclass(frozen=True)
class Unsupported:
    """An instruction that the machine lacks: why, and where."""

    message: str
    place: Place | None


@dataclass(frozen=True)
class EntrySurvey:
    """One entry: what it declares, how long it is, and what of it cannot run."""

    function: Function
    instructions: int
    shared: int
    dynamic_shared: bool
    unsupported: tuple[Unsupported, ...]


def survey(ptx: str) -> tuple[EntrySurvey, ...]:
    """All entries of a PTX text; a `Fault` of kind `syntax` where it does not parse."""
    module = parse(ptx)
    entries = [f for f in module.functions.values() if f.is_entry and not f.is_extern]
    return tuple(survey_entry(module, entry) for entry in entries)


def survey_entry(module: Module, entry: Function) -> EntrySurvey:
    """One entry of a parsed file."""
    program = link(module, entry.name)
    block = _triple(entry.directives.get("reqntid", (WARPGROUP,)))
    cluster = _triple(entry.directives.get("reqnctapercluster", (1,)))
    launch = Launch(program, cluster, block, cluster, 0, 0, "all")
    place_variables(launch)
    place_arguments(launch, [bytes(param.size) for param in entry.params])
    gang = Gang(launch, int(np.prod(cluster)))
    scheduler = Scheduler(gang)
    gang.start(0)
    frame = gang.frame(0, gang.n)
    found = [_try(scheduler, frame, pc) for pc in range(len(program.instructions))]
    used = (launch.variable(name) for name in launch.offsets)
    return EntrySurvey(
        entry,
        len(program.instructions) - len(program.starts),
        launch.shared_needed,
        any(v is not None and v.space == "shared" and v.is_extern for v in used),
        tuple(item for item in found if item is not None),
    )


def _triple(extents: tuple[int, ...]) -> tuple[int, int, int]:
    x, y, z = (*extents, 1, 1)[:3]
    return x, y, z


def _try(scheduler: Scheduler, frame: Frame, pc: int) -> Unsupported | None:
    program = scheduler.gang.program
    ins = program.instructions[pc]
    try:
        if is_control(ins):
            bind_terminator(scheduler, frame, pc)
        else:
            bind_full(ins, frame)
            bind_masked(ins, frame)
    except Fault as fault:
        return Unsupported(fault.message, fault.place or program.place(pc))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        return Unsupported(f"form of {ins.name} ({error!r})", program.place(pc))
    return None
