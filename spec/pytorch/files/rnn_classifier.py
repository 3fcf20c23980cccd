import torch
from torch import nn


class TextClassifier(nn.Module):
    def __init__(self, vocab=1000, embed=64, hidden=128, layers=2, classes=4):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed, padding_idx=0)
        self.rnn = nn.LSTM(embed, hidden, layers, batch_first=True, bidirectional=True, dropout=0.5)
        self.norm = nn.LayerNorm(2 * hidden)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, tokens):
        x = self.embedding(tokens)
        output, (h, c) = self.rnn(x)
        last = self.norm(output[:, -1, :])
        return self.fc(last)
