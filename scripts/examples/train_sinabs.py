"""Trains a network of Sinabs from a set.

tonic-prep convert ssc_train.h5 -o shards/train
python train_sinabs.py shards/train [--epochs 5]
"""

import argparse

import sinabs
import sinabs.layers as sl
import torch
import tonic_shards as ts
from torch import nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("set")
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()

loader = ts.Loader(args.set, 128, layout="btc", output="torch", seed=0)
train = ts.ShardSet(args.set)
sizes = [train.shape[0] * train.shape[1] * train.shape[2], 128, 128, 128]
hidden = [layer for ends in zip(sizes, sizes[1:]) for layer in (nn.Linear(*ends), sl.IAF())]
model = nn.Sequential(*hidden, nn.Linear(sizes[-1], len(train.classes)))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(args.epochs):
    losses = []
    for frames, labels in loader:  # (B, T, C), (B,)
        sinabs.reset_states(model)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(frames).sum(1), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}")
