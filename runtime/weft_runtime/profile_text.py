"""A profile as plain text tables, for terminals and logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft_runtime.profile import Profile

__all__ = ["render", "render_paths", "table"]

MAX_NODES = 40
MAX_NAME = 44
MAX_PATHS = 12


def render(profile: Profile) -> str:
    """The whole profile: totals, host graphs, regions, nodes by share of the time, units with their
    stalls."""
    parts = [_totals(profile), _paths(profile), _regions(profile), _nodes(profile), _units(profile), _host(profile)]
    return "\n\n".join(part for part in parts if part)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Columns separated by two spaces, left-aligned for the indices in `left`, right-aligned for others."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rendered = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([rendered[0], "  ".join("-" * width for width in widths), *rendered[1:]])


def render_paths(profile: Profile, notes: Sequence[Sequence[str]] = ()) -> str:
    """The decisions of each sample, in order; `notes` by sample and decision stand behind them."""
    if not profile.paths:
        return "one path for all inputs"
    rows = []
    for index, path in enumerate(profile.paths):
        behind = notes[index] if notes else [""] * len(path)
        steps = [f"{shorten(each.name, 24)} {each.outcome}{note}" for each, note in zip(path, behind, strict=True)]
        rows.append((str(index), " → ".join(steps) or "no decision"))
    return table(("sample", "path"), rows, left=(0, 1))


def _paths(profile: Profile) -> str:
    """How many samples took the most frequent paths."""
    if not profile.paths:
        return ""
    found = Counter(tuple(each.outcome for each in path) for path in profile.paths)
    rows = [
        (" ".join(outcomes) or "no decision", str(count), _share(count, len(profile.paths)))
        for outcomes, count in found.most_common(MAX_PATHS)
    ]
    rest = f"\n({len(found) - len(rows)} more paths)" if len(found) > len(rows) else ""
    return table(("path", "samples", "share"), rows) + rest


def _totals(profile: Profile) -> str:
    samples = f", {profile.samples} samples, figures per sample" if profile.samples > 1 else ""
    lines = [f"{profile.device} · {profile.target}{samples}"]
    if profile.cycles:
        lines.append(
            f"{profile.cycles:,} cycles = {profile.device_seconds * 1e3:.3f} ms "
            f"at {', '.join(dict.fromkeys(str(each.clock_mhz) for each in profile.processors))} MHz · "
            f"{profile.macs:,} MACs · utilization {profile.utilization:.1%}"
        )
    else:
        lines.append(f"no time on this device · {profile.macs:,} MACs")
    lines.append(
        f"{profile.transfers} transfers of {profile.transfer_bytes:,} bytes · "
        f"DRAM {profile.read_bytes:,} bytes read, {profile.write_bytes:,} written · "
        f"host {profile.host_seconds * 1e3:.3f} ms, wall {profile.wall_seconds * 1e3:.3f} ms"
    )
    return "\n".join(lines)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _regions(profile: Profile) -> str:
    rows = [
        (
            shorten(each.name),
            f"{each.cycles:,}",
            f"{each.region.estimated_cycles:,}",
            f"{each.result.instructions:,}",
            _share(each.region.macs, each.cycles * each.processor.macs_per_cycle),
            f"{each.result.read_bytes:,}",
            f"{each.result.write_bytes:,}",
        )
        for each in profile.regions
    ]
    header = ("region", "cycles", "estimated", "instructions", "MXU use", "bytes read", "written")
    return table(header, rows) if rows else ""


def _nodes(profile: Profile) -> str:
    nodes = profile.nodes
    shown = sorted(nodes, key=lambda node: -node.cycles)[:MAX_NODES]
    rows = [
        (
            shorten(node.name),
            shorten(node.region, 20),
            f"{node.cycles:,}",
            _share(node.cycles, profile.cycles),
            f"{node.instructions:,}",
            " ".join(f"{unit} {cycles:,}" for unit, cycles in node.active.items()),
        )
        for node in shown
    ]
    if not rows:
        return ""
    rest = f"\n({len(nodes) - len(shown)} more nodes)" if len(nodes) > len(shown) else ""
    return table(("node", "region", "cycles", "share", "instructions", "active cycles"), rows, left=(0, 1, 5)) + rest


def _units(profile: Profile) -> str:
    rows = []
    for unit, counters in profile.units.items():
        causes = sorted(((cycles, cause) for cause, cycles in counters.stalls.items() if cycles), reverse=True)
        text = ", ".join(f"{cause} {cycles:,}" for cycles, cause in causes)
        rows.append((unit, text or "–", f"{counters.busy:,}", _share(counters.busy, profile.cycles)))
    return table(("unit", "stalled cycles by cause", "busy", "share"), rows, left=(0, 1)) if rows else ""


def _host(profile: Profile) -> str:
    rows = [(shorten(each.name), f"{each.seconds * 1e3:.3f}") for each in profile.host]
    return table(("host graph", "ms"), rows) if rows else ""


def shorten(name: str, width: int = MAX_NAME) -> str:
    """The name, with its middle left out if it is too long: both ends of ONNX names tell nodes apart."""
    if len(name) <= width:
        return name
    head = (width - 1) // 2
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"
