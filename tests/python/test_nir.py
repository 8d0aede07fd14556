"""Networks of tonic-train in NIR, run by Sinabs and snnTorch: they spike as `tonic-train show` says."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import tonic_shards as ts
from conftest import DEBUG, ROOT

NIR_1_0_4 = ROOT / ".deps" / "nir-1.0.4"  # scripts/test installs it; the package that is imported here is newer
SET = ROOT / "tests" / "data" / "frozen" / "conversion" / "finished"
SAMPLES = 6


def tonic_train(*args):
    done = subprocess.run([DEBUG / "tonic-train", *map(str, args)], capture_output=True, text=True)
    if "built without HDF5" in done.stderr:
        pytest.skip("tonic-train without the feature nir")
    assert done.returncode == 0, done.stderr
    return done.stdout


def dyadic(file):
    """Rounds the weights and biases in a model file to multiples of 2^-6, for which sums in float32 are exact."""
    data = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    for name, entry in header.items():
        if name.endswith(("weight", "bias")):
            first, last = (start + offset for offset in entry["data_offsets"])
            values = np.frombuffer(bytes(data[first:last]), "<f4")
            data[first:last] = (np.round(values * 64) / 64).astype("<f4").tobytes()
    file.write_bytes(data)
    (file.parent / "sums.json").unlink()


def trained(folder, neuron):
    network = folder / "network.toml"
    layer = "{ linear = %d }, { neuron = %s }"
    layers = ", ".join([layer % (12, neuron), layer % (8, neuron), '{ linear = "classes" }, { readout = "sum" }'])
    network.write_text(f"layers = [{layers}]\n")
    options = ["--network", network, "--epochs", 2, "--batch-size", 16, "--device", "cpu", "--gain", 10, "--quiet"]
    tonic_train("fit", "--train", SET, "-o", folder / "run", *options)
    dyadic(folder / "run" / "model.safetensors")
    return folder / "run"


def tensors(run):
    file = run / "arrays.npz"
    if not file.exists():
        tonic_train("export", run, "--npz", file)
    return np.load(file)


def expected(run, sample):
    """The outputs of the readout in each step, (T, classes), from the spikes of the last hidden layer."""
    shown = json.loads(tonic_train("show", run, "--data", SET, "--sample", sample, "--json"))
    weight, bias = tensors(run)["4.weight"], tensors(run)["4.bias"]
    layer = shown["layers"][-1]
    spikes = np.zeros((shown["steps"], layer["neurons"]), np.float32)
    for step, neuron, count in layer["places"]:
        spikes[step, neuron] = count
    return spikes @ weight.T + bias, spikes.sum()


def samples(run):
    steps = json.loads(bytes(tensors(run)["tonic_toolkit"]))["steps"]
    loader = ts.Loader(SET, SAMPLES, steps=steps, layout="btc", output="torch", shuffle=False)
    frames, _ = next(iter(loader))
    return frames.float()


def assert_same_outputs(run, outputs_of):
    """Compares ours with the outputs of `outputs_of(frames)` in each step, (T, classes), which spikes make exact."""
    total = 0
    for sample, frames in enumerate(samples(run)):
        outputs, spikes = expected(run, sample)
        np.testing.assert_array_equal(outputs_of(frames), outputs, err_msg=f"sample {sample}")
        total += spikes
    assert total > 0


def exported(run, convention):
    file = run / f"{convention}.nir"
    tonic_train("export", run, "--nir", file, "--convention", convention)
    nir = pytest.importorskip("nir")
    return nir.read(file)


@pytest.mark.parametrize(
    "neuron",
    [
        '"lif", alpha = [0.5, 0.5], learn = false, reset = "soft"',
        '"iaf", min_v_mem = -1.0',
    ],
)
def test_sinabs_spikes_as_we_do(tmp_path, neuron):
    sinabs_nir = pytest.importorskip("sinabs.nir")
    import torch

    run = trained(tmp_path, neuron)
    model = sinabs_nir.from_nir(exported(run, "sinabs"), batch_size=1)

    @torch.no_grad()
    def outputs_of(frames):
        for module in model.modules():
            if hasattr(module, "reset_states"):
                module.reset_states()
        found = model(frames)
        return (found[0] if isinstance(found, tuple) else found).numpy()

    assert_same_outputs(run, outputs_of)


@pytest.mark.parametrize(
    "neuron",
    [
        '"lif", alpha = [0.5, 0.5], learn = false, reset = "hard"',
        '"cuba-lif", alpha = [0.5, 0.5], beta = [0.75, 0.75], learn = false, reset = "hard"',
    ],
)
def test_snntorch_spikes_as_we_do(tmp_path, neuron):
    import_nir = pytest.importorskip("snntorch.import_nir")
    import torch
    from snntorch import utils

    run = trained(tmp_path, neuron)
    model = import_nir.import_from_nir(exported(run, "snntorch"))

    @torch.no_grad()
    def outputs_of(frames):
        utils.reset(model)
        found, state = [], None
        for frame in frames:
            output, state = model(frame[None], state)
            found.append(output.numpy()[0])
        return np.stack(found)

    assert_same_outputs(run, outputs_of)


@pytest.mark.parametrize("convention", ["nir", "snntorch"])
def test_the_package_reads_what_is_written(tmp_path, convention):
    nir = pytest.importorskip("nir")
    run = trained(tmp_path, '"lif", alpha = [0.5, 0.5], learn = false, reset = "soft"' if convention == "nir"
                  else '"lif", alpha = [0.5, 0.5], learn = false, reset = "hard"')
    graph = exported(run, convention)
    assert list(graph.nodes) and {type(node) for node in graph.nodes.values()} == {
        nir.Input, nir.Affine, nir.LIF, nir.Output
    }
    assert graph.nodes["lif_1"].tau.shape == (12,) and graph.metadata["readout"] == "sum"
    weight, bias = tensors(run)["0.weight"], tensors(run)["0.bias"]
    gain = 1.0 if convention == "nir" else 0.5
    assert np.array_equal(graph.nodes["linear_1"].weight, weight * gain)
    assert np.array_equal(graph.nodes["linear_1"].bias, bias * gain)
    assert ("lif_2", "linear_out") in [tuple(edge) for edge in graph.edges]


READ = """
import json, sys, nir
graph = nir.read(sys.argv[1])
describe = lambda node: {"type": type(node).__name__} | {
    name: array.tolist() for name, array in vars(node).items() if hasattr(array, "tolist")
}
nodes = {name: describe(node) for name, node in graph.nodes.items()}
print(json.dumps({"from": nir.__file__, "nodes": nodes, "edges": graph.edges}))
"""


@pytest.mark.parametrize(
    "neuron, of_neurons",
    [
        ('"lif", alpha = [0.5, 0.5], learn = false', {"type": "LIF", "v_threshold": 1.0, "r": 1.0}),
        ('"iaf", theta = 0.5, spike_fn = "single"', {"type": "IF", "v_threshold": 0.5, "r": 250.0}),
    ],
)
def test_nir_1_0_4_reads_what_is_written(tmp_path, neuron, of_neurons):
    if not NIR_1_0_4.exists():
        pytest.skip("no nir 1.0.4 in .deps: scripts/test installs it")
    run = trained(tmp_path, neuron)
    tonic_train("export", run, "--nir", run / "nir.nir")
    environment = os.environ | {"PYTHONPATH": str(NIR_1_0_4)}
    read = subprocess.run([sys.executable, "-c", READ, run / "nir.nir"], capture_output=True, text=True, env=environment)
    assert read.returncode == 0, read.stderr
    found = json.loads(read.stdout)
    assert found["from"].startswith(str(NIR_1_0_4))
    nodes, kind = found["nodes"], of_neurons.pop("type")
    name = kind.lower()
    chain = ["input", "linear_1", f"{name}_1", "linear_2", f"{name}_2", "linear_out", "output"]
    assert set(nodes) == set(chain) and set(map(tuple, found["edges"])) == set(zip(chain, chain[1:]))
    for layer, neurons in ((1, 12), (2, 8)):
        node = nodes[f"{name}_{layer}"]
        assert node["type"] == kind and {key: node[key] for key in of_neurons} == {
            key: [value] * neurons for key, value in of_neurons.items()
        }
    for number, index in ((1, 0), (2, 2), ("out", 4)):
        node = nodes[f"linear_{number}"]
        assert node["type"] == "Affine"
        for part in ("weight", "bias"):
            np.testing.assert_array_equal(np.float32(node[part]), tensors(run)[f"{index}.{part}"])
