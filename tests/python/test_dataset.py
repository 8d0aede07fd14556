"""Datasets and samplers, alone and in torch's DataLoader."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import tonic_shards as ts
from conftest import FROZEN, together, tonic_prep


def test_items_are_samples_that_can_be_stacked(any_set):
    ours, dataset = ts.ShardSet(any_set), ts.ShardDataset(any_set)
    assert len(dataset) == 7
    for i, (frames, label) in enumerate(dataset):
        assert frames.shape == (ours.steps, *ours.shape) and frames.dtype == np.float32
        np.testing.assert_array_equal(frames, ours[i].dense(steps=ours.steps, dtype="float32"))
        assert label == ours[i].label
    for each in (dataset, ts.ShardDataset(any_set, pad=False)):
        for got, index in zip(each.__getitems__([5, 0, -1]), (5, 0, 6)):
            np.testing.assert_array_equal(got[0], each[index][0])
            assert got[1] == each[index][1] and type(got[1]) is int
    flat = ts.ShardDataset(ours, steps=2, dtype=ours.dtype, layout="tc")
    assert flat.set is ours and flat[0][0].shape == (2, np.prod(ours.shape)) and flat[0][0].dtype == ours.dtype
    assert repr(flat) == f"<ShardDataset of {ours!r}>"


def test_transforms_are_applied():
    dataset = ts.ShardDataset(FROZEN, transform=np.sum, target_transform=str)
    assert dataset[1] == (12_353, "1") and dataset.__getitems__([1, 1]) == [dataset[1]] * 2


def test_a_subclass_with_its_own_items_has_them_in_batches_too():
    class Numbered(ts.ShardDataset):
        def __getitem__(self, index):
            return index, super().__getitem__(index)[1]

    dataset = Numbered(FROZEN)
    assert dataset.__getitems__([3, 1]) == [dataset[3], dataset[1]] and dataset[3][0] == 3


def test_a_pickled_dataset_reads_the_same_samples():
    dataset = ts.ShardDataset(FROZEN, steps=3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset))[2][0], dataset[2][0])


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("rank, world_size", [(0, 1), (1, 3)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_sampler_has_the_order_of_the_loader(windows_set, shuffle, rank, world_size, drop_last):
    options = {"seed": 4, "shuffle": shuffle, "rank": rank, "world_size": world_size, "drop_last": drop_last}
    dataset = ts.ShardDataset(windows_set, steps=4, layout="tc")
    sampler = ts.BatchSampler(dataset, 1_000, **options)
    loader = ts.Loader(windows_set, 1_000, layout="btc", steps=4, **options)
    for _ in range(2):
        batches = list(sampler)
        assert len(batches) == len(sampler) == len(loader)
        for (frames, _), indices in zip(loader, batches):
            np.testing.assert_array_equal([item[0] for item in dataset.__getitems__(indices)], frames)
    assert sampler.epoch == loader.epoch == 2
    sampler.set_epoch(1)
    assert list(sampler) == batches


def test_a_sampler_of_a_directory_and_wrong_arguments():
    assert sorted(sum(ts.BatchSampler(str(FROZEN), 4), [])) == list(range(6))
    assert list(ts.BatchSampler(ts.ShardSet(FROZEN), 4, shuffle=False)) == [[0, 1, 2, 3], [4, 5]]
    with pytest.raises(ValueError, match="batch_size, world_size: expected 1 or more, got 0, 1"):
        ts.BatchSampler(FROZEN, 0)
    with pytest.raises(ValueError, match="rank: expected 0 to 1, got 2"):
        ts.BatchSampler(FROZEN, 1, rank=2, world_size=2)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_in_the_data_loader_of_torch(windows_set, start):
    data = pytest.importorskip("torch.utils.data")
    dataset = ts.ShardDataset(windows_set, steps=4, layout="tc")
    assert dataset.set.labels[0] == -1  # starts the thread pool, before the fork
    sampler = ts.BatchSampler(dataset, 1_000, seed=4)
    batches = data.DataLoader(dataset, batch_sampler=sampler, num_workers=2, multiprocessing_context=start)
    for (frames, labels), (expected, classes) in zip(batches, ts.Loader(windows_set, 1_000, seed=4, layout="btc", steps=4)):
        np.testing.assert_array_equal(frames.numpy(), expected)
        np.testing.assert_array_equal(labels.numpy(), classes)
    one_by_one = data.DataLoader(dataset, shuffle=True, num_workers=2, multiprocessing_context=start, batch_size=4_000)
    assert sum(len(frames) for frames, _ in one_by_one) == 17_001


def test_samples_of_their_own_lengths(any_set):
    ours, dataset = ts.ShardSet(any_set), ts.ShardDataset(any_set, pad=False, dtype="float32")
    assert [len(frames) for frames, _ in dataset] == [sample.frames for sample in ours]
    with pytest.raises(ValueError, match="steps: expected none next to pad=False, got both"):
        ts.ShardDataset(any_set, pad=False, steps=3)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"layout": "btc"}, "layout: expected tc or tphw, got btc"),
        ({"dtype": "int8"}, "dtype: expected a type .* got int8"),
    ],
)
def test_a_dataset_checks_its_arguments_at_once(options, text):
    with pytest.raises(ValueError, match=text):
        ts.ShardDataset(FROZEN, **options)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
def test_states_of_sampler_and_loader_continue_each_other(windows_set, shuffle, drop_last):
    options = {"seed": 9, "shuffle": shuffle}
    sampler = ts.BatchSampler(windows_set, 100, drop_last=drop_last, **options)
    for epoch in (0, 1):
        whole = sum(sampler, [])
    assert sampler.state_dict()["epoch"] == 2
    for taken in (0, 1, 85, 170):
        sampler.set_epoch(1)
        batches = iter(sampler)
        before = sum((next(batches) for _ in range(taken)), [])
        state = sampler.state_dict()
        assert (state["epoch"], state["samples"]) == (1, taken * 100)
        for size in (100, 33):
            again = ts.BatchSampler(windows_set, size, drop_last=drop_last, **options)
            again.load_state_dict(state)
            assert again.state_dict() == state
            rest = sum(again, [])
            assert whole[: taken * 100] == before and rest[: len(whole) - taken * 100] == whole[taken * 100 :][: len(rest)]
            assert (17_001 - taken * 100 - len(rest)) == (17_001 - taken * 100) % size * drop_last
            assert again.epoch == 2
        loader = ts.Loader(windows_set, 500, steps=1, layout="btc", drop_last=drop_last, **options)
        loader.load_state_dict(state)
        there = ts.BatchSampler(windows_set, 500, drop_last=drop_last, **options)
        there.load_state_dict(loader.state_dict())
        steps = together(loader, there)
        assert all(len(labels) == len(indices) for (_, labels), indices in steps)
        assert loader.state_dict() == there.state_dict()
        ranks = [ts.BatchSampler(windows_set, 7, rank=rank, world_size=2, **options) for rank in range(2)]
        for rank in ranks:
            rank.load_state_dict(state)
        both = sum((part for step in together(*ranks) for part in step), [])
        assert both[: len(whole) - len(before)] == whole[len(before) :]


def test_a_state_of_something_else_is_refused(any_set):
    sampler = ts.BatchSampler(FROZEN, 2, seed=1)
    state = sampler.state_dict()
    with pytest.raises(ts.IncompatibleError, match="set_id differs"):
        ts.BatchSampler(any_set, 2, seed=1).load_state_dict(state)
    for other, text in [
        ({"seed": 2}, "seed of the state: expected 1, got 2"),
        ({"shuffle": False}, "shuffle of the state: expected True, got False"),
        ({"samples": 7}, "samples of the state: expected at most 6, got 7"),
        ({"samples": "6"}, "samples of the state: expected a whole number, 0 or more, got '6'"),
        ({"epoch": -3}, "epoch of the state: expected a whole number, 0 or more, got -3"),
    ]:
        with pytest.raises(ValueError, match=text):
            sampler.load_state_dict(state | other)
    del state["epoch"]
    with pytest.raises(ValueError, match="state: expected a value for epoch, got none"):
        sampler.load_state_dict(state)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_stateful_data_loader_continues_within_an_epoch(windows_set, workers):
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")

    def loader():
        dataset = ts.ShardDataset(windows_set, steps=4, layout="tc")
        sampler = ts.BatchSampler(dataset, 1_000, seed=4)
        return torchdata.StatefulDataLoader(dataset, batch_sampler=sampler, num_workers=workers)

    def contents(batches):
        return [frames.numpy().tobytes() for frames, _ in batches]

    whole = loader()
    epochs = [contents(whole) for _ in range(3)]
    assert len(set(map(str, epochs))) == 3
    for taken in (1, 9):
        first = loader()
        contents(first)  # epoch 0
        batches = iter(first)
        for _ in range(taken):
            next(batches)
        state = first.state_dict()
        second = loader()
        second.load_state_dict(state)
        assert contents(second) == epochs[1][taken:]
        assert contents(second) == epochs[2]
    first = loader()
    contents(first)
    state = first.state_dict()  # between two epochs
    second = loader()
    second.load_state_dict(state)
    found = contents(second) or contents(second)
    assert found == epochs[1]


KILLED = """
import os, signal, sys
import torch.utils.data as data, tonic_shards as ts
dataset = ts.ShardDataset(sys.argv[1], steps=4, layout="tc", transform=lambda frames: die(frames))
def die(frames):
    if data.get_worker_info().id == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return frames
