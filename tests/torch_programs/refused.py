"""Programs that must be refused. Each class marks the line that the error must name, and a part of its reason."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch._higher_order_ops.map import map as map_rows

COUNT = 0
CHOOSE = lambda x: torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x * 2, (x,))  # noqa: E731


class RecursionOnData(nn.Module):
    def halve(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # nested deeper
            return self.halve(x - 1)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.halve(x)


class EndlessRecursion(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return self.forward(x + 1)  # calls itself more than


class EndlessLoop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        count = 0
        while count >= 0:  # still runs after
            count += 1
        return x


class ListOfTheModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # list, dict or set from outside
            self.log.append(x)
        return x


class ListThroughAnotherName(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        holder = [[x]]
        if x.sum() > 0:
            holder[0].append(x)
        return holder[0][-1]


class AttributeOfTheModule(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        self.last = x  # attribute 'last' is assigned
        return x + 1


class BufferChanges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count.add_(1)  # changed in place
        return x + self.count


class InputChanges(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.add_(1)  # changed in place
        return x


class TrainingStatistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        self.norm.train()
        return self.norm(x)  # call eval()


class OuterTensorChanges(nn.Module):
    def change(self, y: Tensor) -> None:
        y[0, 0] = 1  # from outside is changed in place

    def forward(self, x: Tensor) -> Tensor:
        y = x * 1
        if x.sum() > 0:
            self.change(y)
        return y


class ChangedUnderAnotherName(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 1
        z = y
        if x.sum() > 0:
            y[0, 0] = 5
        return z + 1  # under another name


class Shapes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            y = x[:1]
        else:
            y = x
        return y * 2  # shape [1, 4] on one path and a float32 tensor of shape [2, 4]


class Dtypes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # int64 tensor
            return x.to(torch.int64)
        return x


class Structures(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        if x.sum() > 0:
            parts.append(x)
        return torch.cat(parts)  # a list of 2


class NoneOrTensor(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        hidden = None
        if x.sum() > 0:
            hidden = x
        return x if hidden is None else hidden  # None


class ReturnsNoneOrTensor(nn.Module):
    def forward(self, x: Tensor) -> Tensor | None:
        if x.sum() > 0:  # None
            return x
        return None


class Generator(nn.Module):
    def rows(self, x: Tensor):  # type: ignore[no-untyped-def]
        yield x  # generator
        yield x + 1

    def forward(self, x: Tensor) -> Tensor:
        for row in self.rows(x):
            x = x + row
        return x


class Try(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        try:  # try cannot be compiled
            return x + 1
        except ValueError:
            return x


class Match(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        match int(x.sum()):  # match cannot be compiled
            case 1:
                return x
        return x + 1


class Global(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        global COUNT  # global cannot be compiled
        COUNT += 1
        return x


class ReturnInsideWith(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():  # inside with
            return x + 1


class Walrus(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0 and (y := x.max()) > 1:  # assignment expression
            return x + y
        return x


class NestedFunctionSeesBranch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x

        def shifted() -> Tensor:  # nested function reads 'y'
            return y + 1

        if x.sum() > 0:
            y = x * 2
            x = shifted()
        return x


class AssignedOnOnePath(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            y = x + 1
        return y  # 'y' is read on a path where it is not assigned


class AssignedInLoopOnly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.sum() < 10:
            y = x
            x = x + 1
        return y  # may run zero times


class GrowingState(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.sum() < 10:  # 'x' changes in a loop
            x = torch.cat([x, x + 1])
        return x


class GrowingList(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        while x.sum() < 10:  # 'parts' changes in a loop
            x = x + 1
            parts.append(x)
        return torch.stack(parts)


class ToList(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.tolist()[0][0] > 0:  # Python reads the value
            return x
        return x + 1


class ToNumPy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + float(x.numpy().sum())  # gives Python the values


class Mathematics(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * math.sqrt(x.abs().sum())  # Python reads the value


class MathematicsOnNumbers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * math.floor(x.sum().item())  # Python needs the value


class TruthInComprehension(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rows = [row for row in x if row.sum() > 0]  # Python reads the value
        return sum(rows, torch.zeros(4))


class TruthInLibrary(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return sorted([x[0, 0], x[0, 1]])[0]  # Python reads the value


class TruthInForeignLambda(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.equal(x, x * 1):  # Python reads the value
            return x
        return x + 1


class AllClose(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.allclose(x, x * 1):  # Python reads the value
            return x
        return x + 1


class TruthOfManyValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x > 0:  # one sample
            return x
        return x + 1


class SizeFromData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(int(x.sum()))  # Python


class SliceByData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        count = int(x.sum())
        return x[:, :count]  # slice's bounds depend on data


class MaskedSelection(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]  # shape of


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(x, 0.5, True)  # random


class RandomNumbers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(4)  # random


class RaiseOnData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            raise ValueError("too large")  # exception depends on data
        return x


class AssertOnData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        assert x.sum() > 0  # assertion depends on data
        return x


class Evaluated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = eval("x + 1")  # eval() cannot be taken
        return y


class TextOfData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + len(f"{x.sum()}")  # text of a value


class IdentityOfTensors(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 1
        if x.sum() > 0:
            y = x * 2
        return x if y is x else y + 1  # 'is' between two values


class DictByData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        table = {0: 1.0, 1: 2.0}
        return x + table[int(x.argmax())]  # item of a dict


class ValueOfOr(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum() or x.max()  # gives one of two values


class FailsItself(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.zeros(7, 7)  # RuntimeError


class NoOperatorInOnnx(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        return torch.linalg.qr(y)[0]  # cannot translate the operator aten.linalg_qr


class NoOperatorUnderItsName(nn.Module):
    """The exporter's message names what it made of the operator."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.exp(x)
        if x.sum() > 0:
            y = torch.lgamma(y)  # cannot translate the operator aten.lgamma
        return y


class NoOperatorForTheseArguments(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.sum() < 3:
            x = x + 1 + torch.histc(x, 4)  # cannot translate the operator aten.histc
        return x


class MapOverRows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return map_rows(lambda row: row * 2, x * 1)  # the operator map_impl cannot be recorded


class CondInLambda(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.function = CHOOSE

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class MaskedWrite(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.masked_select(x > 0).sum()  # shape of


class DistinctValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.unique(x)  # shape of


class PositionsOfValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nonzero(x)[0]  # shape of


class RangeOfData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.arange(int(x.sum()))  # Python


class ChunksByData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(int(x.argmax()), 1)  # Python


class ConditionOfSeveral(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while (x < 1).any(dim=0):  # one sample
            x = x + 1
        return x


class ChoiceBySeveral(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x[0] > 0 else x  # one sample
