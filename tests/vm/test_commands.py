"""`tilewright vm run` and `vm check`: foreign PTX from a shell, and what people get wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tilewright.runtime import cli

SOURCE = """
extern "C" __global__ void saxpy(const float *x, float *y, float a, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += a * x[i];
}
struct Pair { int shift; float scale; };
extern "C" __global__ void flip(float *y, Pair p) {
    __shared__ float t[128];
    t[threadIdx.x] = y[threadIdx.x];
    y[threadIdx.x] = t[127 - threadIdx.x] * p.scale + p.shift;
}
extern "C" __global__ void shift(float *y) {
    extern __shared__ float t[];
    t[threadIdx.x] = y[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = t[(threadIdx.x + 1) % blockDim.x];
}
"""
UNWAITED = """
.version 8.0
.target sm_80
.address_size 64
.visible .entry take(.param .u64 from, .param .u64 to) {
  .reg .b32 %t, %s; .reg .b64 %p, %q; .reg .f32 %v;
  .shared .align 16 .b8 buf[512];
  mov.u32 %t, %tid.x;
  ld.param.u64 %p, [from];
  mad.wide.u32 %p, %t, 16, %p;
  mov.u32 %s, buf;
  mad.lo.u32 %s, %t, 16, %s;
  cp.async.cg.shared.global [%s], [%p], 16;
  cp.async.commit_group;
  ld.shared.f32 %v, [%s];
  ld.param.u64 %q, [to];
  mad.wide.u32 %q, %t, 4, %q;
  st.global.f32 [%q], %v;
  cp.async.wait_group 0;
  ret;
}
"""
SAXPY = ("--entry", "saxpy", "--grid", "2", "--block", "64")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, compile_ptx):
    path = tmp_path_factory.mktemp("vm")
    (path / "k.ptx").write_text(compile_ptx(SOURCE))
    (path / "take.ptx").write_text(UNWAITED)
    return path


@pytest.fixture
def tilewright(folder, monkeypatch, capsys):
    """Runs a command in the folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tilewright", "vm", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        found = capsys.readouterr()
        return int(end.value.code or 0), found.out, found.err

    return run


def args(*values):
    return [word for value in values for word in ("--arg", value)]


def test_a_file_runs_and_its_results_are_saved(tilewright, folder):
    rng = np.random.default_rng()
    x, y = rng.standard_normal((2, 100)).astype(np.float32)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    code, out, _ = tilewright(
        "run", "k.ptx", *SAXPY, *args("x.npy", "y.npy", "1.5", "100"),
        "--save-arg", "1:out.npy", "--json", "out.json",
    )  # fmt: skip
    assert code == 0
    assert "no races, no warnings" in out
    assert "argument 1, changed: float32[100]" in out
    assert "argument 0" not in out
    np.testing.assert_allclose(
        np.load(folder / "out.npy"), y + np.float32(1.5) * x, rtol=2e-7, atol=1e-6
    )
    found = json.loads((folder / "out.json").read_text())
    assert found["entry"] == "saxpy"
    assert found["fault"] is None
    assert found["counters"]["global"]["requests"] > 0


def test_parameters_may_be_named_typed_and_shown(tilewright):
    named = ("saxpy_param_3=i32=3", "s32:8:zeros", "f32:8:arange", "saxpy_param_2=1")
    code, out, _ = tilewright("run", "k.ptx", *SAXPY, *args(*named), "--show-arg", "1")
    assert code == 0
    assert "[0. 1. 2. 3. 4. 5. 6. 7.]" in out


def test_a_race_is_shown_and_fails(tilewright):
    words = (*args("f32:128:randn", "bytes:0500000000000040"), "--grid", "1", "--block", "128")
    code, out, err = tilewright("run", "k.ptx", "--entry", "flip", *words)
    assert (code, err) == (1, "")
    assert "race in shared memory" in out
    assert "1 race, no warnings" in out
    assert "/k.cu:9" in out


def test_a_fault_shows_the_report_until_then(tilewright, folder):
    words = args("f32:100:randn", "f32:100:randn", "1", "128")
    code, out, err = tilewright("run", "k.ptx", *SAXPY, *words, "--json", "fault.json")
    assert (code, err) == (1, "")
    assert "fault: out of bounds: read of 4 bytes" in out
    assert "`saxpy_param_0`, which has 400 bytes" in out
    assert "warp instructions" in out
    fault = json.loads((folder / "fault.json").read_text())["fault"]
    assert (fault["kind"], fault["source"]) == ("out of bounds", "/k.cu:4")


def test_dynamic_shared_memory_is_asked_for(tilewright):
    words = ("--entry", "shift", "--grid", "1", "--block", "96", *args("f32:96:arange"))
    code, out, _ = tilewright("run", "k.ptx", *words)
    assert code == 1
    assert "give --shared BYTES" in out
    assert tilewright("run", "k.ptx", *words, "--shared", "384")[0] == 0


def test_roofline_and_timeline_are_drawn(tilewright, folder):
    words = [*SAXPY, *args("f32:100:randn", "f32:100:randn", "1", "100")]
    code, out, _ = tilewright(
        "run", "k.ptx", *words, "--roofline", "H200", "--timeline", "run.svg"
    )  # fmt: skip
    assert code == 0
    assert "saxpy on H200: at least" in out
    assert "timeline drawn into run.svg" in out
    assert (folder / "run.svg").read_text().startswith("<svg")


def test_lines_of_foreign_source_are_annotated(tilewright, folder):
    (folder / "k.cu").write_text(SOURCE)
    words = [*SAXPY, *args("f32:100:randn", "f32:100:randn", "1", "100"), "--source", "k.cu"]
    code, out, _ = tilewright("run", "k.ptx", *words)
    assert code == 0
    assert "k.cu: 100.0% of 80 warp instructions" in out
    (work,) = (line for line in out.splitlines() if "y[i] += a * x[i];" in line)
    assert work.split()[0] == "4"
    assert "39 " in work  # sectors: x and y read, y written, 13 each
    assert "__shared__" not in out  # the other kernels did nothing


def test_check_finds_a_race_once_and_results_that_depend_on_order(tilewright, folder):
    words = args("f32:32x4:randn", "f32:32:zeros")
    code, out, err = tilewright(
        "check", "take.ptx", "--grid", "1", "--block", "32", *words, "--seeds", "3",
        "--json", "check.json",
    )  # fmt: skip
    assert (code, err) == (1, "")
    assert out.count("race in shared memory") == 1
    for run in ("seed 0", "seed 1", "seed 2", "late", "early"):
        assert f"│ {run}" in out
    assert "argument 1 differs from" in out
    found = json.loads((folder / "check.json").read_text())
    assert [run["run"] for run in found["runs"]] == ["seed 0", "seed 1", "seed 2", "late", "early"]
    assert all(run["races"] for run in found["runs"])


def test_check_passes_what_is_right(tilewright):
    words = args("f32:100:randn", "f32:100:randn", "1", "100")
    code, out, _ = tilewright("check", "k.ptx", *SAXPY, *words, "--seeds", "1")
    assert code == 0
    assert "no races, no faults, no warnings, no differences in 3 runs" in out


def test_warnings_fail_a_check_unless_they_are_allowed(tilewright, folder):
    text = UNWAITED.replace("  cp.async.cg", "  //").replace("cp.async.commit_group;", "")
    (folder / "unset.ptx").write_text(text)
    words = ("--grid", "1", "--block", "32", *args("f32:32x4:ones", "f32:32:ones"))
    code, out, _ = tilewright("check", "unset.ptx", *words, "--seeds", "1")
    assert code == 1
    assert "warning: uninitialised" in out
    code, _, _ = tilewright("check", "unset.ptx", *words, "--seeds", "1", "--allow-warnings")
    assert code == 0


def test_a_file_is_surveyed_without_running(tilewright, folder):
    code, out, _ = tilewright("check", "k.ptx", "--no-run", "--json", "survey.json")
    assert code == 0
    assert "saxpy takes 4 arguments" in out
    assert "8 bytes (by value)" in out
    assert out.count("every instruction is supported") == 3
    found = {entry["entry"]: entry for entry in json.loads((folder / "survey.json").read_text())}
    assert [p["type"] for p in found["saxpy"]["parameters"]] == ["u64", "u64", "f32", "u32"]
    assert {name: entry["dynamic_shared"] for name, entry in found.items()} == {
        "saxpy": False, "flip": False, "shift": True,
    }  # fmt: skip


def test_unsupported_instructions_are_listed_with_their_lines(tilewright, folder):
    text = UNWAITED.replace(
        "cp.async.commit_group;", "tex.1d.v4.f32.s32 {%v, %v, %v, %v}, [t, {%t}];"
    )
    (folder / "tex.ptx").write_text(text.replace("ret;", "frobnicate.u32 %t, %t;\n  ret;"))
    code, out, _ = tilewright("check", "tex.ptx", "--no-run")
    assert code == 1
    line = UNWAITED.split("\n").index("  cp.async.commit_group;") + 1
    assert f"tex.1d.v4.f32.s32: textures are not modelled at PTX line {line}" in out
    assert "instruction frobnicate.u32 at PTX line" in out


WRONG = {
    "nowhere.ptx": (["run", "nowhere.ptx"], "cannot read nowhere.ptx: No such file"),
    "a folder": (["run", "."], "cannot read .: Is a directory"),
    "a cubin": (["run", "a.cubin"], "a.cubin is a cubin (machine code), not PTX"),
    "CUDA C++": (["run", "k.cu"], "nvcc -ptx"),
    "prose": (["check", "prose.ptx"], "it has no .version"),
    "no entries": (["run", "empty.ptx"], "has no .entry"),
    "half a file": (["check", "half.ptx", "--no-run"], "the text ends early"),
    "which entry": (["run", "k.ptx"], "choose --entry saxpy, flip, shift"),
    "near name": (["run", "k.ptx", "--entry", "sapxy"], "choose --entry saxpy\n"),
    "no grid": (["run", "k.ptx", "--entry", "shift", *args("f32:9:ones")], "--grid is missing"),
    "nothing": (["run", "k.ptx", "--entry", "saxpy"], "got 0 --arg for 4 parameters"),
    "bad grid": (["x3=1", "--grid", "0x3"], "--grid 0x3: one to three positive"),
    "words": (["x3=1", "--block", "many"], "write --block 128"),
    "too few": (["run", "k.ptx", *SAXPY, *args("f32:8:ones")], "got 1 --arg for 4 parameters"),
    "listed": (["run", "k.ptx", *SAXPY], "3  saxpy_param_3  .u32 "),
    "pointer for int": (["x3=f32:8:ones"], "a pointer has 8 bytes, parameter saxpy_param_3 is"),
    "wide scalar": (["x2=f64=1"], "f64 has 8 bytes, parameter saxpy_param_2 is .f32"),
    "int for float": (["x2=i32=1"], "i32 is not what parameter saxpy_param_2 holds"),
    "out of range": (["x3=5000000000"], "does not fit in the 32 bits"),
    "float for int": (["x3=1.5"], "parameter saxpy_param_3 is .u32, not a float"),
    "no shape": (["x0=f32:8x:ones"], "write extents as 128x64"),
    "no fill": (["x0=f32:8:much"], "fill one of"),
    "no type": (["x0=f77:8:ones"], "unknown type 'f77'"),
    "no file": (["x0=none.npy"], "cannot read none.npy"),
    "no name": (["x0=z=f32:8:ones"], "saxpy has no parameter 'z'"),
    "no memory": (["x0=f32:99999999999x99:ones"], "no memory for f32:99999999999x99"),
    "no size": (["x0=f32:99999999999x99999999999:zeros"], "no memory for f32"),
    "no box": (["x0=tensormap:f32:8x8:ones"], "no box"),
    "a map for a pointer": (["x0=tensormap:f32:8x8:ones:box=8x8"], "a tensor map has 128 bytes"),
    "odd box": (["x0=tensormap:f32:8x8:ones:box=8x8:swizzle=5"], "0, 32, 64 or 128"),
    "odd bytes": (["x3=bytes:0"], "pairs of hexadecimal digits"),
    "many threads": (["x0=f32:8:ones", "--block", "2048"], "the limit is 1,024"),
    "much shared": (["x0=f32:8:ones", "--shared", "999999"], "shared memory"),
    "clusters": (["x0=f32:8:ones", "--grid", "3", "--cluster", "2"], "no multiple of the cluster"),
    "checks": (["x0=f32:8:ones", "--checks", "some"], "choose one of all, off, late, early"),
    "device": (["x0=f32:8:ones", "--roofline", "X900"], "one of A100, L40S"),
    "source": (["x0=f32:8:ones", "--source", "other.cu"], "it has those of /k.cu"),
    "picture": (["x0=f32:8:ones", "--timeline", "run.png"], "no .html or .svg file"),
    "no record": (["x0=f32:8:ones", "--timeline", "a.svg", "--checks", "off"], "does not record"),
    "saved number": (["x0=f32:8:ones", "--save-arg", "2:x.npy"], "arguments with arrays: 0, 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_people_get_wrong_is_said_with_a_way_out(tilewright, folder, case):
    words, text = WRONG[case]
    (folder / "a.cubin").write_bytes(b"\x7fELF\x02\x01")
    (folder / "k.cu").write_text(SOURCE)
    (folder / "prose.ptx").write_text("hello")
    (folder / "empty.ptx").write_text(".version 8.0\n.target sm_80\n.address_size 64\n")
    (folder / "half.ptx").write_text((folder / "k.ptx").read_text()[:1500])
    if words[0] not in ("run", "check"):
        values = ["f32:8:ones", "f32:8:ones", "1", "8"]
        values[int(words[0][1])] = words[0][3:]
        words = ["run", "k.ptx", *SAXPY, *args(*values), *words[1:]]
    code, out, err = tilewright(*words)
    assert (code, out) == (2, "")
    assert err.startswith("UsageError: ")
    assert text in err
    assert "Traceback" not in err


def test_values_of_every_type_reach_memory(tilewright, folder):
    rng = np.random.default_rng()
    for name in ("bf16", "f8e4m3", "u4", "i64", "f16", "bool", "nf4"):
        rows = int(rng.integers(1, 9))
        values = args(f"{name}:{rows}x8:randn", "f32:8:ones", "1", "0")
        code, out, _ = tilewright("run", "k.ptx", *SAXPY, *values, "--save-arg", "0:v.npy")
        assert (code, "changed" in out) == (0, False), name
        assert len(np.load(folder / "v.npy")) == rows


def test_tensor_maps_reach_a_hopper_kernel(tilewright, folder, compile_ptx):
    source = Path(__file__).with_name("hopper.cu").read_text()
    (folder / "hopper.ptx").write_text(compile_ptx(source, "sm_90a"))
    code, out, _ = tilewright("check", "hopper.ptx", "--no-run")
    assert code == 0, out
    assert "128 bytes (a tensor map?)" in out
    assert "tensormap:f16:128x64:randn:box=64x64:swizzle=128" in out
    rng = np.random.default_rng()
    a, b = rng.integers(-8, 9, (200, 192)), rng.integers(-8, 9, (64, 192))
    for name, values in (("a", a), ("b", b)):  # bf16, as its bits
        bits = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        np.save(folder / f"{name}.npy", bits)
    maps = (
        "tensormap:a.npy:box=128x64:swizzle=128",
        "tensormap:b.npy:box=64x64:swizzle=128",
        "tensormap:f32:200x64:nan:box=128x64",
    )
    shared = 3 * (128 + 64) * 64 * 2 + 128 * 64 * 4 + 1024
    code, out, _ = tilewright(
        "run", "hopper.ptx", "--grid", "1x2", "--block", "288", "--shared", str(shared),
        *args(*maps, "192"), "--save-arg", "2:c.npy",
    )  # fmt: skip
    assert code == 0, out
    np.testing.assert_array_equal(np.load(folder / "c.npy"), a @ b.T)


def test_commands_work_without_torch(folder):
    script = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'cuda'):\n"
        "            raise ImportError(name + ' is blocked')\n"
        "sys.meta_path.insert(0, Block())\n"
        "from tilewright.runtime.cli import main\n"
        "main()\n"
    )
    values = args("bf16:4x25:randn", "f32:100:randn", "1.5", "50")
    for command in (("run",), ("check", "--seeds", "1")):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                script,
                "vm",
                command[0],
                "k.ptx",
                *SAXPY,
                *values,
                *command[1:],
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
