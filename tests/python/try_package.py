"""Makes and reads sets with the package as it is installed, in an empty folder. It needs nothing but NumPy.

scripts/wheel runs this in an environment that has only the wheel; test_wheel.py in that of the tests.
"""

import pathlib
import subprocess
import sys

import numpy as np

import tonic_shards as ts

TONIC_PREP = pathlib.Path(sys.executable).with_name("tonic-prep")


def run(*words):
    return subprocess.run([*map(str, words)], check=True, capture_output=True, text=True).stdout


def arrays():
    """A set of arrays."""
    events = np.zeros(100, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])
    events["t"], events["x"] = np.arange(100) * 1_000, np.arange(100) % 8
    recipe = {"frames": {"time_window": 10_000, "include_incomplete": True}}
    with ts.Writer("arrays", sensor_size=(8, 4, 2), recipe=recipe, classes=["a", "b"], quiet=True) as out:
        for label in (0, 1, 1):
            out.add(events, label)
    total = 0
    for frames, labels in ts.Loader("arrays", 2):
        assert frames.shape[1:] == (10, 2, 4, 8) and frames.dtype == np.float32 and len(labels) == len(frames)
        total += frames.sum()
    assert total == 3 * len(events)
    assert "classes" in run(sys.executable, "-m", "tonic_shards", "info", "arrays")


def recordings():
    """A set of an HDF5 file, at a URL."""
    run(TONIC_PREP, "synth", "-o", "speech.h5", "--samples", 5, "--classes", 2)
    ts.convert("speech.h5", "speech", quiet=True)
    url = (pathlib.Path.cwd() / "store").as_uri()
    run(TONIC_PREP, "push", "speech", url)
    assert len(ts.ShardSet(url)) == 5
    ts.ShardSet(url).verify()


if __name__ == "__main__":
    arrays()
    recordings()
    version = run(sys.executable, "-m", "tonic_shards", "--version").strip()
    assert version == run(TONIC_PREP, "--version").strip()
    print(f"{version}, Python {sys.version.split()[0]}, NumPy {np.__version__}: works")
