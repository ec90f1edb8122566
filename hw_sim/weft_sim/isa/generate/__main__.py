"""`python -m weft_sim.isa.generate [--check]`: writes the generated files, or names the stale ones and exits
1."""

from __future__ import annotations

import argparse
import sys

from weft_sim.errors import WeftError
from weft_sim.isa.generate.outputs import repository_root, stale_files, write_files


def main() -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m weft_sim.isa.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    arguments = parser.parse_args()
    try:
        root = repository_root()
    except WeftError as error:
        print(error, file=sys.stderr)
        return 1
    if not arguments.check:
        for path in write_files(root):
            print(f"wrote {path}")
        return 0
    stale = stale_files(root)
    for path in stale:
        print(f"{path} is stale: run python -m weft_sim.isa.generate", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
