"""Small branches made selects, where running both is estimated to take less time than deciding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from weft.control.dividing import Divided, Known, divide
from weft.control.selection_costs import Estimate
from weft.dynamic import Form, Splitting, assemble, split
from weft.dynamic.select import may_be_selected, with_selects
from weft.frontend import Model, normalize
from weft.lowering import Progress, Request, prepare
from weft_runtime.control import Branch, statements_within
from weft_runtime.executable import Executable, NodeReport

__all__ = ["Selected", "select_branches"]

MOST_TRIED = 16
"""Ifs that are tried one after the other; of more, all that may be cheaper are tried together."""


@dataclass(frozen=True)
class Selected:
    """A program in which some Ifs are selects: `notes` says by name what that saves. `divided` is the division of its
    sub-networks where it is known already."""

    normalized: Model
    splitting: Splitting
    notes: dict[str, str]
    divided: Divided | None

    def reported(self, executable: Executable) -> Executable:
        """The compiled program with a report for each If that is no decision any more."""
        reports = []
        for name, note in self.notes.items():
            chosen = [each for each in executable.nodes if each.op == "Where" and each.name.startswith(f"{name}__")]
            device, region = (chosen[0].device, chosen[0].region) if chosen else ("host", "")
            reports.append(NodeReport(name, "If", device, note, region, 0, 0))
        return replace(executable, nodes=(*executable.nodes, *reports))


def select_branches(
    normalized: Model, splitting: Splitting, request: Request, progress: Progress, known: Known
) -> Selected:
    """The program with selects in place of those Ifs that are cheaper so: both branches run, and nothing is decided.

    The whole program is estimated with and without: what its sub-networks cost, divided as well as can be, with
    branches counted half and loops once, and what deciding costs on the accelerator, where it can, or by the host.
    """
    unchanged = Selected(normalized, splitting, {}, None)
    if splitting.form is None:
        return unchanged
    branches = [each for each in statements_within(splitting.form.body) if isinstance(each, Branch)]
    if not any(may_be_selected(splitting.form, each) for each in branches):
        return unchanged
    search = _Search(request, progress, known)
    divided = divide(splitting.form, request, progress, known)
    best = replace(unchanged, divided=divided)
    cost = Estimate(divided, request).total
    tried: set[str] = set()
    while best.splitting.form is not None:
        names = search.candidates(best.splitting.form, best.divided, tried)
        if not names:
            break
        tried.update(names)
        found, total = search.attempt(best, names)
        if total < cost:
            notes = dict.fromkeys(names, f"no decision: both branches run ({_compared(total, cost)})")
            best, cost = replace(found, notes={**best.notes, **notes}), total
    return best


def _compared(ours: float, theirs: float) -> str:
    return f"{ours / 1000:,.1f} µs in all, {theirs / 1000:,.1f} µs with it"


class _Search:
    def __init__(self, request: Request, progress: Progress, known: Known) -> None:
        self._request, self._progress, self._known = request, progress, known

    def candidates(self, form: Form, divided: Divided | None, tried: set[str]) -> list[str]:
        """The next If to try, or all of them where there are many."""
        assert divided is not None
        estimate = Estimate(divided, self._request)
        branches = [each for each in statements_within(form.body) if isinstance(each, Branch)]
        known = (each for each in statements_within(divided.form.body) if isinstance(each, Branch))
        worth = {each.name for each in known if estimate.may_pay(each)}
        names = [
            each.name
            for each in branches
            if each.name not in tried and each.name in worth and may_be_selected(form, each)
        ]
        return names if len(names) > MOST_TRIED else names[:1]

    def attempt(self, before: Selected, names: Sequence[str]) -> tuple[Selected, float]:
        """The program with these selects, too, and what it costs."""
        assert before.splitting.form is not None
        model = normalize(with_selects(assemble(before.splitting.form), names))
        splitting = split(model)
        if splitting.form is None:
            prepared = prepare(model, model, self._request, self._progress)
            total: float = prepared.partition().chosen.cost.total
            return Selected(model, splitting, {}, None), total
        divided = divide(splitting.form, self._request, self._progress, self._known)
        return Selected(model, splitting, {}, divided), Estimate(divided, self._request).total
