"""Mutants of a PTX text: every synchronizing instruction removed or weakened, every shared address moved.

A rule looks at one instruction and gives what it becomes. Rules know instructions, not kernels: a mutant is named by
its instruction, what was done to it, and the how-manieth of its kind in the text it is, so that names do not depend on
the compiler's choice of registers.
"""

# ruff: noqa: E501  (tables stay whole)

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

INSTRUCTION = re.compile(r"^\s*(@!?%p\w*\s+)?([a-z][\w.:]*)\s*(.*?);?\s*$")
ADDRESS = re.compile(r"\[([%\w$]+)(?:\s*\+\s*(-?\d+))?\s*([\],])")


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction: guard, opcode with modifiers, operands."""

    guard: str
    opcode: str
    operands: str

    def text(self, opcode: str | None = None, operands: str | None = None) -> str:
        """The instruction with another opcode or other operands."""
        found = self.opcode if opcode is None else opcode
        return f"{self.guard}{found} {self.operands if operands is None else operands};"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed line: its number, its new text, and its name."""

    number: int
    text: str
    name: str

    def apply(self, lines: list[str]) -> str:
        """The whole text with this line changed."""
        return "\n".join((*lines[: self.number], self.text, *lines[self.number + 1 :]))


Found = Iterator[tuple[str, str]]
"""New text, and what was done."""
Rule = Callable[[Line], Found]

SYNCHRONIZING = re.compile(
    r"^(bar\.|barrier\.|fence\.|membar|cp\.async\.(commit_group|wait_group|wait_all|mbarrier\.arrive|bulk\.(commit|wait)_group)"
    r"|mbarrier\.(init|arrive|expect_tx)|wgmma\.(fence|commit_group|wait_group))"
)
WAITS = re.compile(
    r"^(cp\.async\.wait_group|cp\.async\.bulk\.wait_group(\.read)?|wgmma\.wait_group\.sync\.aligned)$"
)


def remove(line: Line) -> Found:
    """The instruction is gone."""
    if SYNCHRONIZING.match(line.opcode):
        yield "", "removed"
    if line.opcode.startswith("mbarrier.try_wait") or line.opcode.startswith("mbarrier.test_wait"):
        predicate = line.operands.split(",")[0]
        yield line.text("setp.eq.u32", f"{predicate}, 0, 0"), "does not wait"


def wait_less(line: Line) -> Found:
    """One more group may be in flight."""
    if WAITS.match(line.opcode):
        yield line.text(operands=str(int(line.operands) + 1)), "allows one group more"
    if line.opcode == "cp.async.bulk.wait_group":
        yield line.text("cp.async.bulk.wait_group.read"), "waits for reads only"


def miscount(line: Line) -> Found:
    """Other counts of threads, arrivals and bytes."""
    if re.match(r"^(bar|barrier)(\.cta)?\.(sync|arrive)", line.opcode):
        name, *count = (part.strip() for part in line.operands.split(","))
        if count:
            for change in (-32, 32):
                yield (
                    line.text(operands=f"{name}, {int(count[0]) + change}"),
                    f"counts {change:+} threads",
                )
        else:
            yield line.text(operands=f"{name}, 32"), "counts 32 threads"
    if line.opcode.startswith("bar.warp.sync"):
        yield line.text(operands="1"), "names lane 0 only"
    if line.opcode.startswith("mbarrier.init"):
        yield from changed_register(line, 1, (-1, 1), "counts {:+} arrivals")
    if line.opcode.startswith(("mbarrier.arrive.expect_tx", "mbarrier.expect_tx")):
        yield from changed_register(line, -1, (-16, 16), "expects {:+} bytes")
    elif line.opcode.startswith("mbarrier.arrive") and line.operands.count(",") == 1:
        yield line.text(operands=f"{line.operands}, 2"), "arrives twice"


def rename(line: Line, used: Counter[str]) -> Found:
    """Another named barrier, where several instructions use this one (else they all still meet)."""
    if re.match(r"^(bar|barrier)(\.cta)?\.(sync|arrive)", line.opcode):
        name, *count = (part.strip() for part in line.operands.split(","))
        if count and used[name] > 1:
            yield line.text(operands=f"{int(name) ^ 8}, {count[0]}"), "is another barrier"


def changed_register(line: Line, index: int, changes: tuple[int, ...], what: str) -> Found:
    """A number among the operands, in a register or not, plus each of `changes`."""
    parts = line.operands.split(",")
    for change in changes:
        operand = parts[index].strip()
        moved = [*parts]
        if operand.startswith("%"):
            moved[index] = " mutant"
            text = f"{{ .reg .b32 mutant; add.s32 mutant, {operand}, {change}; {line.text(operands=','.join(moved))} }}"
        else:
            moved[index] = f" {int(operand) + change}"
            text = line.text(operands=",".join(moved))
        yield text, what.format(change)


def flip(line: Line) -> Found:
    """Waits for the other phase."""
    if "_wait.parity" in line.opcode:
        *rest, parity = (part.strip() for part in line.operands.split(","))
        head = f".reg .b32 mutant; xor.b32 mutant, {parity}, 1"
        yield (
            f"{{ {head}; {line.text(operands=', '.join((*rest, 'mutant')))} }}",
            "waits for the other phase",
        )


