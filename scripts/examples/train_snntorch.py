"""Trains a network of snnTorch from a set. Its layers take one time step after another, so batches are time-major.

tonic-prep convert ssc_train.h5 -o shards/train
python train_snntorch.py shards/train [--epochs 5]
"""

import argparse

import snntorch as snn
import torch
import tonic_shards as ts
from torch import nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("set")
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()

loader = ts.Loader(args.set, 128, layout="tbc", output="torch", seed=0)
train = ts.ShardSet(args.set)
first, second = nn.Linear(train.shape[0] * train.shape[1] * train.shape[2], 128), nn.Linear(128, len(train.classes))
neurons, readout = snn.Leaky(beta=0.9), snn.Leaky(beta=0.9, reset_mechanism="none")
optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=1e-3)
for epoch in range(args.epochs):
    losses = []
    for frames, labels in loader:  # (T, B, C), (B,)
        hidden, out, logits = neurons.init_leaky(), readout.init_leaky(), 0
        for step in frames:
            spikes, hidden = neurons(first(step), hidden)
            _, out = readout(second(spikes), out)
            logits = logits + out / len(frames)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}")
