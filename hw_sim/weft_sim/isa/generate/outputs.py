"""Which files are generated, from what, and where they lie in the repository."""

from __future__ import annotations

from pathlib import Path

from weft_sim.errors import WeftError
from weft_sim.isa.generate.configurations import configurations_package
from weft_sim.isa.generate.cplusplus import cplusplus_header
from weft_sim.isa.generate.markdown import reference_page
from weft_sim.isa.generate.systemverilog import isa_package

__all__ = ["generated_files", "repository_root", "stale_files", "write_files"]


def repository_root() -> Path:
    """The folder that holds hw_sim/, found from this file. Raises WeftError in an installed wheel without
    sources."""
    package = Path(__file__).resolve().parents[2]
    root = package.parents[1]
    if package.parent.name != "hw_sim" or not (root / "docs").is_dir():
        raise WeftError(f"{package} is not inside a source checkout: run this from the repository's hw_sim folder")
    return root


def generated_files() -> dict[str, str]:
    """Path relative to the repository root → text."""
    return {
        "hw_sim/core/generated/isa.hpp": cplusplus_header(),
        "rtl/generated/weft_isa_pkg.sv": isa_package(),
        "rtl/generated/weft_config_pkg.sv": configurations_package(),
        "docs/isa.md": reference_page(),
    }


def stale_files(root: Path) -> list[str]:
    """The generated files that are missing or differ from what the table gives now."""
    found = []
    for path, text in generated_files().items():
        target = root / path
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            found.append(path)
    return found


def write_files(root: Path) -> list[str]:
    """Writes every stale file; returns their paths."""
    stale = stale_files(root)
    for path, text in generated_files().items():
        if path in stale:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
    return stale
