"""The cocotb benches (rtl/tb) on the planted sources: for the mutants that the lockstep programs leave alive.

`python -m mutation.benches build|test NAME ROOT FOLDER` builds a bench once, or runs it with the mutant of WEFT_MUTANT.
"""

from __future__ import annotations

import html
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mutation.schemata import proven
from mutation.suite import Verdict
from mutation.tokens import blank

_INSTANCE = re.compile(r"^\s*(\w+)\s+(?:#\((?:[^()]|\([^()]*\))*\)\s*)?u_\w+\s*\(", re.MULTILINE)
_FAILED = re.compile(r'<(?:failure|error)[^>]*?(?:message|error_msg)="([^"]*)"')


def runner_of(project: Path) -> ModuleType:
    """rtl/tb/runner.py."""
    path = project / "rtl" / "tb" / "runner.py"
    spec = importlib.util.spec_from_file_location("weft_rtl_runner", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reaching(project: Path, benches: tuple[str, ...]) -> dict[str, list[str]]:
    """For each module and package, the benches below whose top it is, the smallest bench first."""
    source, tb = project / "rtl" / "src", project / "rtl" / "tb"
    texts = {path.stem: blank(path.read_text()) for path in (*source.glob("*.sv"), *tb.glob("*_bench.sv"))}
    below: dict[str, set[str]] = {}
    for bench in benches:
        top = f"{bench}_bench" if f"{bench}_bench" in texts else bench
        found, waiting = set(), [top]
        while waiting:
            name = waiting.pop()
            if name in texts and name not in found:
                found.add(name)
                waiting += _INSTANCE.findall(texts[name])
                waiting += [package for package in texts if package.endswith("_pkg") and package in texts[name]]
        below[bench] = found
    names = sorted(benches, key=lambda bench: (len(below[bench]), bench))
    return {module: [b for b in names if module in below[b]] for module in texts if not module.endswith("_bench")}


@dataclass
class Bench:
    """One bench on the planted sources; `seconds` is what it takes without a fault."""

    name: str
    root: Path
    folder: Path
    project: Path
    seconds: float = 0.0

    def prepare(self) -> None:
        """Builds it and runs it without a fault. Raises RuntimeError when that fails."""
        result = self._run("build", 0, 1200)
        if result is None or result.returncode:
            raise RuntimeError(f"bench {self.name} cannot be built: {'' if result is None else result.stdout[-2000:]}")
        start = time.monotonic()
        verdict = self.judge(0)
        self.seconds = time.monotonic() - start
        if verdict.by:
            raise RuntimeError(f"bench {self.name} fails without a fault: {verdict.how} {verdict.detail}")

    def judge(self, number: int) -> Verdict:
        """Runs the bench with a mutant. Raises RuntimeError when the run proves nothing."""
        results, proof = self.folder / "results.xml", self.folder / "proof"
        for path in (results, proof):
            path.unlink(missing_ok=True)
        limit = 4 * self.seconds + 30 if self.seconds else 600
        result = self._run("test", number, limit)
        by = f"bench {self.name}"
        active = proof.read_text() if proof.is_file() else ""
        if active != str(number):
            raise RuntimeError(
                f"mutant {number} was not active in {by}: {'' if result is None else result.stdout[-1000:]}"
            )
        if result is None:
            return Verdict(by, "hang", f"no end after {limit:.0f} s")
        text = results.read_text() if results.is_file() else ""
        if "<testcase" in text and "<failure" not in text and "<error" not in text and not result.returncode:
            return Verdict()
        if "Assertion failed" in result.stdout:
            line = next(line for line in result.stdout.splitlines() if "Assertion failed" in line)
            return Verdict(by, "assertion", line.strip()[-160:])
        if "<failure" in text or "<error" in text:
            message = _FAILED.search(text)
            return Verdict(by, "failing test", html.unescape(message[1]).splitlines()[0][:200] if message else "")
        if "%Error" in result.stdout:
            line = next(line for line in result.stdout.splitlines() if "%Error" in line)
            return Verdict(by, "end of the process", line.strip()[-160:])
        raise RuntimeError(f"{by} with mutant {number} ended without a result: {result.stdout[-1000:]}")

    def _run(self, what: str, number: int, seconds: float) -> subprocess.CompletedProcess[str] | None:
        """None when it took too long."""
        command = [sys.executable, "-m", "mutation.benches", what, self.name]
        command += [str(self.root), str(self.folder), str(self.project)]
        environment = {
            **os.environ,
            "WEFT_MUTANT": str(number),
            "WEFT_MUTANT_PROOF": str(self.folder / "proof"),
            "PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[1]), *sys.path)),
        }
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None
        return subprocess.CompletedProcess(command, process.returncode, output)


def _inside(what: str, name: str, root: Path, folder: Path, project: Path) -> None:
    """In the process of its own."""
    from cocotb_tools.runner import get_runner

    from weft_sim.rtl_build import Sources

    runner_module = runner_of(project)
    runner_module._environment()
    tool = get_runner("verilator")
    wrapper = root / "rtl" / "tb" / f"{name}_bench.sv"
    top = wrapper.stem if wrapper.is_file() else name
    if what == "build":
        sources = Sources.under(root)
        proven(wrapper if wrapper.is_file() else root / "rtl" / "src" / f"{name}.sv")
        package = root / "rtl" / "src" / "weft_mutant_pkg.sv"
        files = [sources.waivers, *sources.generated, package, *(f for f in sources.verilog if f != package)]
        files += [wrapper] if wrapper.is_file() else []
        arguments = ["-O3", "--assert", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
        arguments += [f"+define+WEFT_CONFIG={runner_module.CONFIGURATION}", str(root / "rtl" / "tb" / "choice.cpp")]
        tool.build(sources=files, hdl_toplevel=top, build_args=arguments, build_dir=folder, always=True)
        return
    tool.test(
        hdl_toplevel=top, hdl_toplevel_lang="verilog", test_module=f"{name}_bench", build_dir=folder, test_dir=folder,
        results_xml=str(folder / "results.xml"),
    )  # fmt: skip


if __name__ == "__main__":
    _inside(sys.argv[1], sys.argv[2], *(Path(each) for each in sys.argv[3:6]))
