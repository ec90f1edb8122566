"""Decisions in loops and loops in decisions: a state is refined until the answer drawn from it is sure.

IfInWhile: each update is one of two layers, as a gate on the state says. WhileInIf: a gate on the image decides whether
a first answer is enough or the loop runs. Each is there as plain Python and, under the names CondInWhileLoop and
WhileLoopInCond, with PyTorch's own operators for torch.export. Training unrolls the loops; thresholds are set
afterwards by samples that were not trained with.
"""

from __future__ import annotations

import torch
from layers import convolution
from torch import Tensor, nn
from torch._higher_order_ops import while_loop
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

LONGEST = 8
LEAK = 0.15
SMOOTHING = 0.03


def sureness(logits: Tensor) -> Tensor:
    """The largest probability of each row."""
    return logits.softmax(-1).amax(-1)


def smoothed(answers: list[Tensor], targets: Tensor) -> Tensor:
    """The mean cross entropy of all rounds' answers; without smoothing all become sure at once."""
    return torch.stack([cross_entropy(each, targets, label_smoothing=SMOOTHING) for each in answers]).mean()


def spreading_threshold(sure: Tensor) -> Tensor:
    """The threshold with which the numbers of rounds differ most (greatest entropy). sure: [rounds, n]."""
    best, chosen = -1.0, sure.new_zeros(())
    for threshold in sure[:-1].flatten().quantile(torch.linspace(0.02, 0.98, 97)):
        rounds = ((sure[:-1].cummax(0).values < threshold).sum(0) + 1).bincount().float()
        entropy = float(torch.special.entr(rounds / rounds.sum()).sum())
        if entropy > best:
            best, chosen = entropy, threshold
    return chosen


