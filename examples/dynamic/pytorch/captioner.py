"""An image captioner: a convolutional encoder and an LSTM decoder that writes words until the stop token.

The captions describe scikit-learn's digits, some of them printed faintly: "faint small even prime two". They have two
to five words; the decoder stops by itself, or at the most words that there is room for.
"""

from __future__ import annotations

import torch
from layers import convolution
from sequence_data import MOST_WORDS, START, STOP, WORDS
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class Captioner(nn.Module):
    """Words for an image, greedily: the most likely word of a step is what the next step reads."""

    def __init__(self, size: int = 48) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            convolution(1, 16, 2), convolution(16, 32, 2), convolution(32, 32, 2), nn.Flatten(), nn.Linear(128, size)
        )
        self.embedding = nn.Embedding(len(WORDS), 32)
        self.decoder = nn.LSTMCell(32, size)
        self.scores = nn.Linear(size, len(WORDS))

    def forward(self, image: Tensor) -> tuple[Tensor, int]:
        """Words, shape (1, MOST_WORDS), STOP behind the last, and how many there are. image: (1, 1, 16, 16)."""
        hidden = torch.tanh(self.encoder(image))
        cell = torch.zeros_like(hidden)
        words = torch.full((1, MOST_WORDS), STOP)
        word = torch.full((1,), START)
        count = 0
        while count < MOST_WORDS:
            hidden, cell = self.decoder(self.embedding(word), (hidden, cell))
            word = self.scores(hidden).argmax(-1)
            if word.item() == STOP:
                break
            words[:, count] = word
            count += 1
        return words, count

    def loss(self, inputs: tuple[Tensor, ...], targets: Tensor, progress: float) -> Tensor:
        """Cross entropy of every word and the first stop token, given the words before."""
        hidden = torch.tanh(self.encoder(*inputs))
        cell = torch.zeros_like(hidden)
        word = torch.full((len(targets),), START)
        said = torch.ones(len(targets), dtype=torch.bool)
        errors = []
        for wanted in targets.unbind(1):
            hidden, cell = self.decoder(self.embedding(word), (hidden, cell))
            errors.append(cross_entropy(self.scores(hidden[said]), wanted[said]))
            said = said & (wanted != STOP)
            word = wanted
        return torch.stack(errors).sum()

    def settle(self, inputs: tuple[Tensor, ...]) -> None:
        """Nothing: there is no threshold."""
