"""One module for each construct of Python that a decision on data may stand in; unedited source as users write it.

Each returns, besides tensors, numbers that say which path it took.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class IfElifElse(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        total = x.sum()
        if total > 1:
            y, path = x * 2, 0
        elif total > -1:
            y, path = x - 1, 1
        else:
            y, path = -x, 2
        return y, path


class IfWithoutElse(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        path = 0
        if x[0, 0] > 0:
            x = x + 1
            path += 1
        if x[0, 1] > 0:
            x = x * 3
            path += 2
        return x, path


class EarlyReturns(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        y = torch.tanh(x)
        if y.mean() > 0.2:
            return y, 0
        y = y * 2
        if y.max() > 1.5:
            if y.min() < -1.5:
                return y - 1, 1
            y = y + 1
        elif y.min() < -1.5:
            return y + 5, 2
        return y * y, 3


class WhileOnData(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        steps = 0
        while x.abs().sum() < 20:
            x = x * 1.5 + 0.1
            steps += 1
        return x, steps


class WhileMixed(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int, float]:
        total = 0.0
        step = 0
        while step < 6 and total < 2.5:
            x = torch.tanh(x + 0.3)
            total += x.abs().mean().item()
            step += 1
        return x, step, total


class BreakAndContinue(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        index, skipped = 0, 0
        while index < 30:
            index += 1
            if x[0, index % 4] < 0:
                x = x + 0.25
                skipped += 1
                continue
            x = x * 1.1
            if x.sum() > 6:
                break
        return x, index, skipped


class WhileTrue(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        count = 0
        while True:
            x = x * 0.7
            count += 1
            if x.abs().max() < 0.2:
                return x, count
            if count >= 8:
                break
        return x + 1, count


class WhileElse(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        count = 0
        while count < 4:
            x = x + 0.2
            count += 1
            if x.sum() > 1:
                break
        else:
            x = x - 10
            count = -1
        return x, count


class ForRangeShort(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        last = -1
        for index in range(5):
            x = x + 0.1 * index
            last = index
            if x.sum() > 1:
                break
        return x, last


class ForRangeLong(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        for index in range(2, 100, 3):
            x = x * 1.05
            if x.abs().sum() > 12:
                return x, index
        return x, -1


class ForRangeOnData(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        count = int(x.abs().sum())
        total = 0
        for index in range(1, count):
            x = x * 0.9 + 0.01
            total += index
        return x, total


class ForOverRows(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        best = torch.zeros(4)
        chosen = -1
        for index, row in enumerate(x):
            if row.sum() > best.sum():
                best = row
                chosen = index
        return best, chosen


class GrowingModuleList(nn.Module):
    """Every block changes the shape; only the head's result is needed behind the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4 * 2**index, 8 * 2**index) for index in range(3)])
        self.heads = nn.ModuleList([nn.Linear(8 * 2**index, 3) for index in range(3)])

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        for index, (block, head) in enumerate(zip(self.blocks, self.heads, strict=True)):
            x = torch.relu(block(x))
            y = head(x)
            if y.softmax(-1).max().item() > 0.4:
                break
        return y, index


class Helpers(nn.Module):
    """A helper method and a submodule that decide themselves; one is called on both paths."""

    class Gate(nn.Module):
        def __init__(self, threshold: float) -> None:
            super().__init__()
            self.threshold = threshold
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, int]:
            if x.mean() > self.threshold:
                return self.linear(x), 1
            return x, 0

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Helpers.Gate(0.0), Helpers.Gate(0.68)
        self.chain = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def __scale(self, x: Tensor, by: float = 2.0, *, shift: float = 0.0) -> Tensor:
        if x.max() > 1:
            return x / by + shift
        return x * by

    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        x, one = self.first(x)
        y, two = self.second(self.__scale(self.chain(x), shift=0.5))
        return self.__scale(y), one, two


