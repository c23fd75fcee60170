"""Run many random kernels and reduce failures: `python explore.py FIRST COUNT [TARGET …]`."""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter

from tilewright.ir.diagnostics import TilewrightError
from tilewright.tests.fuzz.generator import Program
from tilewright.tests.fuzz.running import differences, run


def failures(program, targets) -> list[str]:
    """What is wrong with a program; errors of any kind count."""
    try:
        expected, _ = run(program, "interpret")
    except TilewrightError as error:
        return [f"refused: {error.message}"]
    wrong = []
    for target in targets:
        try:
            wrong += differences(program, target, expected)
        except Exception as error:  # noqa: BLE001 - any failure is a finding
            line = traceback.extract_tb(error.__traceback__)[-1]
            text = (str(error).splitlines() or [""])[0][:200]
            wrong.append(f"{target}: {type(error).__name__} in {line.name}: {text}")
    return wrong


def kind_of(message: str) -> str:
    """What must stay while reducing: the first words."""
    for mark in ("differ, first", "races on"):
        if mark in message:
            return mark
    return message[:60]


def reduce(program, message: str, target: str) -> list[str]:
    """Fewer lines that fail alike."""
    wanted, lines = kind_of(message), program.lines
    size = max(1, len(lines) // 2)
    while size:
        at = len(lines) - size
        while at >= 0:
            program.lines = lines[:at] + lines[at + size :]
            try:
                found = failures(program, [target])
            except Exception:  # noqa: BLE001 - any failure is a finding
                found = []
            if any(wanted in f and target in f for f in found):
                lines = program.lines
                at = min(at, len(lines)) - 1
            else:
                at -= 1
            at = min(at, len(lines) - size)
        size //= 2
    program.lines = lines
    return lines


def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    targets = sys.argv[3:] or ["cpu", "vm:sm_80"]
    refusals: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    good = 0
    for seed in range(first, first + count):
        start = time.time()
        try:
            program = Program(seed, 6)
        except Exception:  # noqa: BLE001 - any failure is a finding
            print(f"seed {seed}: the generator fails")
            traceback.print_exc()
            continue
        try:
            wrong = failures(program, targets)
        except Exception:  # noqa: BLE001 - any failure is a finding
            print(f"seed {seed}: fails before any target\n{program.text}")
            traceback.print_exc()
            continue
        if wrong and wrong[0].startswith("refused"):
            refusals[wrong[0][:90]] += 1
            continue
        if not wrong:
            good += 1
            continue
        print(f"=== seed {seed} ({time.time() - start:.1f} s)")
        for message in wrong:
            print("  ", message)
        kind = kind_of(wrong[0])
        seen[kind] += 1
        if seen[kind] > (3 if "differ" in kind or "races" in kind else 1):
            continue
        target = next(t for t in targets if t in wrong[0])
        reduce(program, wrong[0], target)
        used = {a.name for a in program.arguments if a.name in "".join(program.lines)}
        program.head[1] = "def program(" + ", ".join(sorted(used)) + "):"
        print(program.text)
        print(*(a for a in program.arguments if a.name in used), sep="\n", flush=True)
    print(f"{good} of {count} agree; refused:")
    for text, number in refusals.most_common():
        print(f"  {number}  {text}")


if __name__ == "__main__":
    main()
