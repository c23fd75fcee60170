"""`kernel.profile`: every instruction of a run belongs to a line of the user's Python."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import torch

import tilewright as tw
from tilewright.runtime import kernel as kernel_module
from tilewright.runtime import vm
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.plans import launch_plan
from tilewright.runtime.profile import Profile, find_places

TARGETS = ("vm:sm_80", "vm:sm_90a")


@tw.inline
def twice(x):
    return x + x  # helper


@tw.kernel
def matmul(a: tw.Tensor, b: tw.Tensor, c: tw.Tensor, *, bm: tw.Static = 64, bn: tw.Static = 64):
    i, j = tw.grid(tw.cdiv(a.shape[0], bm), tw.cdiv(b.shape[0], bn))
    acc = tw.zeros((bm, bn), tw.f32)
    for k in tw.range(0, a.shape[1], 32, stages=3):
        x = tw.load(a, (i * bm, k), (bm, 32))  # load a
        y = tw.load(b, (j * bn, k), (bn, 32))  # load b
        acc = tw.mma(x, y.T, acc)  # product
    tw.store(c, (i * bm, j * bn), twice(acc).cast(c.dtype))  # result


@tw.kernel
def scale(x: tw.Tensor, y: tw.Tensor, seed: tw.Scalar):
    i = tw.grid(tw.cdiv(x.shape[0], 128))
    value = tw.load(x, (i * 128,), (128,))  # load x
    tw.store(y, (i * 128,), value * seed)  # store y


@tw.kernel
def collide(x: tw.Tensor, y: tw.Tensor):
    i = tw.grid(tw.cdiv(x.shape[0], 128))
    tw.store(y, (0,), tw.load(x, (i * 128,), (128,)))  # collision


@tw.kernel
def widen(x: tw.Tensor, y: tw.Tensor):
    i = tw.grid(tw.cdiv(x.shape[0], 128))
    value = tw.load(x, (i * 128,), (128,)).cast(tw.f32)
    tw.store(y, (i * 128,), tw.sin(value) % 0.75 + tw.exp(value))


def line_with(profile: Profile, text: str):
    (found,) = (x for x in profile.lines if text in x.text)
    return found.work


def profile_matmul(target, **options):
    a, b = torch.randn(128, 96).half(), torch.randn(128, 96).half()
    c = torch.full((128, 128), float("nan")).half()
    profile = matmul.profile(a, b, c, target=target, **options)
    error = (c.float() - 2 * a.float() @ b.float().T).norm() / (2 * a.float() @ b.float().T).norm()
    assert error < 2**-10
    return profile


@pytest.mark.parametrize("target", TARGETS)
def test_every_instruction_belongs_to_a_line_of_python(target):
    profile = profile_matmul(target)
    assert profile.unmapped == 0
    assert sum(x.work.issued for x in profile.lines) == profile.counters["issued"]
    assert {x.file for x in profile.lines} == {__file__}
    inside = range(profile.first, profile.first + len(profile.source))
    assert {x.text for x in profile.lines if x.line not in inside} == {"    return x + x  # helper"}


@pytest.mark.parametrize("target", TARGETS)
def test_lines_have_the_counters_that_they_must_have(target):
    profile = profile_matmul(target)
    product, counters = line_with(profile, "# product"), profile.counters
    assert product.work.flops.total() == 2 * 128 * 128 * 96
    for name in ("a", "b"):  # every block reads its 64 rows: 2 × 128 rows of 96 halves
        load = line_with(profile, f"# load {name}")
        assert (load.bytes, load.sectors) == (2 * 128 * 96 * 2, 2 * 128 * 96 * 2 // 32)
        assert load.efficiency == 1
    assert line_with(profile, "# result").bytes == 128 * 128 * 2
    assert line_with(profile, "# helper").flops == 128 * 128
    assert line_with(profile, "tw.range").waits > 0
    lines = [x.work for x in profile.lines]
    for name, total in (
        ("bytes", counters["global"]["bytes"]),
        ("sectors", counters["global"]["sectors"]),
        ("requests", counters["global"]["requests"]),
        ("wavefronts", counters["shared"]["wavefronts"]),
        ("conflicts", counters["shared"]["bank_conflicts"]),
        ("waits", sum(kind["count"] for kind in counters["waits"].values())),
    ):
        assert sum(getattr(work, name) for work in lines) == total, name


def test_the_text_shows_the_source_with_its_hot_lines_marked():
    profile = profile_matmul("vm:sm_80")
    text = str(profile)
    assert "matmul on vm:sm_80" in text
    assert "100.0% of them mapped to Python" in text
    for line in profile.source:
        assert line in text
    (hot,) = (line for line in text.splitlines() if "# product" in line)
    assert "►" in hot
    assert "3.15 M" in hot
    (cold,) = (
        line for line in text.splitlines() if line.endswith("acc = tw.zeros((bm, bn), tw.f32)")
    )
    assert "►" not in cold


def test_uncoalesced_accesses_are_named_at_their_line():
    x, y = torch.randn(256, 9)[:, 3], torch.empty(256)
    profile = scale.profile(x, y, 2.0)
    load, store = line_with(profile, "# load x"), line_with(profile, "# store y")
    assert load.sectors > 4 * load.ideal_sectors
    assert store.efficiency == 1
    lines = str(profile).splitlines()
    (at,) = (i for i, line in enumerate(lines) if "# load x" in line)
    assert (
        f"uncoalesced: {load.sectors:,} sectors where {load.ideal_sectors:,} suffice"
        in lines[at + 1]
    )


def test_races_are_shown_at_their_line():
    profile = collide.profile(torch.randn(256), torch.empty(128), checks="late", seed=3)
    assert profile.races
    assert line_with(profile, "# collision").races == profile.races
    text = str(profile)
    assert "race" in text.split("# collision")[1].splitlines()[1]
    assert "race in global memory" in text


def test_library_functions_count_for_the_line_that_calls_them():
    x = torch.linspace(-300, 300, 200)
    y = torch.empty(200)
    profile = widen.profile(x, y, target="vm:sm_90a")
    assert profile.unmapped == 0
    hot = max(profile.lines, key=lambda found: found.work.issued)
    assert "tw.sin(value) % 0.75" in hot.text


def test_options_are_the_machines_unless_the_kernel_has_them():
    x, y = torch.randn(100), torch.empty(100)
    scale.profile(x, y, seed=3.0)
    assert torch.equal(y, x * 3)
    early, late = (collide.profile(x, y, checks=c, seed=5) for c in ("early", "late"))
    assert early.counters["issued"] == late.counters["issued"]
    off = collide.profile(x, y, checks="off")
    assert "global" not in off.counters
    assert str(off)
    collide.profile((x, y))  # one tuple of arguments, too


def test_json_holds_lines_and_report():
    profile = profile_matmul("vm:sm_80")
    found = json.loads(profile.to_json())
    assert found["kernel"] == "matmul"
    assert found["unmapped"] == 0
    assert found["report"]["counters"]["issued"] == sum(x["issued"] for x in found["python"])
    (product,) = (x for x in found["python"] if "# product" in x["text"])
    assert product["mma_flops"] == {"f16": 2 * 128 * 128 * 96}


def test_timeline_and_roofline_are_those_of_the_report(tmp_path):
    profile = profile_matmul("vm:sm_90a")
    assert isinstance(profile.report, vm.Report)
    profile.timeline().save(tmp_path / "run.svg")
    assert (tmp_path / "run.svg").read_text().startswith("<svg")
    assert profile.roofline("H200").time_us == profile.report.roofline("H200").time_us


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": "cpu"}, "profile runs on the virtual machine"),
        ({"target": "vm:sm_60"}, "unknown target"),
        ({"seed": -1}, "seed=-1"),
        ({"checks": "some"}, "choose one of all, off, late, early"),
    ],
)
def test_wrong_options_are_explained(options, text):
    with pytest.raises(LaunchError) as error:
        collide.profile(torch.randn(128), torch.empty(128), **options)
    assert text in str(error.value)


def test_an_empty_grid_is_no_profile():
    with pytest.raises(LaunchError, match="empty grid"):
        collide.profile(torch.empty(0), torch.empty(128))


CALLS = """
.version 8.0
.target sm_80
.address_size 64
.file 1 "/user.py"
.file 2 "/made.cu"
.func once(.param .b32 a) { .reg .b32 %a; .loc 2 3 1
  ld.param.b32 %a, [a]; add.u32 %a, %a, 1; ret; }