def relax(line: Line) -> Found:
    """Weaker order, narrower scope."""
    for order in ("release", "acquire", "acq_rel"):
        if f".{order}" in line.opcode and not line.opcode.startswith(("fence", "barrier")):
            yield line.text(line.opcode.replace(f".{order}", ".relaxed")), "is relaxed"
    wide = re.search(r"\.(gpu|sys|cluster)\b", line.opcode)
    scoped = re.match(r"^(atom|red|ld|st|fence)\.(?!proxy|mbarrier_init)", line.opcode)
    if wide and scoped:
        narrow = line.opcode.replace(wide[0], ".cta")
        yield line.text(narrow), "has the scope of a block"
    if line.opcode in ("membar.gl", "membar.sys"):
        yield line.text("membar.cta"), "has the scope of a block"
    if line.opcode.startswith("barrier.cluster.arrive.release"):
        yield line.text(line.opcode.replace(".release", ".relaxed")), "is relaxed"


def resize(line: Line) -> Found:
    """Copies of other sizes."""
    if re.match(r"^cp\.async\.c[ag]\.", line.opcode):
        parts = line.operands.split(",")
        if "cg" in line.opcode or parts[2].strip() == "16":
            yield line.text(operands=", ".join((*parts[:3], "8"))), "reads 8 bytes"
    if line.opcode.startswith("cp.async.bulk.shared") or line.opcode.startswith(
        "cp.async.bulk.global"
    ):
        yield from changed_register(line, 2, (-16,), "copies {:+} bytes")
    if "multicast::cluster" in line.opcode:
        *rest, mask = (part.strip() for part in line.operands.split(","))
        head = f".reg .b16 mutant; and.b16 mutant, {mask}, 1"
        yield (
            f"{{ {head}; {line.text(operands=', '.join((*rest, 'mutant')))} }}",
            "reaches one block only",
        )


SHARED_ACCESS = re.compile(
    r"^((ld|st|atom|red)\.(async\.)?([\w.]*\.)?shared|ldmatrix|stmatrix|cp\.async|mbarrier\.(arrive|try_wait|init))"
)


def shift(line: Line, stage: int = 0) -> Found:
    """A shared address moved by 16 bytes (mbarriers: by one, 8 bytes), and by a stage of its ring."""
    if SHARED_ACCESS.match(line.opcode) and "_group" not in line.opcode:
        at = list(ADDRESS.finditer(line.operands))
        from_shared = line.opcode.startswith("cp.async.bulk") and ".global.shared" in line.opcode
        index = 1 if from_shared else 0
        is_barrier = "mbarrier" in line.opcode and not line.opcode.startswith("cp.async.bulk")
        moves = (8,) if is_barrier else (16, stage) if stage else (16,)
        for by in moves if index < len(at) else ():
            match = at[index]
            moved = f"[{match[1]}+{int(match[2] or 0) + by}{match[3]}"
            operands = line.operands[: match.start()] + moved + line.operands[match.end() :]
            yield (
                line.text(operands=operands),
                "is one stage on" if by == stage else f"is moved by {by} bytes",
            )
    if line.opcode.startswith("wgmma.mma_async"):
        for index, name in enumerate(("A", "B")):
            found = re.findall(r"%rd\d+", line.operands)
            if index < len(found) and len(found) == 2:
                operands = line.operands.replace(found[index], "mutant", 1)
                head = f".reg .b64 mutant; add.s64 mutant, {found[index]}, 1"
                yield (
                    f"{{ {head}; {line.text(operands=operands)} }}",
                    f"reads {name} moved by 16 bytes",
                )


RULES: tuple[Rule, ...] = (remove, wait_less, miscount, flip, relax, resize)
MOVES = 4  # of the accesses of one opcode, which a loop unrolled makes many, so many are moved


def find_mutants(ptx: str, stage: int = 0) -> list[Mutant]:
    """All mutants of a text whose rings have stages of `stage` bytes; moved and resized accesses are
    thinned out to `MOVES` per opcode.
    """
    lines = ptx.split("\n")
    found: list[tuple[int, Line]] = []
    for number, text in enumerate(lines):
        match = INSTRUCTION.match(text)
        if match and not text.lstrip().startswith((".", "//", "$", "{", "}")):
            found.append((number, Line(match[1] or "", match[2], match[3])))
    barriers = Counter(
        line.operands.split(",")[0] for _, line in found if line.opcode.startswith("bar")
    )
    mutants: list[Mutant] = []
    for rule in (*RULES, partial(rename, used=barriers), partial(shift, stage=stage)):
        by_kind: dict[str, list[Mutant]] = {}
        seen: Counter[str] = Counter()
        thinned = rule is resize or getattr(rule, "func", None) is shift
        for number, line in found:
            for text, what in rule(line):
                kind = f"{line.opcode} {what}"
                seen[kind] += 1
                by_kind.setdefault(kind, []).append(Mutant(number, text, f"{kind} #{seen[kind]}"))
        for group in by_kind.values():
            step = -(-len(group) // MOVES) if thinned else 1
            mutants.extend(group[::step])
    return mutants
