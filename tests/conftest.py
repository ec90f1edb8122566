"""What all tests share: real models and inputs, hypothesis profiles, the sanitized core, a list of skips."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED = Path(__file__).resolve().parents[2] / "shared"
SANITIZED_CORE = os.environ.get("WEFT_SANITIZED_CORE", "")

PROFILES = {
    "ci": {"max_examples": 25, "derandomize": True},
    "local": {"max_examples": 25},
    "thorough": {"max_examples": 1000},
}
"""`ci` finds the same examples every time; `thorough` is for a long look: WEFT_HYPOTHESIS=thorough."""

for _name, _options in PROFILES.items():
    settings.register_profile(
        _name, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True, **_options
    )
settings.load_profile(os.environ.get("WEFT_HYPOTHESIS", "ci" if os.environ.get("CI") else "local"))


def _load_sanitized_core(path: Path) -> None:
    """Puts the instrumented build in the place of the installed one, before anything imports that."""
    if "weft_sim._core" in sys.modules:
        raise pytest.UsageError("weft_sim._core was imported before the sanitized core could take its place")
    if b"__asan_init" not in path.read_bytes():
        raise pytest.UsageError(f"{path} is not built with AddressSanitizer: run make sanitize")
    spec = importlib.util.spec_from_file_location("weft_sim._core", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["weft_sim._core"] = module
    spec.loader.exec_module(module)


if SANITIZED_CORE:
    _load_sanitized_core(Path(SANITIZED_CORE))


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f"../shared/{folder} is absent")
    return path


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of real models, ../shared/models; where it is absent, the test is skipped."""
    return _shared("models")


@pytest.fixture(scope="session")
def shared_inputs() -> Path:
    """The folder of real inputs, ../shared/inputs; where it is absent, the test is skipped."""
    return _shared("inputs")


def pytest_report_header() -> list[str]:
    """Which hypothesis profile and which core this run uses."""
    core = "AddressSanitizer and UndefinedBehaviorSanitizer" if SANITIZED_CORE else "as installed"
    return [f"weft: hypothesis profile {settings.get_current_profile_name()!r}, simulator core {core}"]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The text behind "Skipped: " in a report's (file, line, text)."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _file(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.nodeid.partition("::")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at the end what did not run, why, and in which files, the most frequent reason first."""
    _onnx_suite(terminalreporter)
    reports = terminalreporter.stats.get("skipped", [])
    if not reports:
        return
    terminalreporter.section("not run")
    for reason, count in Counter(map(_reason, reports)).most_common():
        files = sorted({_file(report) for report in reports if _reason(report) == reason})
        terminalreporter.write_line(f"{count:5d} × {reason} ({', '.join(files)})")


def _onnx_suite(terminalreporter: pytest.TerminalReporter) -> None:
    """What ONNX's backend tests came to, over all workers."""
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    shards = [value for report in reports for key, value in report.user_properties if key == "OnnxBackendSuite"]
    if not shards:
        return
    terminalreporter.section("ONNX's backend tests")
    promised = sum((Counter(shard["promised"]) for shard in shards), Counter())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(promised.items()))
    passed = promised.total() - sum(shard["failed"] for shard in shards)
    terminalreporter.write_line(f"of {promised.total()} tests that ONNX Runtime passes ({kinds}), Weft passes {passed}")
    names = sorted(name for shard in shards for name in shard["accelerated"])
    terminalreporter.write_line(f"{len(names)} node tests ran on the accelerator: {', '.join(names)}")
