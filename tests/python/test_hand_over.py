"""Batches of a ShardDataset that workers of torch's DataLoader hand over in shared memory, which is used again."""

import gc
import os
import pathlib

import numpy as np
import pytest

import tonic_shards as ts

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, default_collate  # noqa: E402

BATCH = 50


@pytest.fixture(scope="module")
def expected(windows_set):
    dataset = ts.ShardDataset(windows_set)
    return [
        (torch.stack([torch.from_numpy(dataset[i][0]) for i in batch]), torch.tensor([dataset[i][1] for i in batch]))
        for batch in ts.BatchSampler(dataset, BATCH, seed=3)
    ]


def loader_of(windows_set, collate=None, **options):
    dataset = ts.ShardDataset(windows_set)
    return DataLoader(dataset, batch_sampler=ts.BatchSampler(dataset, BATCH, seed=3), collate_fn=collate, **options)


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for (frames, labels), (expected_frames, expected_labels) in zip(batches, expected):
        assert type(frames) is type(labels) is torch.Tensor
        assert frames.dtype == expected_frames.dtype and torch.equal(frames, expected_frames)
        assert labels.dtype == torch.int64 and torch.equal(labels, expected_labels)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_that_are_kept_stay_as_they_are(windows_set, expected, workers):
    # More of them than a worker has blocks.
    assert len(expected) > 2 * 16
    assert_same(list(loader_of(windows_set, num_workers=workers)), expected)


def test_a_batch_that_is_changed_or_kept_does_not_reach_another(windows_set, expected):
    kept = []
    for number, (frames, labels) in enumerate(loader_of(windows_set, num_workers=1)):
        if number % 3 == 0:
            kept.append((frames[1:], labels[1:]))  # a view keeps its batch
        else:
            frames += 1
            labels += 1
    assert_same(kept, [(frames[1:], labels[1:]) for frames, labels in expected[::3]])


def blocks():
    """Starts of the shared memory that this process has mapped."""
    lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
    return {line.split("-")[0] for line in lines if "/torch_" in line or "memfd" in line}


def test_a_worker_uses_its_memory_again_and_the_memory_goes_with_the_iterator(windows_set):
    loader = loader_of(windows_set, num_workers=1)
    before = blocks()
    iterator, addresses = iter(loader), set()
    for frames, _ in iterator:
        addresses.add(frames.data_ptr())
    assert len(addresses) <= 5 < len(loader)
    assert blocks() - before
    del frames, iterator
    gc.collect()
    assert blocks() <= before


def test_workers_that_stay(windows_set):
    loader = loader_of(windows_set, num_workers=2, persistent_workers=True)
    addresses = set()
    for _ in range(3):
        for number, (frames, _) in enumerate(loader):
            addresses.add(frames.data_ptr())
            if number == 7:
                break  # batches on their way are thrown away
    assert sum(1 for _ in loader) == len(loader)
    assert len(addresses) <= 2 * 5


def test_a_spawned_worker(windows_set, expected):
    assert_same(list(loader_of(windows_set, num_workers=1, multiprocessing_context="spawn")), expected)


def own(samples):
    frames, labels = default_collate(samples)
    return frames.half().mul(2), labels


def parts(samples):
    frames, labels = default_collate(samples)
    return frames[:, 0], labels


def reversed_samples(samples):
    return default_collate(samples[::-1])


def some(samples):
    return default_collate(list(samples)[: len(samples) - 1]) if len(samples) > 1 else default_collate(samples)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "collate, change",
    [
        (own, lambda frames, labels: (frames.half().mul(2), labels)),
        (parts, lambda frames, labels: (frames[:, 0], labels)),
        (reversed_samples, lambda frames, labels: (frames.flip(0), labels.flip(0))),
        (some, lambda frames, labels: (frames[:-1], labels[:-1]) if len(frames) > 1 else (frames, labels)),
    ],
)
def test_a_collate_function_around_the_default(windows_set, expected, collate, change, workers):
    batches = list(loader_of(windows_set, collate, num_workers=workers))
    assert_same(batches, [change(*batch) for batch in expected])


def kept_in_the_worker(samples, kept=[]):  # noqa: B006
    kept.append(default_collate(samples))
    return kept[-1] if len(kept) < 4 else (kept[0][0] + 0, kept[0][1])


def test_a_batch_that_the_worker_keeps_stays_as_it_is(windows_set, expected):
    batches = [(frames.clone(), labels) for frames, labels in loader_of(windows_set, kept_in_the_worker, num_workers=1)]
    assert_same(batches, expected[:3] + [expected[0]] * (len(expected) - 3))


def test_a_process_that_was_forked_from_the_training_does_not_free_its_batches(windows_set, expected):
    batches = iter(loader_of(windows_set, num_workers=1))
    kept = next(batches)
    child = os.fork()
    if child == 0:
        del kept
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert_same([kept, *batches], expected)
    assert_same([kept], expected[:1])


def test_samples_are_those_of_any_dataset(windows_set):
    dataset = ts.ShardDataset(windows_set)
    samples = dataset.__getitems__([3, 1])
    assert isinstance(samples, list) and len(samples) == 2
    for (frames, label), index in zip(samples, [3, 1]):
        assert type(label) is int and label == dataset[index][1]
        assert np.array_equal(frames, dataset[index][0])
