"""The entry of a translation unit: which blocks run, on which thread, in which order."""

from __future__ import annotations

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


def write_entry(name: str, grid: ForTiles, *, panels: bool) -> str:
    """The entry; with `panels`, every thread keeps packed operands between its blocks."""
    rank = len(grid.extents)
    count = " * ".join(f"extents[{axis}]" for axis in range(rank)) or "1"
    declared, passed = ("tw::Lease lease;", ", *lease.held") if panels else ("", "")
    inner = ", panels" if panels else ""
    parameter = ", tw::Operands& panels" if panels else ""
    chunk = "count / (4 * team) + 1" if panels else "count / (16 * team) + 1"
    return f"""\
extern "C" const char* {name}(const int64_t* words, int64_t, int threads) {{
  Launch launch;
  int64_t extents[{max(rank, 1)}] = {{}};
  find_extents(words, extents, launch);
  const int64_t count = {count};
  const auto run = [&](int64_t block{parameter}) {{
    if (launch.failed()) return;
    int64_t at[{max(rank, 1)}];
{_find_place(grid)}
    run_block(words, at, launch{inner});
  }};
  if (threads <= 1 || count <= 1) {{
    {declared}
    for (int64_t block = 0; block < count; ++block) run(block{passed});
  }} else {{
    const int team = count < threads ? (int)count : threads;
    const int64_t chunk = {chunk};
    launch.running = team;
#pragma omp parallel num_threads(team)
    {{
      {declared}
#pragma omp for schedule(monotonic : dynamic, chunk)
      for (int64_t block = 0; block < count; ++block) run(block{passed});
    }}
  }}
  return launch.failure;
}}
"""


def _find_place(grid: ForTiles) -> str:
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
    return "\n".join(f"    {line}" for line in lines)
