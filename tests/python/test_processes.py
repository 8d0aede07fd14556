"""Damage, signals, forks and leaks: errors and ends, never a hang or a crash."""

import gc
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tonic_shards as ts
from conftest import FROZEN, in_child


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def threads():
    """Names of the threads of this process that make batches."""
    names = [(task / "comm").read_text() for task in pathlib.Path("/proc/self/task").iterdir()]
    return [name for name in names if name.startswith("tonic_shards ep")]


def test_damage_is_named(copy):
    flip(copy / "00000.shard", 13_000)
    ours = ts.ShardSet(copy)
    for read in (lambda: ours[5], ours.verify, lambda: ours.labels, lambda: ts.Loader(copy, 2, cache="host")):
        with pytest.raises(ts.CorruptError, match=r"00000.shard: corrupt: chunk 1 \(samples 4 to 5\)"):
            read()
    assert ours[0].label == 1
    batches = iter(ts.Loader(copy, 2, cache="stream", shuffle=False))
    with pytest.raises(ts.CorruptError, match="chunk 1"):
        list(batches)
    assert list(batches) == [] and threads() == []
    flip(copy / "00000.shard", 300)
    with pytest.raises(ts.CorruptError, match="chunk 0(.|\n)*chunk 1") as caught:
        ours.verify()
    assert str(caught.value).count("\n") == 1


def test_a_shard_cut_short_under_the_reader_is_an_error(copy):
    ours, loader = ts.ShardSet(copy), ts.Loader(copy, 2, cache="stream")
    os.truncate(copy / "00000.shard", 500)
    for read in (lambda: ours[0], lambda: list(loader), ours.verify, lambda: ours.labels):
        with pytest.raises(ts.CorruptError, match=r"file length \(.*\): expected 13824 bytes, got 500"):
            read()


def test_what_is_no_set_is_an_error(copy, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: cannot open the set") as caught:
        ts.ShardSet(tmp_path / "nowhere")
    assert caught.value.errno == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected a shard set, got a directory without manifest.json"):
        ts.Loader(tmp_path / "empty", 1)
    manifest = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(manifest.replace('"version": 2', '"version": 3'))
    with pytest.raises(ts.IncompatibleError, match="expected format version 2, got 3"):
        ts.ShardSet(copy)
    (copy / "manifest.json").write_text(manifest.replace('"samples": 6', '"samples": 7'))
    with pytest.raises(ts.CorruptError, match="checksum"):
        ts.ShardSet(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(ts.CorruptError, match="the set is incomplete: it has no manifest.json"):
        ts.ShardSet(copy)


def test_a_set_changed_between_epochs_keeps_its_content_or_is_an_error(copy, any_set):
    dataset = ts.ShardDataset(copy)
    loader = ts.Loader(copy, 6, shuffle=False, cache="stream")
    before = next(iter(loader))[0]
    for file in any_set.iterdir():  # by a rename, as our programs do it: the open files stay
        (copy / "new").write_bytes(file.read_bytes())
        (copy / "new").rename(copy / file.name)
    np.testing.assert_array_equal(next(iter(loader))[0], before)
    with pytest.raises(ts.IncompatibleError, match="set_id differs"):
        pickle.loads(pickle.dumps(dataset))  # as a spawned worker does
    fresh = ts.Loader(copy, 6, cache="stream")
    shard = copy / "00000.shard"
    shard.write_bytes(bytes(shard.stat().st_size))  # in place
    with pytest.raises(ts.CorruptError):
        list(fresh)


def test_dropped_iterators_leave_no_thread_and_no_file(windows_set):
    gc.collect()
    before = len(list(pathlib.Path("/proc/self/fd").iterdir()))
    loader = ts.Loader(windows_set, 10, steps=4, cache="stream")
    iterators = [iter(loader) for _ in range(5)]
    for iterator in iterators:
        next(iterator)
    assert len(threads()) == 5
    del iterator, iterators
    gc.collect()
    assert threads() == []
    for _ in loader:
        break
    del _
    gc.collect()
    assert threads() == []
    del loader
    assert len(list(pathlib.Path("/proc/self/fd").iterdir())) == before


LOOP = """
import collections, itertools, sys
import tonic_shards as ts
loader = ts.Loader(sys.argv[1], 64, steps=20_000 if sys.argv[2] == "slow" else 4, cache="stream")
print("ready", flush=True)
if sys.argv[2] == "in C":
    collections.deque(itertools.chain.from_iterable(itertools.repeat(loader)), maxlen=0)
while True:
    for frames, labels in loader:
        pass
"""


@pytest.mark.parametrize("kind", ["fast", "slow", "in C"])
def test_ctrl_c_ends_a_loop_at_once(windows_set, kind):
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, windows_set, kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt") and process.returncode in (130, -signal.SIGINT)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "import os; os._exit(3)"])
def test_python_ends_in_the_middle_of_an_epoch(ending):
    script = "import sys, tonic_shards as ts; batches = iter(ts.Loader(sys.argv[1], 1)); next(batches)\n"
    done = subprocess.run([sys.executable, "-c", script + ending, FROZEN], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (3 if ending else 0, b"")


def read_all(ours, path):
    loader = ts.Loader(path, 100, steps=4)
    total = sum(float(frames.sum()) for frames, _ in loader)
    return total, sum(float(sample.dense().sum()) for sample in ours), ours.labels.sum(), ours.verify()


def use_parents(loader, batches):
    errors = []
    for use in (lambda: iter(loader), lambda: next(batches)):
        with pytest.raises(RuntimeError) as caught:
            use()
        errors.append(str(caught.value))
    return errors


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_reads(windows_set):
    ours = ts.ShardSet(windows_set)
    here = read_all(ours, windows_set)  # starts the thread pool
    assert here == in_child(read_all, ours, windows_set)
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            read_all(ts.ShardSet(windows_set, cache_bytes=0), windows_set)

    others = [threading.Thread(target=busy) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for _ in range(3):
            assert here == in_child(read_all, ts.ShardSet(windows_set), windows_set)
    finally:
        stop.set()
        for other in others:
            other.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_loader_refuses_to_work_in_a_forked_process(windows_set):
    loader = ts.Loader(windows_set, 100, steps=4)
    batches = iter(loader)
    next(batches)
    child = os.fork()
    if child == 0:  # a pool would pickle what it is given
        try:
            texts = use_parents(loader, batches)
            del batches, loader
            gc.collect()
            os._exit(0 if all("belongs to the process that made it" in text for text in texts) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(batches)) == len(loader) - 1
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(loader)


def test_threads_of_python_share_a_set(windows_set):
    ours = ts.ShardSet(windows_set, cache_bytes=100_000)
    expected, found = [ours[i].entries for i in range(0, 17_001, 97)], [None] * 4

    def read(k):
        found[k] = [ours[i].entries for i in range(0, 17_001, 97)]

    readers = [threading.Thread(target=read, args=(k,)) for k in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(timeout=60)
    assert found == [expected] * 4
