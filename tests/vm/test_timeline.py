"""The timeline: spans in virtual steps, waits, stages, the chart as SVG and as a page."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tilewright.runtime import vm
from tilewright.runtime.vm.timeline import Span, Timeline

Compile = Callable[..., str]
HOPPER = Path(__file__).with_name("hopper.cu").read_text()
WAITS = ("barrier", "mbarrier", "copy wait", "store wait", "wgmma wait")
HEAD = ".version 8.0\n.target sm_90a\n.address_size 64\n"


def random_bf16(rows: int, columns: int) -> np.ndarray:
    values = np.random.default_rng().integers(-8, 9, (rows, columns))
    return (values.astype("f").view(np.uint32) >> 16).astype(np.uint16)


def run_matmul(
    compile_ptx: Compile, source: str, k: int, *, n: int = 64, stages: int = 3, **options: object
) -> vm.Report:
    ptx = compile_ptx(source.replace("#define STAGES 3", f"#define STAGES {stages}"))
    a, b, c = random_bf16(64, k), random_bf16(n, k), np.zeros((64, n), "f")
    shared = stages * (64 + 64) * 32 * 2
    grid = (-(-n // 64), 1)
    return vm.run(ptx, "matmul", grid, 256, [a, b, c, 64, n, k], shared=shared, **options)


def run_hopper(
    compile_ptx: Compile, k: int, stages: int = 3, source: str = HOPPER, **options: object
) -> vm.Report:
    ptx = compile_ptx(source.replace("#define STAGES 3", f"#define STAGES {stages}"), "sm_90a")
    a, b, c = random_bf16(128, k), random_bf16(64, k), np.zeros((128, 64), "f")
    maps = [
        vm.TensorMap(a, (128, 64), swizzle=128),
        vm.TensorMap(b, (64, 64), swizzle=128),
        vm.TensorMap(c, (128, 64)),
    ]
    shared = stages * (128 + 64) * 64 * 2 + 128 * 64 * 4 + 1024
    return vm.run(ptx, "gemm", 1, 288, [*maps, k], shared=shared, **options)


def on_tracks(timeline: Timeline) -> dict[str, list[Span]]:
    tracks = defaultdict(list)
    for span in timeline.spans:
        tracks[span.track].append(span)
    return tracks


def check_warps_do_one_thing_at_a_time(timeline: Timeline) -> None:
    for track, spans in on_tracks(timeline).items():
        assert all(span.start < span.end for span in spans)
        if track.startswith("warp"):
            assert spans[0].start == 0
            for before, after in itertools.pairwise(spans):
                assert before.end == after.start, (track, before, after)


@pytest.mark.parametrize("checks", ["all", "late", "early"])
def test_copies_end_no_later_than_the_wait_that_covers_them(
    compile_ptx: Compile, matmul_source: str, checks: str
) -> None:
    seed = int(np.random.default_rng().integers(1000))
    report = run_matmul(compile_ptx, matmul_source, 32 * 7, checks=checks, seed=seed)
    timeline = report.timeline()
    check_warps_do_one_thing_at_a_time(timeline)
    copies = [span for span in timeline.spans if span.kind == "cp.async"]
    waits = {span.end for span in timeline.spans if span.kind == "copy wait"}
    assert len(copies) == 7 and {copy.count for copy in copies} == {2}
    assert all(copy.warps == tuple(range(8)) for copy in copies)
    assert all(copy.waited in waits and copy.end <= copy.waited for copy in copies)
    assert sum(copy.bytes for copy in copies) == report.counters["bytes"]["cp.async"]
    if checks == "late":
        assert all(copy.waited == copy.end for copy in copies)
    if checks == "early":
        assert max(copy.end - copy.start for copy in copies) < min(
            copy.waited - copy.start for copy in copies
        )


@pytest.mark.parametrize("stages", [2, 3, 5])
def test_a_deeper_pipeline_has_more_copies_in_flight(
    compile_ptx: Compile, matmul_source: str, stages: int
) -> None:
    report = run_matmul(compile_ptx, matmul_source, 32 * 9, stages=stages)
    (level,) = [level for level in report.timeline().levels if level.kind == "cp.async"]
    assert level.most == stages - 1 and level.steps[-1][1] == 0
    found = report.counters["stages"]["cp.async"]
    assert found["max"] == stages - 1
    drained = sum(range(1, stages - 1))  # waits that find fewer groups, at the end
    assert found["mean"] == pytest.approx(((9 - (stages - 2)) * (stages - 1) + drained) / 9)


@pytest.mark.parametrize("checks", ["all", "late", "early"])
def test_roles_have_tracks_of_their_own_and_overlap(compile_ptx: Compile, checks: str) -> None:
    steps = 6
    report = run_hopper(compile_ptx, 64 * steps, checks=checks)
    timeline = report.timeline()
    check_warps_do_one_thing_at_a_time(timeline)
    tracks = on_tracks(timeline)
    (load,) = [name for name in tracks if name.endswith("load")]
    math = [name for name in tracks if "math" in name]
    assert tracks[load][0].warps == (8,)
    assert sorted(w for name in math for w in tracks[name][0].warps) == list(range(8))
    first = min(s.start for name in math for s in tracks[name] if s.kind == "wgmma wait")
    assert max(span.end for span in tracks[load]) > first
    copies = tracks["bulk copy"]
    assert [copy.bytes for copy in copies] == [(128 + 64) * 64 * 2] * steps
    assert {copy.warps for copy in copies} == {(8,)}
    waited = [span for name in math for span in tracks[name] if span.kind == "mbarrier"]
    for copy in copies:
        assert copy.end <= copy.waited == min(s.end for s in waited if s.end >= copy.waited)
    for group in (range(4), range(4, 8)):
        products = tracks[f"wgmma warps {group[0]}-{group[-1]}"]
        assert len(products) == steps and {p.count for p in products} == {4}
        ends = {s.end for s in timeline.spans if s.kind == "wgmma wait" and group[0] in s.warps}
        assert all(p.end <= p.waited and p.waited in ends for p in products)
    (store,) = tracks["bulk store"]
    assert store.bytes == 128 * 64 * 4 and store.warps == (0,)


def test_stages_of_tensor_copies_are_counted(compile_ptx: Compile) -> None:
    for stages in (2, 4):
        report = run_hopper(compile_ptx, 64 * 8, stages, checks="late")
        assert report.counters["stages"]["bulk copy"]["max"] == stages
        assert report.counters["stages"]["wgmma"] == {"max": 1, "mean": 1.0}
        waits = report.counters["waits"]
        assert waits["mbarrier"]["count"] == 8 * 8 + (8 - stages)  # full by warp, empty
        assert waits["wgmma wait"]["count"] == 8 * 8 and waits["store wait"]["count"] == 1
        lines = report.counters["wait_lines"]
        assert sum(line["count"] for line in lines) == sum(w["count"] for w in waits.values())
        assert all("wait" in line["text"] or "bar" in line["text"] for line in lines)
    text = str(report)
    assert "mbarrier" in text and "stages" in text and json.loads(report.to_json())


def test_a_barrier_waits_for_the_last_warp() -> None:
    """Warp 0 executes `2 n` instructions more than the others, who wait for as many steps."""
    ptx = (
        HEAD
        + """
    .visible .entry k(.param .u32 n) {
      .reg .b32 %t, %i; .reg .pred %p, %q; .reg .b32 %x;
      mov.u32 %t, %tid.x;
      ld.param.u32 %i, [n];
      setp.lt.u32 %p, %t, 32;
      @!%p bra MEET;
    LOOP:
      sub.u32 %i, %i, 1;
      setp.ne.u32 %q, %i, 0;
      @%q bra LOOP;
    MEET:
      bar.sync 0;
      mov.u32 %x, 1;
      ret;
    }"""
    )
    n = int(np.random.default_rng().integers(2, 40))
    report = vm.run(ptx, "k", 1, 96, [n])
    timeline = report.timeline()
    tracks = on_tracks(timeline)
    (late,) = [span for span in tracks["warp 0"] if span.kind == "barrier"]
    (early,) = [span for span in tracks["warps 1-2"] if span.kind == "barrier"]
    assert (late.start, late.end) == (4 + 3 * n, 5 + 3 * n)
    assert (early.start, early.end) == (4, 5 + 3 * n)
    assert timeline.window == (0, 5 + 3 * n + 2)
    assert report.counters["waits"] == {"barrier": {"count": 3, "steps": 2 * 3 * n}}


HANDOFF = (
    HEAD
    + """
