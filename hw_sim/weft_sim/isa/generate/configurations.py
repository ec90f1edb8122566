"""Emits rtl/generated/weft_config_pkg.sv: one constant for each machine preset."""

from __future__ import annotations

import dataclasses

from weft_sim.isa.generate.table import NOTICE
from weft_sim.machine import PRESETS, MachineConfig

__all__ = ["configurations_package"]

_DERIVED = ("vectors", "bank_bytes", "accumulator_bank_rows")


def configurations_package() -> str:
    """The whole package."""
    names = [field.name for field in dataclasses.fields(MachineConfig) if field.name != "name"]
    names += _DERIVED
    lines = [
        f"// {NOTICE}",
        "`ifndef WEFT_CONFIG_PKG_SV",
        "`define WEFT_CONFIG_PKG_SV",
        "",
        "package weft_config_pkg;",
    ]
    lines += ["", "  // The last three members follow from the others.", "  typedef struct packed {"]
    lines += [f"    int unsigned {name};" for name in names]
    lines.append("  } config_t;")
    for config in PRESETS.values():
        lines.append(f"\n  localparam config_t {config.name.upper().replace('-', '_')} = {{")
        values = [f"    32'd{getattr(config, name)}" for name in names]
        lines += [f"{value},  // {name}" for value, name in zip(values[:-1], names[:-1], strict=True)]
        lines += [f"{values[-1]}   // {names[-1]}", "  };"]
    return "\n".join([*lines, "", "endpackage", "", "`endif"]) + "\n"
