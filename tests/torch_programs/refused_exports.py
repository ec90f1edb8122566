"""torch.export programs that must be refused. Each class marks the line that the error must name, and a part of its
reason.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._higher_order_ops import while_loop
from torch._higher_order_ops.map import map as map_rows
from torch._higher_order_ops.scan import scan


class BufferChanges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        self.count.add_(1)  # changes 'count' in place
        return y + self.count


class InputChanges(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x[0, 0] = 1  # changes 'x' in place
        return x * 2


class NoOperator(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        return torch.linalg.qr(y)[0]  # cannot translate the operator aten.linalg_qr


class NoOperatorInBranch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        def then(x: Tensor) -> Tensor:
            y = x.exp() + 1
            return torch.lgamma(y)  # cannot translate the operator aten.lgamma

        return torch.cond(x.sum() > 0, then, lambda x: x * 2, (x,))


class NoOperatorInLoop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        def body(x: Tensor) -> tuple[Tensor]:
            y = x + 1
            return (torch.lgamma(y.exp()),)  # cannot translate the operator aten.lgamma

        return while_loop(lambda x: x.sum() < 3, body, (x,))[0]


class NoOperatorInScan(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        def step(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            following = state + row
            return following, torch.lgamma(following.exp())  # cannot translate the operator aten.lgamma

        return scan(step, torch.zeros(4), x)[1]


class MapOverRows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return map_rows(lambda row: row * 2, x * 1)  # the operator map_impl has no ONNX form


class MaskedSelection(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        return y[y > 0]  # result depends on data


class PositionsOfValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nonzero(x)  # result depends on data


class DistinctValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.unique(x)  # result depends on data