.visible .entry k(.param .u32 n) {
  .shared .align 8 .b64 bar;
  .reg .b32 %t, %b, %i; .reg .pred %p, %q, %d;
  mov.u32 %t, %tid.x; mov.u32 %b, bar; ld.param.u32 %i, [n];
  setp.ne.u32 %p, %t, 0;
  @!%p mbarrier.init.shared.b64 [%b], 1;
  bar.sync 0;
  setp.lt.u32 %p, %t, 32;
  @%p bra SLOW;
WAIT:
  mbarrier.test_wait.parity.shared.b64 %d, [%b], 0;
  @!%d bra WAIT;
  ret;
SLOW:
  sub.u32 %i, %i, 1;
  setp.ne.u32 %q, %i, 0;
  @%q bra SLOW;
  setp.eq.u32 %p, %t, 0;
  @%p mbarrier.arrive.shared.b64 _, [%b];
  ret;
}"""
)


def test_polls_that_fail_are_part_of_the_wait() -> None:
    """However often the machine let the waiting warp ask, it waits until the arrival's step."""
    for n in (1, 5, 100, 1000):
        report = vm.run(HANDOFF, "k", 1, 64, [n])
        tracks = on_tracks(report.timeline())
        (wait,) = [span for span in tracks["warp 1"] if span.kind == "mbarrier"]
        assert (wait.start, wait.end) == (8, 8 + 3 * n + 2)
        assert report.counters["waits"]["mbarrier"] == {"count": 1, "steps": 3 * n + 1}


