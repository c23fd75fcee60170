"""The entry of a translation unit: which blocks run, on which thread, in which order."""

from __future__ import annotations

from tilewright.codegen.cpu.grouping import Grouping
from tilewright.ir.instructions.control import ForTiles

LAUNCH = """\
// What the blocks of one launch share: the first failure, how many running blocks wait for a
// signal, and how many neighbours along the grid's last axis run before the next row (so that
// packed panels are found again).
struct Launch {
  const char* failure = nullptr;
  int running = 1, waiters = 0;
  int64_t group = INT64_MAX;
  void fail(const char* text) {
    const char* none = nullptr;
    __atomic_compare_exchange_n(&failure, &none, text, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }
  bool failed() const { return __atomic_load_n(&failure, __ATOMIC_RELAXED) != nullptr; }
  void waiting(int change) { __atomic_add_fetch(&waiters, change, __ATOMIC_SEQ_CST); }
  bool is_stuck() const { return __atomic_load_n(&waiters, __ATOMIC_SEQ_CST) >= running; }
};
"""


def write_entry(name: str, grid: ForTiles, *, panels: bool, grouping: Grouping | None) -> str:
    """The entry; with `panels`, every thread keeps packed operands between its blocks."""
    rank = len(grid.extents)
    count = " * ".join(f"extents[{axis}]" for axis in range(rank)) or "1"
    declared, passed = ("tw::Lease lease;", ", *lease.held") if panels else ("", "")
    if grouping:
        declared += " lease.held->group = group;"
    parameter = ", tw::Operands& panels" if panels else ""
    chunk = "1" if grouping else f"tw::most<int64_t>(count / ({4 if panels else 32} * team), 1)"
    body = _run_group(grid, grouping) if grouping else _run_block(grid, panels=panels)
    units = _count_groups(grid, grouping) if grouping else [f"const int64_t count = {count};"]
    return f"""\
extern "C" const char* {name}(const int64_t* words, int64_t, int threads) {{
  Launch launch;
  int64_t extents[{max(rank, 1)}] = {{}};
  find_extents(words, extents, launch);
{_indent(units, 2)}
  const auto run = [&](int64_t {"unit" if grouping else "block"}{parameter}) {{
    if (launch.failed()) return;
    int64_t at[{max(rank, 1)}];
{_indent(body, 4)}
  }};
  if (threads <= 1 || count <= 1) {{
    {declared}
    for (int64_t unit = 0; unit < count; ++unit) run(unit{passed});
  }} else {{
    const int team = count < threads ? (int)count : threads;
    const int64_t chunk = {chunk};
    launch.running = team;
#pragma omp parallel num_threads(team)
    {{
      {declared}
#pragma omp for schedule(monotonic : dynamic, chunk)
      for (int64_t unit = 0; unit < count; ++unit) run(unit{passed});
    }}
  }}
  return launch.failure;
}}
"""


def _indent(lines: list[str], depth: int) -> str:
    return "\n".join(" " * depth + line for line in lines)


def _run_block(grid: ForTiles, *, panels: bool) -> list[str]:
    """Statements that run `block`."""
    return [*_find_place(grid), f"run_block(words, at, launch{', panels' if panels else ''});"]


def _count_groups(grid: ForTiles, grouping: Grouping) -> list[str]:
    """Statements that choose the groups and count them."""
    rows, columns = f"extents[{grouping.down}]", f"extents[{grouping.across}]"
    others = [f"extents[{a}]" for a in _other_axes(grid, grouping)]
    batches, (m, n) = " * ".join(others) or "1", grouping.tile
    return [
        f"const int64_t batches = {batches};",
        f"const tw::Group group = tw::choose_group<{m}, {n}>({rows}, {columns}, batches, threads);",
        f"const int64_t down = tw::divide_up({rows}, group.down);",
        f"const int64_t across = tw::divide_up({columns}, group.across);",
        "const int64_t count = down * across * batches;",
    ]


def _run_group(grid: ForTiles, grouping: Grouping) -> list[str]:
    """Statements that run all blocks of the group with number `unit`."""
    loops = []
    for axis, edge, size in ((grouping.down, "row", "down"), (grouping.across, "col", "across")):
        end = f"tw::least<int64_t>({edge} + group.{size}, extents[{axis}])"
        loops.append(f"for (at[{axis}] = {edge}; at[{axis}] < {end}; ++at[{axis}])")
    return [
        "const int64_t col = unit % across * group.across;",
        "const int64_t row = unit / across % down * group.down;",
        "int64_t rest = unit / (across * down);",
        *(
            f"at[{a}] = rest % extents[{a}], rest /= extents[{a}];"
            for a in reversed(_other_axes(grid, grouping))
        ),
        loops[0],
        f"  {loops[1]} {{",
        "    if (launch.failed()) return;",
        "    run_block(words, at, launch, panels);",
        "  }",
    ]


def _other_axes(grid: ForTiles, grouping: Grouping) -> list[int]:
    return [a for a in range(len(grid.extents)) if a not in (grouping.down, grouping.across)]


def _find_place(grid: ForTiles) -> list[str]:
    """Statements that turn `block` into coordinates `at`."""
    rank = len(grid.extents)
    if grid.order == "column_major" or rank < 2:
        axes = list(range(rank))
        if grid.order != "column_major":
            axes.reverse()
        lines = [f"at[{a}] = block % extents[{a}], block /= extents[{a}];" for a in axes]
    else:
        row, column = rank - 2, rank - 1
        plane = f"extents[{row}] * extents[{column}]"
        lines = [
            f"int64_t rest = block / ({plane});",
            f"block %= {plane};",
            f"const int64_t all = extents[{column}];",
            "const int64_t group = launch.group < all ? launch.group : all;",
            f"const int64_t first = block / (group * extents[{row}]) * group;",
            "const int64_t width = all - first < group ? all - first : group;",
            f"block -= first * extents[{row}];",
            f"at[{row}] = block / width, at[{column}] = first + block % width;",
            *(
                f"at[{a}] = rest % extents[{a}], rest /= extents[{a}];"
                for a in range(rank - 3, -1, -1)
            ),
        ]
    return lines