try:
    for batch in data.DataLoader(dataset, batch_sampler=ts.BatchSampler(dataset, 100), num_workers=2):
        pass
except RuntimeError as error:
    sys.exit(0 if "DataLoader worker" in str(error) else str(error))
sys.exit("no error")
"""


def test_a_killed_worker_is_an_error(windows_set):
    pytest.importorskip("torch")
    subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, windows_set], check=True, timeout=100)


BOTH = """
import sys
import numpy as np
order = sys.argv[2].split(",")
modules = {name: __import__(name) for name in order}
ts, h5py, torch = (modules[name] for name in ("tonic_shards", "h5py", "torch"))
with h5py.File(sys.argv[3], "w") as file:
    for i in range(4):
        file[str(i)] = np.arange(100_000) + i
ours = ts.ShardSet(sys.argv[1])
with h5py.File(sys.argv[3]) as file:
    for frames, labels in ts.Loader(sys.argv[1], 64, steps=4, layout="btc", output="torch"):
        assert torch.nn.functional.linear(frames, torch.ones(3, 20)).shape[-1] == 3
        assert file["3"][0] == 3
made = ts.convert(sys.argv[4], sys.argv[3] + ".set", quiet=True)  # with the HDF5 library of the package
assert len(made) == 5 and h5py.File(sys.argv[4])["labels"].shape == (5,)
"""


@pytest.mark.parametrize("order", ["tonic_shards,h5py,torch", "torch,h5py,tonic_shards", "h5py,tonic_shards,torch"])
def test_h5py_and_torch_in_the_same_process(windows_set, tmp_path, order):
    pytest.importorskip("torch")
    pytest.importorskip("h5py")
    tonic_prep("synth", "-o", tmp_path / "a.h5", "--samples", 5)
    command = [sys.executable, "-c", BOTH, windows_set, order, tmp_path / "b.h5", tmp_path / "a.h5"]
    subprocess.run(command, check=True, timeout=100)
