"""scripts/examples, where what they need is installed."""

import subprocess
import sys

import numpy as np
import pytest

import tonic_shards as ts
from conftest import ROOT


@pytest.fixture(scope="module")
def learnable(tmp_path_factory):
    """A set of two classes: spikes in the lower or in the upper channels."""
    path, rng = tmp_path_factory.mktemp("learnable") / "set", np.random.default_rng(4)
    with ts.Writer(path, 20, time_window=10_000, classes=["low", "high"], quiet=True) as out:
        for i in range(96):
            times = np.sort(rng.integers(0, 200_000, 150))
            times[[0, -1]] = 0, 199_999
            out.add({"t": times, "x": rng.integers(0, 12, 150) + 8 * (i % 2)}, i % 2)
    return path


def run(name, *arguments):
    command = [sys.executable, ROOT / "scripts" / "examples" / name, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "package, example", [("sinabs", "train_sinabs.py"), ("snntorch", "train_snntorch.py"), ("jax", "train_jax.py")]
)
def test_a_network_learns_from_a_set(learnable, package, example):
    pytest.importorskip(package)
    losses = [float(line.split("loss ")[1]) for line in run(example, learnable, "--epochs", 12).splitlines()]
    assert len(losses) == 12 and losses[-1] < 0.9 * losses[0], losses


def test_a_sample_is_plotted(learnable, tmp_path):
    pytest.importorskip("matplotlib")
    run("plot_sample.py", learnable, 7, tmp_path / "sample.png")
    assert (tmp_path / "sample.png").read_bytes().startswith(b"\x89PNG")
