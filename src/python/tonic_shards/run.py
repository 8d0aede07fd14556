"""The networks that tonic-train has trained."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any, NamedTuple, Union

import numpy as np
from numpy.typing import NDArray

from ._native import CorruptError

_KEY = "tonic_toolkit"
_MOST_HEADER = 1 << 24


class _LayersError(Exception):
    """Raised for a model with the layers of a network file, which Run doesn't describe."""


class Neuron(NamedTuple):
    """Constants of the integrate-and-fire neurons, with Sinabs' names and meaning."""

    theta: float
    """Threshold, Sinabs' spike_threshold."""
    min_v_mem: Union[float, None]
    """Lowest membrane potential; None: there is none."""
    grad_width: float
    grad_scale: float


class Run(NamedTuple):
    """A trained network: linear layers with integrate-and-fire neurons between them, and a linear readout."""

    path: Path
    """Its model file."""
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]]
    """For each linear layer its weight, (out, in), and its bias, (out,)."""
    neuron: Neuron
    classes: list[str]
    """Names of the classes, in the order of the outputs."""
    steps: int
    """Number of frames per sample, T, that training padded to: Loader's `steps`."""
    metrics: list[dict[str, Any]]
    """A dict for each epoch, of losses and accuracies."""

    def to_sinabs(self) -> Any:
        """The network as a module of Sinabs: frames (B, T, C) to outputs (B, T, classes).

        The logits of tonic-train are the sum of the outputs over time. Call sinabs.reset_states(module) before each
        batch.
        """
        import sinabs.layers
        import torch
        from sinabs.activation import SingleExponential
        from torch import nn

        modules: list[Any] = []
        for weight, bias in self.layers:
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight))
                linear.bias.copy_(torch.from_numpy(bias))
            surrogate = SingleExponential(grad_width=self.neuron.grad_width, grad_scale=self.neuron.grad_scale)
            neurons = sinabs.layers.IAF(
                spike_threshold=torch.tensor(self.neuron.theta),
                min_v_mem=self.neuron.min_v_mem,
                surrogate_grad_fn=surrogate,
            )
            modules += [linear, neurons]
        return nn.Sequential(*modules[:-1])


def load_run(path: Union[str, "os.PathLike[str]"], *, best: bool = False) -> Run:
    """Loads the network of a run folder of tonic-train.

    Parameters:
        path: the run folder (-o of tonic-train fit), or a model file.
        best: the network of the best epoch, instead of the last one.

    Raises:
        OSError: if a file cannot be read.
        CorruptError: if the model file is damaged.
        ValueError: for a URL; or if the network has the layers of a network file (--network, --preset), which Run
            doesn't describe. safetensors.numpy.load_file reads the arrays of such a model file.
    """
    folder = _local(path)
    file = folder / ("best.safetensors" if best else "model.safetensors") if folder.is_dir() else folder
    try:
        tensors, description = _tensors(file.read_bytes())
        text = description.get("network")
        if text is not None:
            raise _LayersError(text)
        neuron = description["neuron"]
        surrogate = neuron["surrogate"]
        layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        while len(tensors) > 2 * len(layers):
            weight, bias = (tensors[f"{2 * len(layers)}.{kind}"] for kind in ("weight", "bias"))
            inputs = layers[-1][0].shape[0] if layers else weight.shape[-1]
            if weight.ndim != 2 or weight.shape[1] != inputs or bias.shape != weight.shape[:1]:
                raise ValueError(f"layer {len(layers)}: shapes {weight.shape} and {bias.shape} do not fit")
            layers.append((weight, bias))
        if not layers or len(description["classes"]) != len(layers[-1][1]):
            raise ValueError(f"expected an output for each of the {len(description['classes'])} classes")
        constants = (neuron["theta"], neuron["min_v_mem"], surrogate["grad_width"], surrogate["grad_scale"])
        names, steps = list(description["classes"]), int(description["steps"])
    except _LayersError as error:
        expected = "linear layers with integrate-and-fire neurons (safetensors.numpy.load_file reads any model)"
        raise ValueError(f"{file}: expected {expected}, got {' '.join(str(error).split())}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{file}: corrupt: expected a model of tonic-train, got {error!r}") from error
    log = folder / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if folder.is_dir() and log.exists() else []
    return Run(file, layers, Neuron(*constants), names, steps, [json.loads(line) for line in lines])


class Predictions(NamedTuple):
    """Logits of all samples of a set, in the order of the set."""

    logits: NDArray[np.float32]
    """Outputs of the network, summed over time, (samples, classes)."""
    labels: NDArray[np.int64]
    """Class of each sample, (samples,); -1 for a sample without a label."""
    classes: list[str]
    """Names of the classes, in the order of the logits."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class with the largest logit of each sample, (samples,)."""
        return np.asarray(self.logits.argmax(1), np.int64)


def read_predictions(path: Union[str, "os.PathLike[str]"]) -> Predictions:
    """Reads the folder that `tonic-train predict -o` wrote.

    Raises:
        OSError: if a file cannot be read.
        CorruptError: if the files are damaged, or do not belong together.
        ValueError: for a URL; or if two classes have the same name, or a class has no name. The file has the names of
            the classes, so labels would be ambiguous.
    """
    folder = _local(path)
    file = folder / "predictions.csv"
    with open(folder / "logits.npy", "rb") as array, open(file, encoding="utf-8", newline="") as table:
        try:
            logits = np.lib.format.read_array(array, allow_pickle=False)
            head, *rows = list(csv.reader(table, strict=True))
            classes = head[3:]
            cells = np.array([row[3:] for row in rows], float).reshape(-1, len(classes))
            fit = logits.dtype == np.float32 and logits.shape == cells.shape
            if head[:3] != ["sample", "label", "predicted"] or not fit:
                raise ValueError(f"columns {head}, and {logits.dtype} logits {logits.shape} for {len(rows)} rows")
            if not np.allclose(cells, logits, rtol=1e-6, atol=0):
                raise ValueError("logits of another prediction in logits.npy")
            names = {"": -1, **{name: number for number, name in enumerate(classes)}}
            labels = np.array([names[row[1]] for row in rows], np.int64)
        except (ValueError, KeyError, IndexError, csv.Error) as error:
            raise CorruptError(f"{file}: corrupt: expected predictions of tonic-train, got {error!r}") from error
    if len(names) != len(classes) + 1:
        raise ValueError(f"{file}: expected a name of its own for each class, got {classes}")
    return Predictions(logits, labels, classes)


def _local(path: Union[str, "os.PathLike[str]"]) -> Path:
    if "://" in os.fspath(path):
        raise ValueError(f"{path}: expected a folder or file of this machine, got a URL; only sets are read at URLs")
    return Path(path)


def _tensors(data: bytes) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """The tensors of a safetensors file, and the description of the network in its header."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, _MOST_HEADER):
        raise ValueError(f"a header of {size} bytes in {len(data)} bytes")
    header, body = json.loads(data[8 : 8 + size]), memoryview(data)[8 + size :]
    description = json.loads(header.pop("__metadata__")[_KEY])
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        shape = tuple(int(n) for n in entry["shape"])
        if entry["dtype"] != "F32" or not 0 <= start <= end <= len(body):
            raise ValueError(f"{name}: {entry}")
        # Copied, so that the arrays can be written to, and are aligned.
        tensors[name] = np.frombuffer(body[start:end], "<f4").astype(np.float32).reshape(shape)
        if not np.isfinite(tensors[name]).all():
            raise ValueError(f"{name}: numbers that are not finite")
    return tensors, description
