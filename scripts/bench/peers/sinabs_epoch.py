"""How fast Sinabs trains when Tonic feeds it: DiskCachedDataset, DataLoader, PadTensors, then sinabs_step.py's step.

    python sinabs_epoch.py IN.h5 [--batches 8] [--workers 2] [--threads 2] [--json]

The first epoch, which fills the cache, is loaded and not trained on. Of the second, a batch warms up, during which the
workers start, and the next --batches count: each takes as long as any other.
"""
import argparse
import json
import tempfile
import time

import sinabs
import tonic
import torch

import reference
import step
from network import network
from sinabs_step import train_step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--batches", type=int, default=8, help="batches of the second epoch that are timed (8)")
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader (2)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = network(step.CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), lr=step.LEARNING_RATE)
    data = reference.Heidelberg(args.file, reference.recipe())
    with tempfile.TemporaryDirectory() as cache:
        loader = reference.batches(tonic.DiskCachedDataset(data, cache_path=cache), args.workers)
        if len(loader) <= args.batches:
            parser.error(f"{args.file} has {len(loader)} batches of {step.BATCH}; --batches has to be below that")
        for _ in loader:
            pass
        for i, (frames, labels) in enumerate(loader):
            if i == 1:
                start = time.perf_counter()
            train_step(model, optimizer, frames.flatten(2).float(), torch.as_tensor(labels))
            if i == args.batches:
                break
        seconds = time.perf_counter() - start
    report = {
        "peer": f"sinabs {sinabs.__version__}, tonic {tonic.__version__}, torch {torch.__version__}",
        "workers": args.workers, "threads": args.threads, "batch": step.BATCH, "batches": args.batches,
        "batches_per_s": args.batches / seconds, "samples_per_s": args.batches * step.BATCH / seconds,
    }
    print(json.dumps(report) if args.json else "\n".join(f"{key:16s} {value}" for key, value in report.items()))


if __name__ == "__main__":
    main()