.func often(.param .b32 a) { .reg .b32 %a;
  ld.param.b32 %a, [a]; add.u32 %a, %a, 1; ret; }
.visible .entry k(.param .u64 out) {
  .reg .b32 %v; .param .b32 p;
  mov.u32 %v, 1;
  .loc 1 7 1
  st.param.b32 [p], %v;
  call once, (p);
  .loc 1 8 1
  call often, (p);
  .loc 1 9 1
  call often, (p);
  .loc 1 0 1
  add.u32 %v, %v, 2;
  .loc 2 9 1, function_name helper, inlined_at 1 10 4
  .loc 2 4 1, function_name inner, inlined_at 2 9 1
  add.u32 %v, %v, 3;
  .loc 2 12 0
  ret;
}
"""


def test_calls_helpers_and_line_zero_have_a_place_where_there_is_one():
    report = vm.run(CALLS, "k", 1, 32, [np.zeros(1, np.uint32)])
    places = find_places(report, {"/user.py": "user.py"}, ("user.py", 5))
    by_text = {}
    for ins, place, owner in zip(
        report.program.instructions, places, report.program.owners, strict=True
    ):
        by_text.setdefault((owner.name, ins.opcode), []).append(place and place[1])
    assert by_text["k", "mov"] == [5]  # set-up, before any line
    assert by_text["k", "call"] == [7, 8, 9]
    assert by_text["k", "add"] == [9, 10]  # line 0 follows the line before; inlined twice
    assert set(by_text["once", "add"] + by_text["once", "ld"]) == {7}
    assert by_text["often", "add"] == [None]  # two lines call it
    assert by_text["k", "ret"][0] == 5


@pytest.mark.parametrize(
    "example", ["elementwise", "embedding", "histogram", "norms", "reductions", "softmax"]
)
def test_no_instruction_of_an_example_is_lost(example, monkeypatch):
    runs = []

    def launch(plan, args, kwargs):
        report = launch_plan(plan, args, kwargs)
        runs.append((report, plan.compiled.files))
        return report

    monkeypatch.setattr(kernel_module, "launch_plan", launch)
    importlib.import_module(f"tilewright.examples.{example}").run("vm:sm_90a")
    assert runs
    for report, files in runs:
        places = find_places(report, files, ("def", 1))
        assert None not in places
        issued = report.issued
        setup = sum(count for pc, count in issued.items() if places[pc] == ("def", 1))
        assert setup < 0.15 * issued.total(), report.entry
