"""The part of scripts/bench/python that runs in the peers' environment, with the package: Tonic's disk cache, Sinabs and
ours.

    python python_run.py FILE.h5 SET SSC_SIZED_SET [--repeats 5]

All ways are measured in turn, in each of the repeats; medians count. Prints one JSON object.
"""
import argparse
import itertools
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "peers"))

import reference
import step
import tonic
import torch
from network import network
from sinabs_step import train_step
import tonic_shards as ts
from torch.utils.data import DataLoader

WORKERS = 2
SINGLE = 300  # samples that are read one by one

STEPS = 6  # training steps of Sinabs

# Prints the seconds to the first batch, and the most MiB that an epoch takes beyond an interpreter with torch and the host
# cache. Pages of the shards, which are the system's, don't count. A thread looks every 2 ms.
FRESH = """
import pathlib, re, sys, threading, time
import numpy, torch, tonic_shards as ts
def anonymous():
    return int(pathlib.Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024
peak = before = anonymous()
def watch():
    global peak
    while True:
        peak = max(peak, anonymous())
        time.sleep(0.002)
path, cache = sys.argv[1:]
threading.Thread(target=watch, daemon=True).start()
start = time.perf_counter()
loader = ts.Loader(path, 128, layout="btc", cache=cache)
for i, (frames, labels) in enumerate(loader):
    if i == 0:
        first = time.perf_counter() - start
size, unit = re.match(r"host: ([0-9.]+) (kB|MB|GB)|", loader.cache).groups()
kept = float(size) * {"kB": 1e3, "MB": 1e6, "GB": 1e9}[unit] / 2**20 if size else 0
print(first, peak - before - kept)
"""


def batches_per_s(batches):
    start, count = time.perf_counter(), 0
    for _ in batches:
        count += 1
    return count / (time.perf_counter() - start)


def samples_per_s(read, numbers):
    start = time.perf_counter()
    for number in numbers:
        read(number)
    return len(numbers) / (time.perf_counter() - start)


def floats(batches):
    """The batches of a DataLoader as dense float32, as those of Loader are."""
    return (frames.float() for frames, _ in batches)


def fresh(path, cache):
    command = [sys.executable, "-c", FRESH, path, cache]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return map(float, done.stdout.split())


def outside_the_step(path):
    """The share of a training epoch of Sinabs, fed by Loader, that is not spent in its steps. The first batch counts."""
    torch.manual_seed(0)
    model = network(step.CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), lr=step.LEARNING_RATE)
    loader = ts.Loader(path, reference.BATCH, layout="btc", output="torch", drop_last=True)
    inside, start = 0, time.perf_counter()
    for frames, labels in itertools.islice(loader, STEPS):
        began = time.perf_counter()
        train_step(model, optimizer, frames, labels)
        inside += time.perf_counter() - began
    return 1 - inside / (time.perf_counter() - start)


def measure(recordings, path, ssc_sized, cache, repeats):
    """The medians of all figures."""
    on_disk = tonic.DiskCachedDataset(reference.Heidelberg(recordings, reference.recipe()), cache_path=cache)
    kept, cold = ts.ShardSet(path), ts.ShardSet(path, cache_bytes=0)
    # As of the peers, workers hand over uint8, and this process makes floats of it.
    dataset = ts.ShardDataset(path, dtype="uint8")
    for number, _ in enumerate(kept):
        on_disk[number]  # fills the cache
    sampler = ts.BatchSampler(dataset, reference.BATCH, drop_last=True)
    pad = tonic.collation.PadTensors(batch_first=True)
    # The workers stay, so that their start, which takes as long as many batches, is not measured.
    shared = {"num_workers": WORKERS, "persistent_workers": True}
    tonics = DataLoader(on_disk, reference.BATCH, shuffle=True, drop_last=True, collate_fn=pad, **shared)
    ours = DataLoader(dataset, batch_sampler=sampler, **shared)
    loaders = {
        cache: ts.Loader(path, reference.BATCH, layout="btc", cache=cache, drop_last=True) for cache in ("stream", "host")
    }
    for loader in (tonics, ours, *loaders.values()):
        batches_per_s(loader)
    rounds = []
    for repeat in range(repeats):
        numbers = random.Random(repeat).sample(range(len(kept)), min(SINGLE, len(kept)))
        first_batch, streamed = fresh(ssc_sized, "stream")
        _, hosted = fresh(ssc_sized, "host")
        rounds.append({
            "tonic_batches_per_s": batches_per_s(floats(tonics)),
            "dataset_batches_per_s": batches_per_s(floats(ours)),
            # Several epochs, so that a pass takes about as long as one of the others.
            "stream_batches_per_s": batches_per_s(itertools.chain(*itertools.repeat(loaders["stream"], 5))),
            "host_batches_per_s": batches_per_s(itertools.chain(*itertools.repeat(loaders["host"], 5))),
            "tonic_samples_per_s": samples_per_s(on_disk.__getitem__, numbers),
            "cold_samples_per_s": samples_per_s(lambda i: cold[i].dense(), numbers),
            "warm_samples_per_s": samples_per_s(lambda i: kept[i].dense(), numbers),
            "first_batch_s": first_batch,
            "stream_memory_mib": streamed,
            "host_memory_mib": hosted,
            "outside_the_step": outside_the_step(path),
        })
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("recordings")
parser.add_argument("set")
parser.add_argument("ssc_sized_set")
parser.add_argument("--repeats", type=int, default=5)
args = parser.parse_args()
with tempfile.TemporaryDirectory() as folder:
    print(json.dumps(measure(args.recordings, args.set, args.ssc_sized_set, folder, args.repeats)))
