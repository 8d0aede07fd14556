"""What the peers' steps share: the sizes, random frames like those of `tonic-train bench --random`, and the clock."""
import argparse
import json
import statistics
import time

import numpy as np

BATCH = 128
FRAMES = 250
CHANNELS = 100
HIDDEN = 128  # neurons of each of the three hidden layers
CLASSES = 35
LEARNING_RATE = 1e-3
SPIKE_SAMPLES = 16  # in which spikes are counted


def options(description, steps):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=BATCH, help=f"samples ({BATCH})")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames a sample, T ({FRAMES})")
    parser.add_argument("--hidden", type=int, default=HIDDEN, help=f"neurons of each of three layers ({HIDDEN})")
    parser.add_argument("--density", type=float, default=0.12, help="share of the cells that are occupied (0.12)")
    parser.add_argument("--gain", type=float, default=1.0, help="multiplies the initial hidden weights (1)")
    parser.add_argument("--steps", type=int, default=steps, help=f"steps that are timed ({steps})")
    parser.add_argument("--at-most", type=float, default=60.0, metavar="S", help="no step is begun after this time (60)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


def random_frames(args):
    """Counts (batch, frames, CHANNELS), float32: an occupied cell has two events in the mean. Labels, int64."""
    rng = np.random.default_rng(0)
    shape = (args.batch, args.frames, CHANNELS)
    occupied = rng.random(shape, np.float32) < args.density
    counts = np.zeros(shape, np.float32)
    counts[occupied] = 1 + rng.poisson(1.0, occupied.sum())
    return counts, rng.integers(0, CLASSES, args.batch)


def seconds(step, args, warm_up=1):
    """Seconds of each call, after `warm_up` that are not counted: `args.steps`, or fewer where they take long."""
    times = []
    begun = time.perf_counter()
    while len(times) < warm_up + args.steps:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
        if len(times) > warm_up and time.perf_counter() - begun > args.at_most:
            break
    return times[warm_up:]


def print_report(args, peer, times, **more):
    report = {
        "peer": peer, "batch": args.batch, "frames": args.frames, "hidden": args.hidden, "density": args.density,
        "gain": args.gain, "steps": len(times), "step_s": statistics.median(times), **more,
    }
    print(json.dumps(report) if args.json else "\n".join(f"{key:16s} {value}" for key, value in report.items()))
