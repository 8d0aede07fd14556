"""What the surrogate gradients of snnTorch and Sinabs are at potentials around the threshold, for
tests/data/goldens/surrogates.json: a list of objects with the name in a network file, its settings, x (the potential minus
the threshold) and sigma.

    python surrogates.py ../../tests/data/goldens/surrogates.json
"""
import json
import sys

import numpy as np
import torch
from sinabs.activation import SingleExponential
from snntorch import surrogate

X = np.unique(np.concatenate([np.arange(-48, 49) / 16, np.arange(-16, 17) / 512])).astype(np.float32)


def of_snntorch(spike):
    """The gradient that the backward pass of a spike function multiplies by."""
    x = torch.tensor(X, requires_grad=True)
    spike(x).sum().backward()
    return x.grad


def of_sinabs(width, scale):
    return SingleExponential(grad_width=width, grad_scale=scale)(torch.tensor(X) + 1.0, 1.0)


def main():
    cases = [
        *(("arctan", {"steepness": alpha}, of_snntorch(surrogate.atan(alpha))) for alpha in (2.0, 0.75)),
        *(("fast-sigmoid", {"steepness": slope}, of_snntorch(surrogate.fast_sigmoid(slope))) for slope in (25.0, 3.0)),
        *(
            ("single-exponential", {"width": width, "scale": scale}, of_sinabs(width, scale))
            for width, scale in ((0.5, 1.0), (0.25, 2.0))
        ),
    ]
    report = [
        {"surrogate": name, **settings, "x": X.tolist(), "sigma": sigma.tolist()} for name, settings, sigma in cases
    ]
    with open(sys.argv[1], "w") as file:
        file.write("[\n" + ",\n".join(map(json.dumps, report)) + "\n]\n")


main()
