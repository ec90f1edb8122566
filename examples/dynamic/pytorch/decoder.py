"""A greedy sequence decoder: it reads symbols up to a padding, and writes them last first until its stop token.

The encoder is a convolution over all positions; the decoder a GRU cell that attends to the encoder's states. How often
its loop runs is decided by the symbols that it writes.
"""

from __future__ import annotations

import torch
from sequence_data import POSITIONS, START, STOP, SYMBOLS
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

TOKENS = 2 + SYMBOLS


class ReversingDecoder(nn.Module):
    """Tokens to tokens: the symbols of the input, last first."""

    def __init__(self, size: int = 48, width: int = 24) -> None:
        super().__init__()
        self.size = size
        self.embedding = nn.Embedding(TOKENS, width)
        self.position = nn.Parameter(0.3 * torch.randn(POSITIONS, width))
        self.encoder = nn.Sequential(nn.Conv1d(width, size, 3, padding=1), nn.ReLU())
        self.start = nn.Linear(size, size)
        self.query = nn.Linear(size, size)
        self.cell = nn.GRUCell(width + size, size)
        self.scores = nn.Linear(2 * size, TOKENS)

    def encode(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's states, shape (n, POSITIONS, size), and the decoder's first, (n, size)."""
        states = self.encoder((self.embedding(symbols) + self.position).transpose(1, 2)).transpose(1, 2)
        return states, torch.tanh(self.start(states.mean(1)))

    def attend(self, hidden: Tensor, states: Tensor) -> Tensor:
        """The mean of the encoder's states that the hidden state asks for, shape (n, size)."""
        weights = torch.softmax(states @ self.query(hidden).unsqueeze(2) / self.size**0.5, 1)
        return (weights * states).sum(1)

    def forward(self, symbols: Tensor) -> tuple[Tensor, int]:
        """Tokens, shape (1, POSITIONS), STOP behind the last, and how many there are. symbols: int64 (1, POSITIONS)."""
        states, hidden = self.encode(symbols)
        context = torch.zeros_like(hidden)
        tokens = torch.full((1, POSITIONS), STOP)
        token = torch.full((1,), START)
        count = 0
        while count < POSITIONS:
            hidden = self.cell(torch.cat((self.embedding(token), context), 1), hidden)
            context = self.attend(hidden, states)
            token = self.scores(torch.cat((hidden, context), 1)).argmax(1)
            if token.item() == STOP:
                break
            tokens[:, count] = token
            count += 1
        return tokens, count

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Cross entropy of every token and the first stop token, given the tokens before."""
        states, hidden = self.encode(*inputs)
        context = torch.zeros_like(hidden)
        token = torch.full((len(targets),), START)
        said = torch.ones(len(targets), dtype=torch.bool)
        errors = []
        for wanted in targets.unbind(1):
            hidden = self.cell(torch.cat((self.embedding(token), context), 1), hidden)
            context = self.attend(hidden, states)
            scores = self.scores(torch.cat((hidden, context), 1))
            errors.append(cross_entropy(scores[said], wanted[said]))
            said = said & (wanted != STOP)
            token = wanted
        return torch.stack(errors).sum()

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Nothing: there is no threshold."""
