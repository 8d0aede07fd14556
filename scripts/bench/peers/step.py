"""Shared by the peers' step scripts: sizes, clocks, and random frames like those of `tonic-train bench --random`."""
import argparse
import contextlib
import json
import signal
import statistics
import sys
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
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames per sample, T ({FRAMES})")
    parser.add_argument("--hidden", type=int, default=HIDDEN, help=f"neurons of each of three layers ({HIDDEN})")
    parser.add_argument("--density", type=float, default=0.12, help="share of the cells that are occupied (0.12)")
    parser.add_argument("--gain", type=float, default=1.0, help="multiplies the initial hidden weights (1)")
    parser.add_argument("--steps", type=int, default=steps, help=f"steps that are timed ({steps})")
    parser.add_argument("--at-most", type=float, default=60.0, metavar="S", help="no step is begun after this time (60)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: the first GPU (cpu)")
    parser.add_argument("--form-limit", type=float, metavar="S", help="give up a form that has not been timed by then")
    parser.add_argument("--check", action="store_true", help="compare loss and gradients with oracle.py's, time nothing")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else; of several lines, the last counts")
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


def cuda_seconds(step, args, warm_up=3):
    """Like `seconds` on a GPU: the time between CUDA events after each call, without waiting in between."""
    import torch

    for _ in range(warm_up):
        step()
    torch.cuda.synchronize()
    begun, events = time.perf_counter(), []
    while True:
        events.append(torch.cuda.Event(enable_timing=True))
        events[-1].record()
        if len(events) > args.steps or len(events) > 1 and time.perf_counter() - begun > args.at_most:
            break
        step()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) / 1e3 for start, end in zip(events, events[1:])]


@contextlib.contextmanager
def time_limit(limit):
    """Ends the body of the `with` statement by an exception after `limit` seconds, if there is a limit."""
    def end(*_):
        raise TimeoutError(f"took more than {limit:g} s")

    if limit:
        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def report_fastest(args, peer, forms, **more):
    """Times all `forms`, which are functions by name, and prints the report of the fastest.

    A form that fails is named, and the others are timed. With --json, a report is printed after each form, in case time runs
    out.
    """
    times, failed = {}, {}
    for name, form in forms.items():
        try:
            with time_limit(args.form_limit):
                times[name] = form()
        except Exception as e:  # a compiler may raise anything
            failed[name] = f"{type(e).__name__}: {(str(e).strip().splitlines() or [''])[0][:300]}"
            print(f"{name}: {failed[name]}", file=sys.stderr, flush=True)
        last = len(times) + len(failed) == len(forms)
        if times and (args.json or last):
            best = min(times, key=lambda form: statistics.median(times[form]))
            ways = {form: statistics.median(t) for form, t in times.items()}
            print_report(args, peer, times[best], way=best, ways=ways, failed=failed, **more)
    if not times:
        sys.exit("no form could be timed")


def print_report(args, peer, times, **more):
    report = {
        "peer": peer, "device": args.device, "batch": args.batch, "frames": args.frames, "hidden": args.hidden,
        "density": args.density, "gain": args.gain, "steps": len(times), "step_s": statistics.median(times),
        "step_min_s": min(times), "step_max_s": max(times), **more,
    }
    text = json.dumps(report) if args.json else "\n".join(f"{key:16s} {value}" for key, value in report.items())
    print(text, flush=True)