def test_after_a_deadlock_the_timeline_shows_who_waited() -> None:
    ptx = HANDOFF.replace("@%p mbarrier.arrive.shared.b64 _, [%b];", "")
    with pytest.raises(vm.Fault, match="deadlock") as caught:
        vm.run(ptx, "k", 1, 64, [50])
    assert caught.value.report is not None
    timeline = caught.value.report.timeline()
    wait = on_tracks(timeline)["warp 1"][-1]
    assert wait.kind == "mbarrier" and wait.end >= 8 + 3 * 50
    ptx = HANDOFF.replace("bar.sync 0;", "bar.sync 0; @!%p bar.sync 1, 96;")
    with pytest.raises(vm.Fault, match="barrier 1") as caught:
        vm.run(ptx, "k", 1, 64, [3])
    assert caught.value.report is not None
    spans = caught.value.report.timeline().spans
    assert any(span.kind == "barrier" and "bar.sync 1" in span.label for span in spans)


def test_copies_of_a_phase_that_never_completes_are_in_flight_to_the_end(
    compile_ptx: Compile,
) -> None:
    """Their waits passed an earlier phase, which is not theirs."""
    wrong = "wait(full + 8 * s, i / STAGES & 1 ^ 1)"
    source = HOPPER.replace("wait(full + 8 * s, i / STAGES & 1)", wrong)
    source = source.replace("STAGE_BYTES);", "STAGE_BYTES + 16);")
    with pytest.raises(vm.Fault) as caught:
        run_hopper(compile_ptx, 64 * 5, source=source)
    assert caught.value.report is not None
    timeline = caught.value.report.timeline()
    copies = [span for span in timeline.spans if span.kind == "bulk copy"]
    assert copies and all(span.waited is None for span in copies)
    assert timeline.levels[0].steps[-1] == (timeline.window[1], 0)


