"""Datasets and samplers, alone and in torch's DataLoader."""

import pickle

import numpy as np
import pytest

import tonic_shards as ts
from conftest import FROZEN


def test_items_are_samples_that_can_be_stacked(any_set):
    ours, dataset = ts.ShardSet(any_set), ts.ShardDataset(any_set)
    assert len(dataset) == 7
    for i, (frames, label) in enumerate(dataset):
        assert frames.shape == (ours.steps, *ours.shape) and frames.dtype == np.float32
        np.testing.assert_array_equal(frames, ours[i].dense(steps=ours.steps, dtype="float32"))
        assert label == ours[i].label
    for got, index in zip(dataset.__getitems__([5, 0, -1]), (5, 0, 6)):
        np.testing.assert_array_equal(got[0], dataset[index][0])
    flat = ts.ShardDataset(ours, steps=2, dtype=ours.dtype, layout="tc")
    assert flat.set is ours and flat[0][0].shape == (2, np.prod(ours.shape)) and flat[0][0].dtype == ours.dtype
    assert repr(flat) == f"<ShardDataset of {ours!r}>"


def test_transforms_are_applied():
    dataset = ts.ShardDataset(FROZEN, transform=np.sum, target_transform=str)
    assert dataset[1] == (12_353, "1")


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
