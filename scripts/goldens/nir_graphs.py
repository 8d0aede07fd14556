"""Graphs of NIR as the package nir writes them, for tests/data/goldens/nir_*.nir. Run it once for each version of nir:
1.0.4 and 1.0.8. Weights are multiples of 2^-6, and decay factors are 0.5 and 0.75.

    python nir_graphs.py FOLDER
"""

import importlib.metadata
import sys
from pathlib import Path

import nir
import numpy as np

DT = 0.004


def dyadic(rng, *shape):
    return rng.integers(-32, 33, shape) / 64.0


def main():
    version = importlib.metadata.version("nir")
    rng = np.random.default_rng(1)
    tau = {alpha: -DT / np.log(alpha) for alpha in [0.5, 0.75]}
    n = 6
    nodes = {
        "input": nir.Input(np.array([4])),
        # float64, as NumPy makes them, and float32, as torch does.
        "fc1": nir.Affine(dyadic(rng, n, 4), dyadic(rng, n)),
        "lif": nir.LIF(
            tau=np.full(n, tau[0.75]), r=np.full(n, 2.0), v_leak=np.zeros(n), v_threshold=np.full(n, 0.5)
        ),
        "fc2": nir.Linear(dyadic(rng, n, n).astype(np.float32)),
        "cuba": nir.CubaLIF(
            tau_syn=np.full(n, tau[0.5]),
            tau_mem=np.full(n, tau[0.75]),
            r=np.full(n, 4.0),
            v_leak=np.zeros(n),
            v_threshold=np.ones(n),
            w_in=np.full(n, 2.0),
        ),
        "fc3": nir.Affine(dyadic(rng, 3, n), dyadic(rng, 3)),
        "output": nir.Output(np.array([3])),
    }
    names = list(nodes)
    graph = nir.NIRGraph(nodes=nodes, edges=list(zip(names, names[1:])))
    nir.write(Path(sys.argv[1]) / f"nir_{version}.nir", graph)


main()
