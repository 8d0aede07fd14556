"""Sets that the tests read. They are made by `tonic-prep` of this repository (TONIC_PREP: another one)."""

import functools
import http.server
import os
import pathlib
import pickle
import select
import signal
import subprocess
import threading

import numpy as np
import pytest

import tonic_shards as ts

# Jobs in the background of a shell ignore Ctrl-C, and the processes that the tests interrupt would inherit this.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEBUG = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
FROZEN = ROOT / "tests" / "data" / "v2"

# The sensor size and the recipe of a set, for each type of counts. The sets also differ in the types of their columns.
RECIPES = {
    "uint8": ((34, 34, 2), "[frames]\ntime_window = 1000\n"),
    "uint16": ((16, 12, 2), '[[transform]]\nname = "MergePolarities"\n[frames]\ntime_window = 20000\ninclude_incomplete = true\n'),
    "uint32": ((300, 250, 1), "[frames]\nn_time_bins = 3\n"),
    "float32": ((34, 34, 2), '[frames]\nname = "ToTimesurface"\ndt = 5000\ntau = 3000\n'),
}


def program():
    return os.environ.get("TONIC_PREP", DEBUG / "tonic-prep")


def tonic_prep(*args):
    subprocess.run([program(), *map(str, args), "--quiet"], check=True)


def write_camera(folder, width, height, polarities, scale):
    """Seven recordings of three classes, of different lengths; a pixel that fires often, another at the corner."""
    rng = np.random.default_rng(1)
    for i in range(7):
        n = scale * (600 + 150 * i)
        events = np.zeros(n, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])
        events["t"] = np.sort(rng.integers(0, 20_000 + 3_000 * i, n))
        events["x"], events["y"] = rng.integers(0, width, n), rng.integers(0, height, n)
        events["p"] = rng.integers(0, polarities, n)
        events[::2]["x"], events[::2]["y"] = 3, 2
        events[1]["x"], events[1]["y"] = width - 1, height - 1
        path = folder / f"class{i % 3}" / f"{i}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, events)


@pytest.fixture(scope="session", params=RECIPES)
def any_set(request, tmp_path_factory):
    """A set of each type of numbers."""
    (width, height, polarities), recipe = RECIPES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    write_camera(folder / "recordings", width, height, polarities, 500 if request.param == "uint32" else 1)
    (folder / "recipe.toml").write_text(recipe)
    sensor = f"{width},{height},{polarities}"
    source, options = folder / "recordings", ["--sensor", sensor, "--recipe", folder / "recipe.toml"]
    tonic_prep("convert", source, "-o", folder / "set", *options, "--chunk-samples", 3)
    assert ts.ShardSet(folder / "set").dtype == request.param
    return folder / "set"


@pytest.fixture(scope="session")
def windows_set(tmp_path_factory):
    """A set of three windows: 17,001 samples, in chunks of 1,000."""
    folder = tmp_path_factory.mktemp("windows")
    rng = np.random.default_rng(2)
    events = np.zeros(100_000, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])
    events["t"], events["x"] = np.sort(rng.integers(0, 17_001_000, len(events))), rng.integers(0, 20, len(events))
    events["t"][[0, -1]] = 0, 17_000_999
    np.save(folder / "drive.npy", events)
    options = ["--sensor", "20,1,1", "--sample-duration", "1ms", "--time-window", 250, "--chunk-samples", 1_000]
    tonic_prep("convert", folder / "drive.npy", "-o", folder / "set", *options)
    assert len(ts.ShardSet(folder / "set")) == 17_001
    return folder / "set"


@pytest.fixture
def copy(tmp_path):
    """A set that a test may damage."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in FROZEN.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def server(tmp_path):
    """A web server on loopback for the files of a folder; the last item counts the requests of each path."""
    asked = {}

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked[self.path] = asked.get(self.path, 0) + 1
            super().do_GET()

        def log_message(self, *_):
            pass

    folder = tmp_path / "www"
    folder.mkdir()
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder, asked
        server.shutdown()
        thread.join()


def in_child(work, *arguments):
    """The result of `work` in a forked process, which has the arguments as they are here, not pickled. TimeoutError if it
    hangs."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                result = work(*arguments), None
            except Exception as error:
                result = None, error
            with open(theirs, "wb") as pipe:
                pickle.dump(result, pipe)
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        if not select.select([pipe], [], [], 60)[0]:
            os.kill(child, signal.SIGKILL)
            raise TimeoutError("the forked process hangs")
        result, error = pickle.load(pipe)
    os.waitpid(child, 0)
    if error is not None:
        raise error
    return result


def together(*many):
    """zip(), for iterables of one length. zip(strict=True) is newer than the oldest Python that the package is for."""
    many = [list(each) for each in many]
    assert len({len(each) for each in many}) == 1, [len(each) for each in many]
    return zip(*many)
