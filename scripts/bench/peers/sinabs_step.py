"""How long one training step of the reference network takes with Sinabs on the CPU: forward, loss, backward, Adam.

    python sinabs_step.py [--steps 5] [--threads 2] [--json]

A batch of 128 random recordings, 250 frames of 100 channels, 0.3 events a cell. The first step is not counted.
"""
import argparse
import json
import statistics
import time

import sinabs
import torch
from torch.nn.functional import cross_entropy

import reference

CLASSES = 35


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=reference.STEPS)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = reference.network(CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), lr=reference.LEARNING_RATE)
    x = torch.poisson(torch.full((reference.BATCH, args.frames, reference.CHANNELS), 0.3))
    y = torch.randint(0, CLASSES, (reference.BATCH,))

    forward, step = [], []
    for _ in range(args.steps + 1):
        sinabs.reset_states(model)
        optimizer.zero_grad()
        start = time.perf_counter()
        output = model(x).sum(1)
        forward.append(time.perf_counter() - start)
        loss = cross_entropy(output, y)
        loss.backward()
        optimizer.step()
        step.append(time.perf_counter() - start)
    report = {
        "peer": f"sinabs {sinabs.__version__}, torch {torch.__version__}", "threads": args.threads,
        "batch": reference.BATCH, "frames": args.frames, "steps": args.steps,
        "step_s": statistics.median(step[1:]), "forward_s": statistics.median(forward[1:]),
    }
    print(json.dumps(report) if args.json else f"step {report['step_s']:.3f} s, of that forward {report['forward_s']:.3f} s")


if __name__ == "__main__":
    main()
