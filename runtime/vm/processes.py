"""Independent blocks in several processes.

Blocks are independent if they share nothing but plain loads and stores of global memory; then their
order does not matter unless they race, which is found afterwards (`checks/history.py`). Each
process runs a contiguous range of gangs on the same arena, a file in memory. Workers are fresh
interpreters, not forks: a process with torch or BLAS threads cannot be forked safely. They take a
third of a second to start, so they are used only where the first gang's time says that it pays.
"""

from __future__ import annotations

import copy
import math
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from typing import IO, TYPE_CHECKING

from tilewright.runtime.vm.checks.history import History
from tilewright.runtime.vm.checks.ledger import Ledger
from tilewright.runtime.vm.checks.ordering import STRONG
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.parts import Gangs, Part, Range, join
from tilewright.runtime.vm.program import Program
from tilewright.runtime.vm.records import Instruction

if TYPE_CHECKING:
    from tilewright.runtime.vm.launch import Launch

VARIABLE = "TILEWRIGHT_VM_PROCESSES"
ALONE = f"{VARIABLE}=1 runs all blocks in one process"
WORTH_SECONDS = 4.0  # of work left after the first gang; half of it is far above a start
_HEAP = ("malloc", "free")


def read_processes() -> int | None:
    """The number of processes that `TILEWRIGHT_VM_PROCESSES` asks for, if it does."""
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{VARIABLE}={text!r}: a number of processes, 1 or more")
    return int(text)


def may_split(program: Program, ranges: list[Range], wanted: int | None) -> bool:
    """Whether a launch may use several processes at all."""
    if len(ranges) < 2 or wanted == 1 or not sys.executable or os.name != "posix":
        return False
    return (wanted is not None or _processors() > 1) and is_independent(program)


def prepare(launch: Launch) -> None:
    """Before its arguments are placed: a launch that may use several processes."""
    launch.arena.file = make_file()
    if launch.checks != "off":
        launch.ledger.history = History((math.prod(launch.block) + 31) // 32 * 32)


def is_independent(program: Program) -> bool:
    """Whether blocks touch what others see only by plain loads and stores of global memory."""
    return not any(_communicates(ins) for ins in program.instructions)


def _communicates(ins: Instruction) -> bool:
    mods = set(ins.mods)
    if ins.opcode in ("atom", "red", "ld", "st"):
        local = any(mod.split("::")[0] == "shared" for mod in mods)
        return not local and (ins.opcode in ("atom", "red") or bool(STRONG & mods))
    if ins.opcode == "call":
        return any(getattr(operand, "name", None) in _HEAP for operand in ins.operands)
    return ins.opcode in ("tensormap", "multimem") or (ins.opcode == "cp" and "reduce" in mods)


def _processors() -> int:
    count = getattr(os, "sched_getaffinity", None)
    return len(count(0)) if count else os.cpu_count() or 1


Outcome = tuple[Fault | None, list[Part]]


def run_gangs(gangs: Gangs, ranges: list[Range], wanted: int | None) -> Outcome:
    """Runs all gangs, in several processes where it pays; the fault, and the other parts."""
    launch = gangs.launch
    if launch.arena.file is None:
        return gangs.run(ranges), []
    if wanted is None:
        start = time.process_time()
        fault = gangs.run(ranges[:1])
        if fault is not None:
            return fault, []
        ranges = ranges[1:]
        left = (time.process_time() - start) * len(ranges)
        wanted = _processors() if left >= WORTH_SECONDS else 1
    shares = _share(ranges, min(wanted, len(ranges)))
    if len(shares) < 2:
        return gangs.run(ranges), []
    return _run_shares(gangs, shares)


def _share(ranges: list[Range], count: int) -> list[list[Range]]:
    """Contiguous shares of nearly equal length."""
    cuts = [len(ranges) * i // count for i in range(count + 1)]
    return [ranges[a:b] for a, b in pairwise(cuts)]


def _run_shares(gangs: Gangs, shares: list[list[Range]]) -> Outcome:
    """The first share here, the others in workers; what comes after a fault does not count."""
    parts: list[Part] = []
    workers: list[Worker] = []
    try:
        try:
            for share in shares[1:]:
                workers.append(Worker(gangs.launch, share))
        except OSError as error:
            if workers:  # those may have begun to change the arguments
                return Fault("process", f"no more processes: {error}; {ALONE}"), []
            return gangs.run([gang for share in shares for gang in share]), []
        fault = gangs.run(shares[0])
        for worker in workers:
            if fault is None:
                fault = _collect(gangs, worker, parts, is_last=worker is workers[-1])
        return fault, parts
    finally:
        for worker in workers:
            worker.stop()


def _collect(gangs: Gangs, worker: Worker, parts: list[Part], *, is_last: bool) -> Fault | None:
    """Waits for a worker and joins its part; the fault that ended it."""
    try:
        part = worker.wait()
    except Fault as lost:
        return lost
    join(gangs, part, is_last=is_last)
    parts.append(part)
    return part.fault


class Worker:
    """Another interpreter that runs a share of the gangs."""

    def __init__(self, launch: Launch, share: list[Range]) -> None:
        self.share = share
        self.job, self.result = make_file(), make_file()
        pickle.dump((strip(launch), share), self.job, pickle.HIGHEST_PROTOCOL)
        self.job.flush()
        assert launch.arena.file is not None
        files = [launch.arena.file.fileno(), self.job.fileno(), self.result.fileno()]
        code = f"from {__package__}.worker import main; main()"
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, *map(str, files)],
                pass_fds=files, stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, VARIABLE: "1"},
            )  # fmt: skip
        except OSError:
            self._close()
            raise

    def wait(self) -> Part:
        """The worker's part, when it is done."""
        code = self.process.wait()
        if code:
            raise Fault("process", self._describe(code))
        self.result.seek(0)
        part: Part = pickle.load(self.result)
        return part

    def _describe(self, code: int) -> str:
        first, (last, count) = self.share[0][0], self.share[-1]
        reason = f"failed with exit code {code}"
        if code < 0:
            reason = f"was killed by {signal.Signals(-code).name}"
        return f"the process that ran blocks {first} to {last + count - 1} {reason}; {ALONE}"

    def stop(self) -> None:
        """Ends the process if it still runs, and frees its files."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self) -> None:
        self.job.close()
        self.result.close()


def strip(launch: Launch) -> Launch:
    """A launch as it is sent: without memory, and with a ledger of its own."""
    sent = copy.copy(launch)
    sent.arena = launch.arena.without_bytes()
    sent.ledger, sent.output = Ledger(), []
    if launch.ledger.history is not None:
        sent.ledger.history = History(launch.ledger.history.block_lanes)
    return sent


def make_file() -> IO[bytes]:
    """An anonymous file in memory, where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("tilewright"), "w+b")
    return tempfile.TemporaryFile()
