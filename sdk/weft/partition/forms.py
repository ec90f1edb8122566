"""The form of every tensor: images (axis 1 in the lanes) or matrices (the last axis in the lanes), chosen globally.

Each operator lists the combinations of forms that it can work on. Operators are admitted one by one, those with the
most multiply-accumulates first; one that contradicts those before it is refused, with the tensor named. Every
tensor's domain only shrinks (arc consistency), and what is still open at the end is an image, as convolutions prefer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from weft.ir.operators import Form, Operator

__all__ = ["assign_forms"]

Domains = dict[str, frozenset[Form]]
Combination = tuple[Form, ...]
ANY = frozenset(Form)


def assign_forms(operators: Sequence[Operator], lanes: int) -> tuple[list[Operator], dict[str, str]]:
    """Operators with their tensors in the chosen forms, in the given order, and the names of those that cannot have
    theirs, with the reason."""
    refused: dict[str, str] = {}
    while True:
        solver = _Solver(lanes)
        for operator in sorted(operators, key=lambda each: -each.macs):  # stable: equal ones in topological order
            if operator.name not in refused and not solver.admit(operator):
                refused[operator.name] = solver.conflict(operator)
        open_choice = solver.settle()
        if open_choice is None:
            break
        refused[open_choice.name] = "the forms of its operands cannot be chosen together with those of its neighbours"
    forms = {name: next(iter(domain)) for name, domain in solver.domains.items()}
    return [each.with_forms(forms) for each in operators if each.name not in refused], refused


class _Solver:
    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.domains: Domains = {}
        self._choices: dict[str, list[Combination]] = {}
        self._admitted: dict[str, Operator] = {}
        self._readers: dict[str, list[str]] = defaultdict(list)

    def admit(self, operator: Operator) -> bool:
        """Takes the operator and narrows its neighbours' choices; False, and nothing changed, if none is left."""
        names = _names(operator)
        self._choices[operator.name] = _choices(operator, self.lanes)
        self._admitted[operator.name] = operator
        added = [name for name in dict.fromkeys(names) if name not in self.domains]
        for name, tensor in zip(names, (*operator.inputs, operator.output), strict=True):
            self.domains.setdefault(name, ANY if len(tensor.shape) >= 3 else frozenset({Form.IMAGE}))
            self._readers[name].append(operator.name)
        if self._propagate([operator.name]):
            return True
        for name in added:
            del self.domains[name]
        for name in names:
            self._readers[name].remove(operator.name)
        del self._admitted[operator.name], self._choices[operator.name]
        return False

    def conflict(self, operator: Operator) -> str:
        """Which tensor stands in the way of an operator that was not admitted."""
        for index, name in enumerate(_names(operator)):
            wanted = {combination[index] for combination in _choices(operator, self.lanes)}
            if wanted and not wanted & self.domains.get(name, ANY):
                have = next(iter(self.domains[name])).value
                return f"{name!r} is stored as {have} for its neighbours, and it needs another form"
        return f"no form of its tensors works with {self.lanes} lanes beside its neighbours' forms"

    def settle(self) -> Operator | None:
        """Decides what is open: images where possible. The operator that could not be satisfied, or None."""
        for operator in self._admitted.values():
            for name in _names(operator):
                if len(self.domains[name]) == 1:
                    continue
                for form in Form:
                    before = self.domains[name]
                    self.domains[name] = frozenset({form})
                    if self._propagate(list(self._readers[name])):
                        break
                    self.domains[name] = before
                else:
                    return operator
        return None

    def _propagate(self, queue: list[str]) -> bool:
        """Narrows domains until every operator in reach has a combination left; else undoes that and returns False."""
        before: Domains = {}
        while queue:
            operator = self._admitted[queue.pop()]
            names = _names(operator)
            left = [
                combination
                for combination in self._choices[operator.name]
                if all(form in self.domains[name] for name, form in zip(names, combination, strict=True))
                and len({(name, form) for name, form in zip(names, combination, strict=True)}) == len(set(names))
            ]
            if not left:
                self.domains.update(before)
                return False
            for index, name in enumerate(names):
                domain = self.domains[name] & {combination[index] for combination in left}
                if domain != self.domains[name]:
                    before.setdefault(name, self.domains[name])
                    self.domains[name] = domain
                    queue += [other for other in self._readers[name] if other != operator.name]
        return True


def _names(operator: Operator) -> list[str]:
    return [tensor.name for tensor in (*operator.inputs, operator.output)]


def _choices(operator: Operator, lanes: int) -> list[Combination]:
    """The operator's combinations, with tensors of rank 1 and 2 as images (both forms are the same there)."""
    tensors = (*operator.inputs, operator.output)
    return list(
        dict.fromkeys(
            tuple(form if len(tensor.shape) >= 3 else Form.IMAGE for tensor, form in zip(tensors, each, strict=True))
            for each in operator.forms(lanes)
        )
    )
