"""Writes the area table of `weft explore` from docs/synthesis.json; `make synth` runs it behind the synthesis."""

from __future__ import annotations

import json
from pathlib import Path

from weft.exploration.area import FILE, condense

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    table = condense(json.loads((ROOT / "docs" / "synthesis.json").read_text()))
    (ROOT / "sdk" / "weft" / "exploration" / FILE).write_text(json.dumps(table, indent=1) + "\n")
