"""Progress and "Interrupt" in notebooks: in the kernel of Jupyter where ipykernel and nbclient are installed, and with a
stream like that of a notebook."""

import asyncio
import io
import re
import sys
import time

import numpy as np
import pytest

import tonic_shards as ts

SENSOR = (128, 128, 2)
# Each recording becomes a shard. Denoise makes it slow.
OPTIONS = {
    "sensor": SENSOR,
    "recipe": {"transform": [{"name": "Denoise", "filter_time": 1000}], "frames": {"time_window": 1000}},
    "chunk_samples": 1,
    "shard_size": 1,
    "threads": 1,
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Enough work for seconds."""
    folder, rng = tmp_path_factory.mktemp("recordings"), np.random.default_rng(1)
    events = np.zeros(150_000, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])
    events["t"] = np.sort(rng.integers(0, 300_000, len(events)))
    for name, size in zip("xyp", SENSOR):
        events[name] = rng.integers(0, size, len(events))
    np.save(folder / "first.npy", events)
    (folder / "a").mkdir()
    for i in range(500):
        (folder / "a" / f"{i:03}.npy").hardlink_to(folder / "first.npy")
    (folder / "first.npy").unlink()
    return folder


class Stream(io.StringIO):
    """sys.stderr of a notebook."""


Stream.__module__ = "ipykernel.iostream"


def seen(text):
    """The lines that a notebook shows: text after a carriage return is written over the line."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


PROGRESS = re.compile(r"convert: \d+% of 500 samples, \d\d:\d\d:\d\d left *")


def test_progress_is_a_line_that_changes(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Stream())
    with pytest.warns(UserWarning):  # equal files
        ts.convert(recordings, tmp_path / "set", **OPTIONS)
    text = sys.stderr.getvalue()
    written = [part for line in text.split("\n") for part in line.split("\r") if "% of " in part and "samples" in part]
    assert written and all(PROGRESS.fullmatch(part) for part in written), text
    lines = [line for line in seen(text) if not line.startswith("convert: layout")]
    assert not any("left" in line and "samples" in line for line in lines), lines
    assert sum(bool(re.fullmatch(r"convert: 500 samples in \d+\.\d s \(\d+/s\)", line)) for line in lines) == 1, lines


def test_a_line_of_progress_ends_where_the_conversion_fails(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Stream())
    broken = tmp_path / "recordings"
    (broken / "a").mkdir(parents=True)
    for file in (recordings / "a").iterdir():
        (broken / "a" / file.name).hardlink_to(file)
    outside = np.load(broken / "a" / "200.npy")
    outside["x"][-1] = 128
    (broken / "a" / "200.npy").unlink()
    np.save(broken / "a" / "200.npy", outside)
    with pytest.raises(ValueError, match="200.npy"):
        ts.convert(broken, tmp_path / "set", **OPTIONS)
    text = sys.stderr.getvalue()
    assert "samples" in text and text.endswith("left\n"), text
    sys.stderr = Stream()
    with ts.Writer(tmp_path / "one", sensor_size=SENSOR) as out:
        out.add(outside[:-1])
    assert "\r" not in sys.stderr.getvalue() and "hash" not in sys.stderr.getvalue()


class Slow:
    """A dataset of which each sample takes a while."""

    def __init__(self, broken=None):
        self.broken = broken

    def __len__(self):
        return 80

    def __getitem__(self, index):
        time.sleep(0.02)
        if index == self.broken:
            raise RuntimeError("broken")
        return {"t": np.arange(5) * 900, "x": np.arange(5)}, 0


def test_filling_a_cache_shows_progress(tmp_path, monkeypatch):
    options = {"recipe": {"frames": {"time_window": 1000, "include_incomplete": True}}, "sensor_size": 10}
    monkeypatch.setattr(sys, "stderr", Stream())
    assert len(ts.tonic.DiskCached(Slow(), tmp_path / "set", **options)) == 80
    text = sys.stderr.getvalue()
    assert re.search(r"^read: \d+% of 80 samples, \d\d:\d\d:\d\d left", text), text
    assert re.fullmatch(r"read: 80 samples in \d\.\d s \(\d+/s\)", seen(text)[0]), text
    sys.stderr = Stream()
    with pytest.raises(RuntimeError, match="broken"):
        ts.tonic.DiskCached(Slow(60), tmp_path / "broken", **options)
    assert sys.stderr.getvalue().endswith("left\n") and not (tmp_path / "broken").exists()
    sys.stderr = Stream()
    options["recipe"] = "[frames]\ntime_window = 1000\n"
    with pytest.warns(UserWarning, match="incomplete window") as warned:
        ts.tonic.DiskCached(Slow(), tmp_path / "quiet", **options, quiet=True)
    assert warned[0].filename == __file__ and sys.stderr.getvalue() == ""


def test_a_kernel_converts_and_is_interrupted(recordings, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        f"import tonic_shards as ts\noptions = {OPTIONS!r}",
        f"ts.convert({str(recordings)!r}, 'set', **options)",  # interrupted
        f"made = ts.convert({str(recordings)!r}, 'set', **options, resume=True)\nlen(made)",
        "while True:\n    for frames, labels in ts.Loader('set', 4): pass",  # interrupted
        "sum(len(labels) for frames, labels in ts.Loader('set', 7))",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(book, timeout=120, kernel_name="python3", allow_errors=True, resources=resources)
    took = {}

    async def run():
        async with client.async_setup_kernel():
            for i, cell in enumerate(book.cells):
                task = asyncio.ensure_future(client.async_execute_cell(cell, i))
                if i in (1, 3):
                    while i == 1 and len(list(tmp_path.glob("set/*.shard"))) < 3:
                        await asyncio.sleep(0.05)
                    await asyncio.sleep(0.8)
                    start = asyncio.get_running_loop().time()
                    await asyncio.ensure_future(client.km.interrupt_kernel())
                    await task
                    took[i] = asyncio.get_running_loop().time() - start
                await task

    asyncio.run(run())

    def outputs(i, kind):
        return [output for output in book.cells[i].outputs if output.output_type == kind]

    for i in (1, 3):
        assert [output.ename for output in outputs(i, "error")] == ["KeyboardInterrupt"] and took[i] < 2, took
    assert "resume=True" in outputs(1, "error")[0].evalue
    shown = "".join(output.text for output in outputs(1, "stream"))
    assert PROGRESS.search(shown) and shown.endswith("\n"), shown
    assert [output.data["text/plain"] for i in (2, 4) for output in outputs(i, "execute_result")] == ["500", "500"]
