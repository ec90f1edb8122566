"""Generators: the C++ header, the SystemVerilog packages and docs/isa.md, all from the instruction table."""

from __future__ import annotations

from weft_sim.isa.generate.outputs import generated_files, repository_root, stale_files, write_files

__all__ = ["generated_files", "repository_root", "stale_files", "write_files"]
