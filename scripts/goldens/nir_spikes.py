"""What Sinabs and snnTorch compute with graphs of NIR, for tests/data/goldens/spikes_*.nir and nir_spikes.json: the sums over
time of the outputs, one row per sample.

    tonic-prep export ../../tests/data/frozen/conversion/finished --npy FRAMES --samples ..8
    python nir_spikes.py FRAMES FOLDER

Weights are multiples of 2^-6 and decay factors are 0.5 and 0.75, so sums in float32 are exact and spikes are the same in
every program. Sinabs' LIF neurons can spike several times per step and ours cannot, so their graph spikes once at most.
"""

import json
import sys
from pathlib import Path

import nir
import numpy as np
import sinabs.layers
import sinabs.nir
import snntorch.import_nir
import snntorch.utils
import torch

STEPS, CHANNELS, CLASSES = 250, 100, 4
SNNTORCH_DT = 1e-4  # of its importer


def dyadic(rng, *shape, bound):
    return (rng.integers(-32, 33, shape) / 64.0 * bound).astype(np.float32)


def lif(n, tau, r=1.0):
    return nir.LIF(tau=np.full(n, tau), r=np.full(n, r), v_leak=np.zeros(n), v_threshold=np.ones(n))


def cuba(n):
    """Decay factors of 0.5 for the current and 0.75 for the membrane potential in snnTorch's importer."""
    current, membrane = 2 * SNNTORCH_DT, 4 * SNNTORCH_DT
    return nir.CubaLIF(
        tau_syn=np.full(n, current),
        tau_mem=np.full(n, membrane),
        r=np.full(n, 4.0),
        v_leak=np.zeros(n),
        v_threshold=np.ones(n),
        w_in=np.full(n, 2.0),
    )


CASES = {
    "sinabs_if": ("sinabs", lambda n: nir.IF(r=np.ones(n), v_threshold=np.ones(n)), (2, 2)),
    "sinabs_lif": ("sinabs", lambda n: lif(n, -1 / np.log(0.5)), (1, 2)),
    "snntorch_lif": ("snntorch", lambda n: lif(n, 2 * SNNTORCH_DT, r=2.0), (2, 2)),
    "snntorch_cuba": ("snntorch", cuba, (2, 2)),
}


def graph(rng, neurons, bounds):
    sizes = [CHANNELS, 12, 8, CLASSES]
    nodes = {"input": nir.Input(np.array([CHANNELS]))}
    for i, (inputs, outputs, bound) in enumerate(zip(sizes, sizes[1:], (*bounds, 1)), 1):
        nodes[f"linear_{i}"] = nir.Affine(dyadic(rng, outputs, inputs, bound=bound), dyadic(rng, outputs, bound=0.5))
        if outputs != CLASSES:
            nodes[f"neuron_{i}"] = neurons(outputs)
    nodes["output"] = nir.Output(np.array([CLASSES]))
    names = list(nodes)
    return nir.NIRGraph(nodes=nodes, edges=list(zip(names, names[1:])))


def sinabs_logits(file, frames, spikes):
    model = sinabs.nir.from_nir(nir.read(file), batch_size=1)
    layers = [m for m in model.modules() if isinstance(m, (sinabs.layers.LIFSqueeze, sinabs.layers.IAFSqueeze))]
    for i, layer in enumerate(layers):
        layer.reset_states()
        layer.register_forward_hook(lambda _, __, out, i=i: spikes.setdefault(i, []).append(out.max().item()))
    out = model(frames)
    return (out[0] if isinstance(out, tuple) else out).sum(0)


def snntorch_logits(file, frames, _):
    model = snntorch.import_nir.import_from_nir(nir.read(file))
    snntorch.utils.reset(model)
    state, total = None, torch.zeros(CLASSES)
    for frame in frames:
        out, state = model(frame[None], state)
        total = total + out[0]
    return total


@torch.no_grad()
def main():
    frames_of, folder = map(Path, sys.argv[1:])
    samples = []
    for file in sorted(frames_of.glob("frames_*.npy")):
        counts = np.load(file).reshape(-1, CHANNELS)
        samples.append(torch.from_numpy(np.pad(counts, ((0, STEPS - len(counts)), (0, 0)))).float())
    assert len(samples) == 8
    report = {}
    for name, (convention, neurons, bounds) in CASES.items():
        file = folder / f"spikes_{name}.nir"
        nir.write(file, graph(np.random.default_rng(5), neurons, bounds))
        logits = sinabs_logits if convention == "sinabs" else snntorch_logits
        spikes = {}
        report[name] = {"convention": convention, "logits": [logits(file, sample, spikes).tolist() for sample in samples]}
        highest = [max(of) for of in spikes.values()]
        assert all(spike >= 1 and (name != "sinabs_lif" or spike == 1) for spike in highest), (name, highest)
    (folder / "nir_spikes.json").write_text(json.dumps(report) + "\n")


main()