class Expressions(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        a, b = x[0, 0].item(), x[0, 1].item()
        y = x if a > 0 else -x
        path = 1 if (-0.5 < a < 0.5 and not b > 1) or b < -1.5 else 0
        path += 2 if (a > 0) == (b > 0) else 0
        return y * max(a, b, 0.1) + abs(min(a, b)), path


class ShortCircuit(nn.Module):
    """The right side must not run where Python would not run it: the position would be out of range."""

    def forward(self, x: Tensor) -> int:
        index = 0
        while index < 4 and x[0, index] > -0.5:
            index += 1
        return index


class ItemsByData(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.table = nn.Parameter(torch.randn(4, 2, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        expert = int(x[0, :3].argmax())
        position = x.argmin()
        names = [10, 20, 30]
        return self.experts[expert](x), self.table[position, 1], self.table[..., -1 - expert], names[expert]


class WritesIntoBuffer(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        out = torch.zeros(1, 6)
        place = 0
        value = x.sum()
        while place < 6:
            value = torch.sin(value * 3)
            if value < -0.5:
                break
            out[:, place] = value
            place += 1
        out[0, 0] += 1
        return out, place


class ChangesOwnTensor(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        y = x.clone()
        path = 0
        if y.sum() > 0:
            y[0] += 1
            y.clamp_(max=1.5)
            path = 1
        y += 2
        return y, path


class ListsAndDicts(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        outputs = []
        state = {"x": x, "n": 0}
        for _ in range(3):
            if state["x"].sum() > 0:
                state["x"] = state["x"] * 0.5 - 0.1
                state["n"] += 1
            outputs.append(state["x"])
        return torch.cat(outputs), state["n"]


class NestedLoops(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        inner = 0
        while x.sum() < 8:
            y = x.abs()
            while y.max() > 0.5:
                y = y * 0.5
                inner += 1
            x = x + y + 0.5
        return x, inner


class IfInWhileInIf(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        count = 0
        if x.sum() > 0:
            while x.max() < 5:
                if x.min() < 0:
                    x = x.abs()
                else:
                    x = x * 1.7 + 0.1
                count += 1
        else:
            x = x * 2
        return x, count


class CondInLoop(nn.Module):
    """PyTorch's own control flow within a plain module."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def body(index: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            return index + 1, torch.cond(x.sum() > 0, lambda x: x - 1, lambda x: x + 0.7, (x,))

        def test(index: Tensor, x: Tensor) -> Tensor:
            return (index < 9) & (x.abs().max() > 0.4)

        index, x = torch._higher_order_ops.while_loop(test, body, (torch.tensor(0), x))
        return x, index


class FirstValueIsANumber(nn.Module):
    """`score` is a Python number before the loop and a tensor within; 0.1 is no float32, so one iteration stands
    before.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        score = 0.1
        while score < 3.0:
            x = x * 1.3 + 0.05
            score = x.abs().sum()
        return x, score


class StaticPython(nn.Module):
    """Python that depends on no data runs as it is."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.depth = depth
        self.options = {"bias": 0.5}

    def nested(self, x: Tensor, depth: int) -> Tensor:
        if depth == 0:
            return x
        return self.nested(x * 2 if depth % 2 else x - self.options["bias"], depth - 1)

    def forward(self, x: Tensor) -> Tensor:
        sizes = [extent for extent in x.shape if extent > 1]
        with torch.no_grad():
            x = self.nested(x, self.depth)
        if len(sizes) > 4 and x.dim() == 3:
            raise ValueError(f"{sizes}")
        total, _, *rest = x[0, 0], None, 1, 2
        del _
        return total + sum(rest)


class AssignedOnOnePathOfABody(nn.Module):
    """Known numbers decide in the first iteration, data in the others: then `rounds` is assigned on one path only."""

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        odd = 1
        count = 0
        while count < 3 and x.sum() < 3:
            count += 1
            if odd % 2 != 1:
                x = x + 1
            else:
                rounds = 0
                while rounds < 3 and x.max() > 0.5:
                    rounds += 1
                    odd = int((x > 0.25).sum())
                    x = x * 0.75
            x = x * 1.5 + 0.25
        return x, odd + 10 * count
