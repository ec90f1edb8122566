"""Modules with PyTorch's own control flow, for torch.export: each nests it in a way of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop
from torch._higher_order_ops.scan import scan


class CondOfCond(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        def inner(x: Tensor) -> Tensor:
            return torch.cond(x.max() > 1, lambda x: x * 2, lambda x: x - 1, (x,))

        return torch.cond(x.sum() > 0, inner, lambda x: -x, (x,))


class CondInWhile(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def body(index: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            return index + 1, torch.cond(x.sum() > 0, lambda x: x * 1.2 - 1, lambda x: x - 0.3, (x,))

        return while_loop(lambda index, x: (index < 7) & (x.abs().max() < 4), body, (torch.tensor(0), x))


class WhileInCond(nn.Module):
    """One weight is read in the loop, on the other path and behind both."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def grows(x: Tensor) -> Tensor:
            return while_loop(lambda x: x.abs().sum() < 30, lambda x: (self.linear(x) * 4 + 1,), (x,))[0]

        y = torch.cond(x.sum() > 0, grows, lambda x: self.linear(x), (x,))
        return self.linear(y), x


class WhileInWhile(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def inner(total: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            return total + 1, x * 0.5

        def outer(total: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            total, y = while_loop(lambda total, x: x.abs().max() > 0.5, inner, (total, x))
            return total + 100, x + y + 0.6

        return while_loop(lambda total, x: x.sum() < 8, outer, (torch.tensor(0), x))


class CarriedNumber(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return while_loop(lambda index, x: x.abs().sum() < 40, lambda index, x: (index + 2, x * 1.5 + index), (1, x))[1]


class ScanWithCond(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def step(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            out = torch.cond(state.sum() > 0, lambda s, r: s * r, lambda s, r: s - r, (state, row))
            return torch.tanh(self.linear(state) + row), out

        return scan(step, torch.zeros(4), x.reshape(4, 1).expand(4, 4), dim=0, reverse=True)


class CondInScanInCond(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        def step(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            return torch.cond(row.sum() > 0, lambda s, r: s + r, lambda s, r: s * 0.5, (state, row)), state * 1.0

        def scanned(x: Tensor) -> Tensor:
            return scan(step, torch.zeros(1), x.reshape(4, 1), dim=0)[1]

        return torch.cond(x.mean() > 0, scanned, lambda x: x.reshape(4, 1) * 2, (x,))


class PassesThrough(nn.Module):
    """Branches that give operands, a weight and a constant as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.cond(x.sum() > 0, lambda x, w: x.clone(), lambda x, w: w.clone(), (x, self.weight))
        return y, x


class ConstantsInBodies(nn.Module):
    """Constants in a branch, in a loop within it, in its condition, and one that several read."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def grows(x: Tensor) -> tuple[Tensor, Tensor]:
            step = torch.tensor([0.5, 1.0, -1.5, 2.0])

            def body(count: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
                return count + torch.tensor(2), x * torch.tensor([[1.5, 1.25, 2.0, 1.75]]) + step

            return while_loop(lambda count, x: x.abs().sum() < torch.tensor(30.0), body, (torch.tensor(1), x + step))

        return torch.cond(x.sum() > 0, grows, lambda x: (torch.tensor(7), x * torch.tensor([1.0, 2.0, 3.0, 4.0])), (x,))


class ConstantsInScan(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def step(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            return state * torch.tensor(0.5) + row, state + torch.tensor([1.0])

        return scan(step, torch.zeros(1), x.reshape(4, 1), dim=0)


class ChangedBuffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        return x + self.count


class BakedExtent(nn.Module):
    """torch.onnx.export takes one side for every extent."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] > 4 else x - 1