class IfInWhile(nn.Module):
    """Image [1, 1, 16, 16] to logits [1, 10], the number of rounds, and how many of them took the first layer."""

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            convolution(1, 16, 2), convolution(16, 32, 2), convolution(32, 32, 2), nn.Flatten(), nn.Linear(128, size)
        )
        self.gate = nn.Linear(size, 1)
        self.first = nn.Linear(2 * size, size)
        self.second = nn.Linear(2 * size, size)
        self.head = nn.Linear(size, 10)
        self.register_buffer("threshold", torch.full((), 2.0))

    def forward(self, image: Tensor) -> tuple[Tensor, int, int]:
        seen = torch.relu(self.encode(image))
        state = 0.1 * seen
        logits = torch.zeros(1, 10)
        sure = torch.zeros(())
        rounds = firsts = 0
        while rounds < LONGEST and sure < self.threshold:
            both = torch.cat((seen, state), 1)
            if self.gate(state) > 0:
                change = self.first(both)
                firsts += 1
            else:
                change = self.second(both)
            state = state + LEAK * (torch.tanh(change) - state)
            logits = self.head(state)
            sure = logits.softmax(-1).max()
            rounds += 1
        return logits, rounds, firsts

    def unrolled(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The logits and the gates' scores of all rounds for a batch; a gate's slope is that of its sigmoid."""
        seen = torch.relu(self.encode(image))
        state = 0.1 * seen
        answers, scores = [], []
        for _ in range(LONGEST):
            both = torch.cat((seen, state), 1)
            score = self.gate(state)
            soft = torch.sigmoid(score)
            chosen = (score > 0).float() + soft - soft.detach()
            change = chosen * self.first(both) + (1 - chosen) * self.second(both)
            state = state + LEAK * (torch.tanh(change) - state)
            answers.append(self.head(state))
            scores.append(score)
        return answers, scores

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Cross entropy of every round's answer; every round's gate opens for half of the batch."""
        answers, scores = self.unrolled(*inputs)
        error = smoothed(answers, targets)
        return error + torch.stack([(torch.sigmoid(each).mean() - 0.5) ** 2 for each in scores]).mean()

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """A threshold that spreads the rounds."""
        answers, _ = self.unrolled(*inputs)
        self.threshold.copy_(spreading_threshold(torch.stack([sureness(each) for each in answers])))


class CondInWhileLoop(IfInWhile):
    """The same with torch.cond in while_loop."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = torch.relu(self.encode(image))

        def first(state: Tensor, firsts: Tensor) -> tuple[Tensor, Tensor]:
            return self.first(torch.cat((seen, state), 1)), firsts + 1

        def second(state: Tensor, firsts: Tensor) -> tuple[Tensor, Tensor]:
            return self.second(torch.cat((seen, state), 1)), firsts.clone()

        def goes_on(state: Tensor, logits: Tensor, sure: Tensor, rounds: Tensor, firsts: Tensor) -> Tensor:
            return (rounds < LONGEST) & (sure < self.threshold)

        def update(
            state: Tensor, logits: Tensor, sure: Tensor, rounds: Tensor, firsts: Tensor
        ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
            opens = (self.gate(state) > 0).squeeze()
            change, firsts = torch.cond(opens, first, second, (state, firsts))
            state = state + LEAK * (torch.tanh(change) - state)
            logits = self.head(state)
            return state, logits, logits.softmax(-1).max(), rounds + 1, firsts

        start = (0.1 * seen, torch.zeros(1, 10), torch.zeros(()), torch.tensor(0), torch.tensor(0))
        _, logits, _, rounds, firsts = while_loop(goes_on, update, start)
        return logits, rounds, firsts


class WhileInIf(nn.Module):
    """Image [1, 1, 16, 16] to logits [1, 10] and the number of rounds, 0 where the first answer is given."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(1, 16, 2), convolution(16, channels, 2))
        self.quick = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(channels, 10))
        self.hard = nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, 1))
        self.update = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.head = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10))
        self.register_buffer("threshold", torch.full((), 2.0))

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        seen = self.stem(image)
        rounds = 0
        if self.hard(seen) > 0:
            state = 0.1 * seen
            logits = self.quick(state)
            while rounds < LONGEST and logits.softmax(-1).max() < self.threshold:
                state = state + LEAK * (torch.tanh(self.update(torch.cat((seen, state), 1))) - state)
                logits = self.head(state)
                rounds += 1
        else:
            logits = self.quick(seen)
        return logits, rounds

    def unrolled(self, seen: Tensor) -> list[Tensor]:
        """The logits of all rounds for a batch."""
        state = 0.1 * seen
        answers = []
        for _ in range(LONGEST):
            state = state + LEAK * (torch.tanh(self.update(torch.cat((seen, state), 1))) - state)
            answers.append(self.head(state))
        return answers

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Cross entropy of the first answer and of every round's; the gate learns where the first is unsure."""
        seen = self.stem(*inputs)
        quick = self.quick(seen)
        error = smoothed(self.unrolled(seen), targets) + smoothed([quick], targets)
        doubt = 1 - quick.softmax(1).gather(1, targets[:, None]).detach()
        return error + binary_cross_entropy_with_logits(self.hard(seen), doubt)

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """The gate opens for half of the inputs, and the threshold spreads the rounds among these."""
        seen = self.stem(*inputs)
        self.hard[1].bias -= self.hard(seen).median()
        answers = torch.stack([sureness(each) for each in self.unrolled(seen[self.hard(seen).squeeze(1) > 0])])
        self.threshold.copy_(spreading_threshold(answers))


class WhileLoopInCond(WhileInIf):
    """The same with while_loop in torch.cond."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        def goes_on(state: Tensor, logits: Tensor, rounds: Tensor) -> Tensor:
            return (rounds < LONGEST) & (logits.softmax(-1).max() < self.threshold)

        def refined(seen: Tensor) -> tuple[Tensor, Tensor]:
            def refine(state: Tensor, logits: Tensor, rounds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                state = state + LEAK * (torch.tanh(self.update(torch.cat((seen, state), 1))) - state)
                return state, self.head(state), rounds + 1

            state = 0.1 * seen
            _, logits, rounds = while_loop(goes_on, refine, (state, self.quick(state), torch.tensor(0)))
            return logits, rounds

        def quick(seen: Tensor) -> tuple[Tensor, Tensor]:
            return self.quick(seen), torch.tensor(0)

        seen = self.stem(image)
        return torch.cond((self.hard(seen) > 0).squeeze(), refined, quick, (seen,))
