#!/usr/bin/env python3
"""Accuracy of a network of learned cells trained with PyTorch and the fused cells of cells.c, one line per epoch.

    accuracy_torch.py TRAIN VALID TEST --cell silif --hidden 128,128 --classes 10 [--epochs 24] [--seeds 0 1 2]

The three are folders that `tonic-prep export --npy` has written. The epoch with the most correct samples of the validation
set is selected, and its network is tested. The last line is JSON with all figures.
"""
import copy
import json
import pathlib
import statistics
import time

import numpy as np
import torch

import cells
import cells_torch
import loaders


def load(folder):
    """All frames of an export as (samples, FRAMES, CHANNELS) uint8, and the labels."""
    frames, labels = zip(*loaders.samples(pathlib.Path(folder), cells.FRAMES))
    return torch.from_numpy(np.stack(frames)), torch.tensor(labels)


@torch.no_grad()
def accuracy(output, frames, labels):
    parts = zip(frames.split(cells.BATCH), labels.split(cells.BATCH))
    return sum((output(x.float(), False).argmax(1) == y).sum().item() for x, y in parts) / len(labels)


def train(args, seed, train_set, valid_set, test_set):
    """Epochs of one seed, and the test accuracy of the selected one."""
    torch.manual_seed(seed)
    args.seed = seed
    frames, labels = train_set
    output, parameters, norms, _ = cells_torch.network(args)
    adam = torch.optim.Adam([p for p in parameters if p.requires_grad], lr=args.lr)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, "max", args.lr_factor, args.lr_patience, min_lr=1e-6)
    times, best = [], None
    for epoch in range(1, args.epochs + 1):
        start, total = time.perf_counter(), 0.0
        for batch in torch.randperm(len(labels)).split(cells.BATCH):
            adam.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(output(frames[batch].float()), labels[batch])
            loss.backward()
            adam.step()
            total += loss.item() * len(batch)
        seconds = time.perf_counter() - start
        valid = accuracy(output, *valid_set)
        plateau.step(valid)
        times.append(seconds)
        if best is None or valid > best[0]:
            best = valid, epoch, [p.detach().clone() for p in parameters], copy.deepcopy([n.state_dict() for n in norms])
        print(f"seed {seed}, epoch {epoch}: loss {total / len(labels):.4f}, valid {valid:.2%}, {seconds:.1f} s", flush=True)
    with torch.no_grad():
        for parameter, value in zip(parameters, best[2]):
            parameter.copy_(value)
    for norm, state in zip(norms, best[3]):
        norm.load_state_dict(state)
    test = accuracy(output, *test_set)
    return {"seed": seed, "epoch": best[1], "valid": best[0], "test": test, "epoch_s": statistics.median(times)}


def main():
    parser = cells.options(__doc__, ["fused", "authors", "unbound"])
    parser.add_argument("sets", nargs=3, metavar="SET", help="folders of the training, validation and test set")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lr", type=float, default=cells.LEARNING_RATE)
    parser.add_argument("--lr-patience", type=int, default=5)
    parser.add_argument("--lr-factor", type=float, default=0.7)
    args = parser.parse_args()
    if args.device != "cpu":
        parser.error("it trains on the CPU only")
    args.zero_states = True  # as ours, unless a network file asks for others
    torch.set_num_threads(args.threads)
    sets = [load(folder) for folder in args.sets]
    print(json.dumps({"torch": torch.__version__, "runs": [train(args, seed, *sets) for seed in args.seeds]}))


if __name__ == "__main__":
    main()
