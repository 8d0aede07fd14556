"""Sizes of the networks of scripts/bench/networks, their parameters and random frames, for the peers' scripts."""
import argparse
import math

import numpy as np

CHANNELS, CLASSES, BATCH, FRAMES = 140, 35, 128, 250
LEARNING_RATE = 0.01
FAST, SLOW = (math.exp(-1 / 5), math.exp(-1 / 25)), (math.exp(-1 / 30), math.exp(-1 / 120))
# What a cell learns: the range of the initial values, uniform, and the range to which they are clamped.
CELLS = {
    "silif": [((math.log(10), math.log(250)), None), ((math.log(2.5), math.log(10)), None),
              ((math.log(0.004),) * 2, None), ((0, 1), (0, 1)), ((0, 2), (0, 2))],
    "adlif": [(FAST, FAST), (SLOW, SLOW), ((0, 1), (0, 1)), ((0, 2), (0, 2))],
    "lif": [(FAST, FAST)],
    "c-silif": [((math.log(0.5),) * 2, None), ((math.pi,) * 2, None), ((math.log(0.01), math.log(0.5)), None),
                ((0, 1), None)],
}


def options(description, forms):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=list(CELLS), default="silif")
    parser.add_argument("--form", choices=forms, default=forms[0])
    parser.add_argument("--hidden", default="512,512", help="neurons of each hidden layer (512,512)")
    parser.add_argument("--classes", type=int, default=CLASSES, help=f"classes ({CLASSES})")
    parser.add_argument("--recurrent", action="store_true", help="dense recurrent weights in each hidden layer")
    parser.add_argument("--no-norm", action="store_true", help="no batch norm")
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--density", type=float, default=0.12, help="share of the cells that are occupied (0.12)")
    parser.add_argument("--gain", type=float, default=1.0, help="multiplies the initial weights of hidden layers (1)")
    parser.add_argument("--steps", type=int, default=5, help="steps that are timed (5)")
    parser.add_argument("--at-most", type=float, default=60.0, metavar="S", help="no step is begun after this time (60)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: the first GPU (cpu)")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.set_defaults(seed=1, zero_states=False, triton=False)
    return parser


def sizes(args):
    return [CHANNELS, *map(int, args.hidden.split(",")), args.classes]


def frames(args):
    """Counts (batch, frames, channels), float32, and labels. An occupied cell has two events in the mean."""
    rng = np.random.default_rng(0)
    counts = np.zeros((BATCH, FRAMES, CHANNELS), np.float32)
    occupied = rng.random(counts.shape, np.float32) < args.density
    counts[occupied] = 1 + rng.poisson(1.0, occupied.sum())
    return counts, rng.integers(0, args.classes, BATCH)


def parameters(args):
    """A list of a dict per layer: weight (in, out), gamma, beta, recurrent, and what the cell or readout learns."""
    rng = np.random.default_rng(args.seed)
    uniform = lambda bounds, *shape: rng.uniform(*bounds, shape).astype(np.float32)
    layers = []
    for i, (inputs, outputs) in enumerate(zip(sizes(args), sizes(args)[1:])):
        is_readout = i == len(sizes(args)) - 2
        xavier = args.cell == "silif" and not is_readout
        bound = math.sqrt(6 / (inputs + outputs)) if xavier else inputs**-0.5
        layer = {"weight": uniform((-bound, bound), inputs, outputs) * (1 if is_readout else args.gain)}
        if not args.no_norm:
            layer |= {"gamma": np.ones(outputs, np.float32), "beta": np.zeros(outputs, np.float32)}
        if args.recurrent and not is_readout:
            layer["recurrent"] = np.linalg.qr(rng.normal(size=(outputs, outputs)))[0].astype(np.float32)
        laws = [(FAST, FAST)] if is_readout else CELLS[args.cell]
        layer["cell"] = [uniform(bounds, outputs) for bounds, _ in laws]
        layers.append(layer)
    return layers