def test_without_checks_there_is_no_timeline() -> None:
    report = vm.run(HANDOFF, "k", 1, 64, [3], checks="off")
    with pytest.raises(ValueError, match='run with checks="all"'):
        report.timeline()
    assert "waits" not in report.counters


def test_blocks_and_steps_choose_what_is_shown(compile_ptx: Compile, matmul_source: str) -> None:
    report = run_matmul(compile_ptx, matmul_source, 96, n=64 * 11)
    timeline = report.timeline()
    assert len(timeline.blocks) == 4 and "4 of 11 blocks" in timeline.to_svg()
    assert {span.block for span in timeline.spans} == {(x, 0, 0) for x in range(4)}
    everything = report.timeline(blocks=100)
    assert len(everything.blocks) == 11 and "matmul: 11 blocks" in everything.to_svg()
    first = next(span for span in timeline.spans if span.kind == "copy wait")
    part = report.timeline(blocks=1, steps=(first.start, first.start + 20))
    assert first in part.spans and len(part.spans) < len(timeline.spans) / 4
    assert f"steps {first.start:,} to {first.start + 20:,}" in part.to_svg()
    check_inside(part.to_svg())


SVG = "{http://www.w3.org/2000/svg}"


def check_inside(svg: str) -> ElementTree.Element:
    """The SVG is well formed, and every bar lies within the picture."""
    root = ElementTree.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    bars = root.findall(f".//{SVG}rect")
    assert bars
    for bar in bars:
        x, y, w, h = (float(bar.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 and x + w <= width and y >= 0 and y + h <= height and w > 0 and h > 0
    return root


def test_the_chart_is_xml_and_everything_is_inside(compile_ptx: Compile, tmp_path: Path) -> None:
    timeline = run_hopper(compile_ptx, 64 * 5).timeline()
    svg = timeline.to_svg()
    root = check_inside(svg)
    legend = [g.findtext(f"{SVG}text") for g in root.iter(f"{SVG}g") if g.get("class") == "entry"]
    assert set(legend) == {span.kind for span in timeline.spans}
    assert timeline._repr_html_() == svg
    timeline.save(tmp_path / "a.svg")
    timeline.save(str(tmp_path / "a.html"))
    assert (tmp_path / "a.svg").read_text() == svg and svg in (tmp_path / "a.html").read_text()
    assert not re.search(r"(src|href)=|url\(|@import", (tmp_path / "a.html").read_text())
    with pytest.raises(ValueError, match=r"use \.html or \.svg"):
        timeline.save(tmp_path / "a.png")


def test_text_of_the_program_is_escaped() -> None:
    ptx = HANDOFF.replace("bar.sync 0;", ".reg .b32 %z<3>; bar.sync 0;").replace(
        "entry k", "entry $k"
    )
    timeline = vm.run(ptx, "$k", 1, 64, [3]).timeline()
    assert any("<3>" in span.label for span in timeline.spans)
    check_inside(timeline.to_svg())


LONG = (
    HEAD
    + """
.visible .entry k(.param .u32 n) {
  .reg .b32 %t, %i, %j, %h; .reg .pred %p, %q;
  mov.u32 %t, %tid.x; ld.param.u32 %i, [n]; setp.lt.u32 %p, %t, 32; and.b32 %h, %i, 1;
ROUND:
  @%p bra SKIP;
  add.u32 %j, %i, 1; add.u32 %j, %j, 1; add.u32 %j, %j, 1; add.u32 %j, %j, 1;
SKIP:
  add.u32 %j, %i, 1; add.u32 %j, %j, 1; add.u32 %j, %j, 1;
  bar.sync 0;
  sub.u32 %i, %i, 1;
  setp.ne.u32 %q, %i, 0;
  @%q bra ROUND;
  ret;
}"""
)


def test_a_long_run_gives_a_small_chart() -> None:
    """Spans that do not fit become columns with the share of each kind."""
    report = vm.run(LONG, "k", 3, 96, [9000])
    timeline = report.timeline()
    assert timeline.window[1] > 100_000
    svg = timeline.to_svg()
    assert len(timeline.spans) > 50_000 and len(svg) < 1_000_000
    root = check_inside(svg)
    tips = [title.text or "" for title in root.iter(f"{SVG}title")]
    shares = [tip for tip in tips if re.search(r"work \d+%, barrier \d+%", tip)]
    assert shares and all("barrier 4" in tip or "barrier 3" in tip for tip in shares[:1])


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PROBE = """
<script>
const found = {}, chart = document.querySelector('svg').getBoundingClientRect();
const bars = [...document.querySelectorAll('svg rect[class^=k]')];
const box = bar => bar.getBoundingClientRect();
found.bars = bars.length;
found.outside = bars.filter(bar => box(bar).left < chart.left || box(bar).right > chart.right ||
  box(bar).top < chart.top || box(bar).bottom > chart.bottom || !box(bar).width).length;
found.page = document.documentElement.scrollWidth <= innerWidth;
const axis = Number(document.querySelector('svg').dataset.left) + chart.left;
found.cut = [...document.querySelectorAll('svg text')].filter(text =>
  box(text).left < chart.left || box(text).right > chart.right ||
  (box(text).left < axis - 20 && text.getAttribute('x') === '16' && box(text).top > chart.top + 100
   && text.getAttribute('font-weight') === null && box(text).right > axis)
).map(text => text.textContent);
const head = e => box(e).top < chart.top + 90;
const entries = [...document.querySelectorAll('.entry, .dim')].filter(head);
found.overlaps = entries.flatMap((a, i) => entries.slice(i + 1).filter(b =>
  box(a).right > box(b).left && box(b).right > box(a).left && box(a).bottom > box(b).top + 2
  && box(b).bottom > box(a).top + 2).map(b => a.textContent + '/' + b.textContent));
const inside = bars.filter(bar => !bar.closest('.entry'));
const wide = inside.sort((a, b) => box(b).width - box(a).width)[0];
const x = (box(wide).left + box(wide).right) / 2, y = (box(wide).top + box(wide).bottom) / 2;
found.onTop = document.elementFromPoint(x, y) === wide;
wide.dispatchEvent(new PointerEvent('pointermove', {clientX: x, clientY: y, bubbles: true}));
found.tip = document.getElementById('tip').textContent;
found.shown = getComputedStyle(document.getElementById('tip')).display;
const entry = document.querySelector('.entry');
entry.dispatchEvent(new MouseEvent('click', {bubbles: true}));
found.hidden = inside.filter(bar => !box(bar).width).length;
document.body.dataset.found = JSON.stringify(found);
</script></body>"""


def test_the_page_in_a_browser(compile_ptx: Compile, matmul_source: str, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    hopper = run_hopper(compile_ptx, 64 * 9).timeline()
    matmul = run_matmul(compile_ptx, matmul_source, 32 * 5, n=130).timeline()
    for number, timeline in enumerate((hopper, matmul)):
        path = tmp_path / f"{number}.html"
        path.write_text(timeline.to_html().replace("</body>", PROBE))
        dom = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000",
             f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        ).stdout  # fmt: skip
        found = json.loads(unescape(re.search(r'data-found="([^"]*)"', dom)[1]))  # type: ignore[index]
        assert found["bars"] >= len(timeline.spans) and found["outside"] == 0
        assert found["page"] and found["onTop"] and found["hidden"] > 0
        assert found["cut"] == [] and found["overlaps"] == []
        assert found["shown"] == "block" and "steps" in found["tip"] and "PTX line" in found["tip"]
