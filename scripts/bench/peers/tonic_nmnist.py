"""Samples per second of Tonic's loop from `.bin` files of N-MNIST to frames of 10 ms, which it keeps none of.

    python tonic_nmnist.py FOLDER [-n 1000] [--json]
"""
import argparse
import json
import pathlib
import time

import numpy as np
import tonic
import tonic.io

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("-n", "--samples", type=int, default=1000)
parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
args = parser.parse_args()
files = sorted(args.folder.rglob("*.bin"))[: args.samples]
dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])  # that of tonic.datasets.NMNIST
to_frame = tonic.transforms.ToFrame((34, 34, 2), time_window=10_000)
start = time.perf_counter()
counted = sum(int(to_frame(tonic.io.read_mnist_file(str(file), dtype=dtype)).sum()) for file in files)
report = {"samples": len(files), "counted": counted, "samples_per_s": len(files) / (time.perf_counter() - start)}
print(json.dumps(report) if args.json else "\n".join(f"{key:20s} {value}" for key, value in report.items()))
