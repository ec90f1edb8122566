"""Random structured programs through every way into Weft, for as many as asked.

    python tests/random_programs/fuzz_dynamic.py --programs 300 [--seed 7] [--ways onnx,export,source] [--rtl-every 50]

Prints every program that differs, crashes or is refused, with its seed, and counts at the end. The exit status is 1
where one differs or crashes.
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "dynamic"), str(TESTS.parent / "examples/dynamic")]

from checks import HAS_TORCH, WAYS, Figures, check  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=100, help="programs for each way in")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000_000))
    parser.add_argument("--ways", default=",".join(WAYS if HAS_TORCH else WAYS[:1]))
    parser.add_argument("--rtl-every", type=int, default=0, help="every such program in lockstep with the RTL, too")
    parser.add_argument("--save", type=Path, help="folder for the sources (default: a temporary one)")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.programs} programs through each of {options.ways}", flush=True)
    warnings.simplefilter("ignore")
    failures = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.save or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for way in options.ways.split(","):
            failures += _one_way(way, options, folder)
    return int(failures > 0)


def _one_way(way: str, options: argparse.Namespace, folder: Path) -> int:
    total, refusals, failures, refused, start = Figures(), Counter[str](), 0, 0, time.monotonic()
    for index in range(options.programs):
        seed = options.seed + index
        try:
            rtl = options.rtl_every > 0 and index % options.rtl_every == 0
            found = check(way, seed, folder, rtl=rtl)
        except Exception as error:
            failures += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            print(f"{way} {seed}: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}: "
                  f"{' '.join(str(error).split())[:600]}", flush=True)  # fmt: skip
            continue
        if found.refused:
            refused += 1
            refusals[re.sub(r"\d+", "#", found.refused.partition(": ")[2])[:90]] += 1
            print(f"{way} {seed}: refused: {found.refused}", flush=True)
        _add(total, found)
    seconds = time.monotonic() - start
    print(f"{way}: {options.programs} programs in {seconds:.0f} s, {failures} failed, {refused} refused; "
          f"{total.samples} samples ({total.edges} on an edge); decisions opened {total.decisions['host']}, "
          f"on the device {total.decisions['device']}, "
          f"{total.decisions['auto']} by cost, {total.selects} selects; {total.batches} programs in batches; "
          f"outcomes {dict(total.outcomes.most_common())}; "
          f"golden {total.golden} programs, RTL {total.rtl_programs} launches"
          + (f"; PyTorch's first tracer failed on {total.traced_again}" if way == "export" else ""))  # fmt: skip
    for reason, count in (refusals + total.kept_whole).most_common():
        print(f"  {count} x {reason}")
    return failures


def _add(total: Figures, found: Figures) -> None:
    total.edges += found.edges
    total.traced_again += found.traced_again
    total.samples += found.samples
    total.golden += found.golden
    total.selects += found.selects
    total.batches += found.batches
    total.rtl_programs += found.rtl_programs
    total.decisions.update(found.decisions)
    total.outcomes.update(found.outcomes)
    total.kept_whole.update({re.sub(r"\d+", "#", each): count for each, count in found.kept_whole.items()})


if __name__ == "__main__":
    sys.exit(main())
