"""How long Tonic takes to make frames of one long camera recording, and how much memory.

    python tonic_camera.py IN.h5 --sensor 1280 720 2 [--time-window 10000] [--json]

read_seconds       HDF5 (DSEC layout) to a structured array of events
to_frame_seconds   tonic.transforms.ToFrame of all of them, the incomplete last window kept, which gives one dense array
peak_rss_mib       of the process
"""
import argparse
import json
import resource
import time

import h5py
import hdf5plugin  # noqa: F401, registers Blosc
import numpy as np
import tonic


def read(path):
    with h5py.File(path) as file:
        group = file["events"]
        events = np.empty(group["t"].shape, dtype=[("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.int8)])
        for name in events.dtype.names:
            events[name] = group[name][:]
    return events


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--sensor", type=int, nargs=3, required=True, metavar=("W", "H", "P"))
    parser.add_argument("--time-window", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    start = time.perf_counter()
    events = read(args.file)
    read_seconds = time.perf_counter() - start
    to_frame = tonic.transforms.ToFrame(tuple(args.sensor), time_window=args.time_window, include_incomplete=True)
    start = time.perf_counter()
    frames = to_frame(events)
    report = {
        "events": len(events),
        "frames": len(frames),
        "counted": int(frames.sum(dtype=np.int64)),
        "read_seconds": read_seconds,
        "to_frame_seconds": time.perf_counter() - start,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(report) if args.json else "\n".join(f"{key:20s} {value}" for key, value in report.items()))


if __name__ == "__main__":
    main()
