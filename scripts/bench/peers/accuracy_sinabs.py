"""Accuracy of the reference network trained with Sinabs, after each epoch: our trainer is compared with it.

Frames are made once by Tonic and kept in memory, padded to a fixed 250 steps, so that only the training differs.
The JSON is written again after every epoch, so that a run that is cut short still has results.

    python accuracy_sinabs.py TRAIN.h5 TEST.h5 --epochs 24 --seeds 0 1 2 --json OUT.json

Most of Sinabs' time goes into the gradient of `input[:, step]`, which fills a tensor of the whole input's size for
every step. --unbind passes the steps one by one: it gives the same bits several times faster, but the seconds are then not
those of Sinabs as shipped.
"""
import argparse
import json
import statistics
import time

import numpy as np
import sinabs
import torch
from torch.nn.functional import cross_entropy

import reference
from network import network, unbind


def load(path):
    """Returns all frames of a file as (samples, STEPS, CHANNELS) uint8, and the labels."""
    data = reference.Heidelberg(path, reference.recipe())
    frames = np.zeros((len(data), reference.STEPS, reference.CHANNELS), np.uint8)
    labels = np.zeros(len(data), np.int64)
    for i in range(len(data)):
        sample, labels[i] = data[i]
        sample = sample.reshape(len(sample), reference.CHANNELS)
        assert sample.min() >= 0 and sample.max() <= 255, f"sample {i} of {path} does not fit uint8"
        frames[i, : len(sample)] = sample
    return torch.from_numpy(frames), torch.from_numpy(labels)


def logits(model, frames):
    sinabs.reset_states(model)
    return model(frames.float()).sum(1)


def train_epoch(model, optimizer, frames, labels):
    """Runs one pass over all samples, including the last partial batch. Returns the mean loss per sample."""
    model.train()
    total = 0.0
    for batch in torch.randperm(len(labels)).split(reference.BATCH):
        optimizer.zero_grad()
        loss = cross_entropy(logits(model, frames[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / len(labels)


@torch.no_grad()
def accuracy(model, frames, labels):
    model.eval()
    batches = zip(frames.split(reference.BATCH), labels.split(reference.BATCH))
    right = sum((logits(model, x).argmax(1) == y).sum().item() for x, y in batches)
    return right / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE", help="write the report here after every epoch")
    parser.add_argument("--unbind", action="store_true", help="cut layers' inputs into steps once; see above")
    args = parser.parse_args()
    if args.unbind:
        unbind()
    torch.set_num_threads(args.threads)

    train, test = load(args.train), load(args.test)
    classes = int(max(train[1].max(), test[1].max())) + 1
    report = {
        "peer": f"sinabs {sinabs.__version__}, torch {torch.__version__}",
        "train_samples": len(train[1]), "test_samples": len(test[1]), "classes": classes,
        "batch": reference.BATCH, "learning_rate": reference.LEARNING_RATE, "steps": reference.STEPS,
        "threads": args.threads, "unbind": args.unbind, "runs": [],
    }
    for seed in args.seeds:
        torch.manual_seed(seed)
        model = network(classes)
        optimizer = torch.optim.Adam(model.parameters(), lr=reference.LEARNING_RATE)
        run = {"seed": seed, "test_accuracy": [], "train_loss": [], "train_seconds": []}
        report["runs"].append(run)
        for epoch in range(args.epochs):
            start = time.perf_counter()
            run["train_loss"].append(train_epoch(model, optimizer, *train))
            run["train_seconds"].append(time.perf_counter() - start)
            run["test_accuracy"].append(accuracy(model, *test))
            print(f"seed {seed} epoch {epoch + 1}: loss {run['train_loss'][-1]:.4f}  test accuracy "
                  f"{run['test_accuracy'][-1]:.4f}  {run['train_seconds'][-1]:.1f} s", flush=True)
            if args.json:
                with open(args.json, "w") as file:
                    json.dump(report, file, indent=1)
    last = [run["test_accuracy"][-1] for run in report["runs"]]
    print(f"after {args.epochs} epochs: test accuracy {statistics.mean(last):.4f} (" + ", ".join(f"{a:.4f}" for a in last) + ")")


if __name__ == "__main__":
    main()
