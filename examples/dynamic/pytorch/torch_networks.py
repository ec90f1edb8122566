"""Dynamic networks as plain PyTorch source: nothing here knows of Weft.

    import weft
    model = weft.from_torch(torch_networks.EarlyExitVGG().eval(), (torch.zeros(1, 1, 8, 8),))

Each returns, besides its answer, which path it took. The images are 8×8, as scikit-learn's digits are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

START, STOP = 1, 0


def convolution(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalization, ReLU."""
    layers = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False)
    return nn.Sequential(layers, nn.BatchNorm2d(outputs), nn.ReLU())


def depthwise_separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """MobileNet's block."""
    return nn.Sequential(convolution(inputs, inputs, stride, inputs), nn.Conv2d(inputs, outputs, 1), nn.ReLU())


class Residual(nn.Module):
    """ResNet's block; a wide one for WideResNet."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(inputs, outputs, stride), nn.Conv2d(outputs, outputs, 3, 1, 1))
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (1, inputs, h, w) to (1, outputs, h/stride, w/stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


class ShallowDeep(nn.Module):
    """Shallow-Deep network: leaves at the first head that is confident enough."""

    def __init__(self, blocks: list[nn.Module], channels: list[int], threshold: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.heads = nn.ModuleList([nn.Linear(count, 10) for count in channels])
        self.threshold = threshold

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Logits and the exit."""
        x = image
        for index, (block, head) in enumerate(zip(self.blocks, self.heads, strict=True)):
            x = block(x)
            logits = head(x.mean((2, 3)))
            if index + 1 < len(self.blocks) and logits.softmax(-1).max().item() > self.threshold:
                return logits, index
        return logits, len(self.blocks) - 1


class EarlyExitMobileNet(ShallowDeep):
    """Shallow-Deep MobileNet."""

    def __init__(self, threshold: float = 0.14) -> None:
        blocks = [convolution(1, 8), depthwise_separable(8, 12), depthwise_separable(12, 16, 2)]
        super().__init__(blocks, [8, 12, 16], threshold)


class EarlyExitVGG(ShallowDeep):
    """Shallow-Deep VGG."""

    def __init__(self, threshold: float = 0.14) -> None:
        pooled = nn.Sequential(convolution(8, 12), nn.MaxPool2d(2))
        super().__init__([convolution(1, 8), pooled, convolution(12, 16)], [8, 12, 16], threshold)


class EarlyExitResNet(ShallowDeep):
    """Shallow-Deep ResNet."""

    def __init__(self, threshold: float = 0.14) -> None:
        super().__init__([convolution(1, 8), Residual(8, 8), Residual(8, 12, 2)], [8, 8, 12], threshold)


class EarlyExitWideResNet(ShallowDeep):
    """Shallow-Deep WideResNet."""

    def __init__(self, threshold: float = 0.14) -> None:
        super().__init__([convolution(1, 8), Residual(8, 24), Residual(24, 32, 2)], [8, 24, 32], threshold)


class SkipNet(nn.Module):
    """Feed-forward gates: each block runs or is skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(1, 8)
        self.blocks = nn.ModuleList([Residual(8, 8) for _ in range(3)])
        self.gates = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)])
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Logits and the number of blocks that ran."""
        x = self.stem(image)
        ran = 0
        for block, gate in zip(self.blocks, self.gates, strict=True):
            if gate(x.mean((2, 3))) > 0:
                x = block(x)
                ran += 1
        return self.head(x.mean((2, 3))), ran


class RecurrentSkipNet(SkipNet):
    """Gates with a memory of the decisions before."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTMCell(8, 6)
        self.decision = nn.Linear(6, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Logits and the number of blocks that ran."""
        x = self.stem(image)
        hidden = cell = torch.zeros(1, 6)
        ran = 0
        for block in self.blocks:
            hidden, cell = self.memory(x.mean((2, 3)), (hidden, cell))
            if self.decision(hidden) > 0:
                x = block(x)
                ran += 1
        return self.head(x.mean((2, 3))), ran


class BlockDrop(nn.Module):
    """A policy decides up front which blocks run."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        self.stem = convolution(1, 8)
        self.blocks = nn.ModuleList([Residual(8, 8) for _ in range(3)])
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Logits and the blocks that ran, as bits."""
        keep = self.policy(image)[0] > 0
        x = self.stem(image)
        ran = 0
        for index, block in enumerate(self.blocks):
            if keep[index]:
                x = block(x)
                ran += 2**index
        return self.head(x.mean((2, 3))), ran


class Captioner(nn.Module):
    """An LSTM decoder behind a convolutional encoder; it ends at the stop token."""

    def __init__(self, words: int = 6, longest: int = 10) -> None:
        super().__init__()
        self.longest = longest
        self.encoder = nn.Sequential(convolution(1, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 12))
        self.embedding = nn.Embedding(words, 12)
        self.decoder = nn.LSTMCell(12, 12)
        self.scores = nn.Linear(12, words)

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Tokens, shape (1, longest), and how many there are."""
        hidden = torch.tanh(self.encoder(image))
        cell = torch.zeros_like(hidden)
        tokens = torch.full((1, self.longest), STOP)
        token = torch.full((1,), START)
        count = 0
        while count < self.longest:
            hidden, cell = self.decoder(self.embedding(token), (hidden, cell))
            token = self.scores(hidden).argmax(-1)
            if token.item() == STOP:
                break
            tokens[:, count] = token
            count += 1
        return tokens, count


class MultiScale(nn.Module):
    """RANet- and MSDNet-like: a coarse image first, finer ones only where it is needed."""

    def __init__(self, threshold: float = 0.14) -> None:
        super().__init__()
        self.threshold = threshold
        self.scales = nn.ModuleList([convolution(1, 8) for _ in range(3)])
        self.heads = nn.ModuleList([nn.Linear(8, 10) for _ in range(3)])

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Logits and the exit."""
        logits = torch.zeros(1, 10)
        for index, size in enumerate((4, 2, 1)):
            small = nn.functional.avg_pool2d(image, size) if size > 1 else image
            logits = logits + self.heads[index](self.scales[index](small).mean((2, 3)))
            if logits.softmax(-1).max() > self.threshold:
                return logits, index
        return logits, 3


class AdaptiveHalting(nn.Module):
    """Adaptive computation time: the state halts when its probabilities sum to one."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(64, 12)
        self.step = nn.Linear(12, 12)
        self.halt = nn.Linear(12, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """The weighted state and the number of steps."""
        x = torch.tanh(self.encode(image.flatten(1)))
        answer, halted, steps = torch.zeros_like(x), torch.zeros(()), 0
        while halted < 1 and steps < 12:
            x = torch.tanh(self.step(x))
            weight = torch.minimum(torch.sigmoid(self.halt(x)).squeeze() * 0.5, 1 - halted)
            answer = answer + weight * x
            halted = halted + weight
            steps += 1
        return answer, steps


class MixtureOfExperts(nn.Module):
    """One expert of four for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 4)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)) for _ in range(4)])

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Logits and the expert."""
        x = image.flatten(1)
        chosen = int(self.gate(x).argmax())
        return self.experts[chosen](x), chosen


NETWORKS = (
    EarlyExitMobileNet, EarlyExitVGG, EarlyExitResNet, EarlyExitWideResNet, SkipNet, RecurrentSkipNet, BlockDrop,
    Captioner, MultiScale, AdaptiveHalting, MixtureOfExperts,
)  # fmt: skip
