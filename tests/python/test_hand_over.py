"""Batches of a ShardDataset that workers of torch's DataLoader hand over in shared memory, which is used again."""

import copy
import gc
import multiprocessing
import os
import pathlib
import pickle

import numpy as np
import pytest

import tonic_shards as ts

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, default_collate  # noqa: E402

BATCH = 52


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
        assert frames.dtype == expected_frames.dtype and torch.equal(frames.detach(), expected_frames)
        assert labels.dtype == expected_labels.dtype and torch.equal(labels, expected_labels)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_that_are_kept_stay_as_they_are(windows_set, expected, workers):
    # More batches than a worker has blocks.
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


def part(samples):
    frames, labels = default_collate(samples)
    return frames[:, 0], labels


def transposed(samples):
    frames, labels = default_collate(samples)
    return frames.transpose_(0, 1), labels


def replaced(samples):
    frames, labels = default_collate(samples)
    frames.data = frames.data * 2
    labels.data = labels.data.float()
    return frames, labels


def shared(samples):
    frames, labels = default_collate(samples)
    frames.share_memory_()
    frames += 1
    return frames, labels


def twice(samples):
    first, _ = default_collate(samples)
    second, labels = default_collate(samples)
    return first.mul_(2) + second, labels


def copied(samples):
    return copy.deepcopy(default_collate(samples))


def turned(samples):
    return default_collate(samples[::-1])


def fewer(samples):
    return default_collate(samples[1:])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "collate, change",
    [
        (own, lambda frames, labels: (frames.half().mul(2), labels)),
        (part, lambda frames, labels: (frames[:, 0], labels)),
        (transposed, lambda frames, labels: (frames.transpose(0, 1), labels)),
        (replaced, lambda frames, labels: (frames * 2, labels.float())),
        (shared, lambda frames, labels: (frames + 1, labels)),
        (twice, lambda frames, labels: (frames * 3, labels)),
        (copied, lambda frames, labels: (frames, labels)),
        (turned, lambda frames, labels: (frames.flip(0), labels.flip(0))),
        (fewer, lambda frames, labels: (frames[1:], labels[1:])),
    ],
)
def test_a_collate_function_around_the_default(windows_set, expected, collate, change, workers):
    assert len(expected[-1][1]) > 1
    batches = list(loader_of(windows_set, collate, num_workers=workers))
    assert_same(batches, [change(*batch) for batch in expected])


def with_gradient(samples):
    frames, labels = default_collate(samples)
    return frames.requires_grad_(), labels


def test_a_batch_that_wants_a_gradient(windows_set, expected):
    batches = list(loader_of(windows_set, with_gradient, num_workers=1, timeout=60))
    assert all(frames.requires_grad for frames, _ in batches)
    assert_same(batches, expected)


def with_a_view(samples):
    frames, labels = default_collate(samples)
    return frames[1:], frames, labels


def test_a_view_next_to_its_batch(windows_set, expected):
    batches = list(loader_of(windows_set, with_a_view, num_workers=1))
    assert_same([batch[1:] for batch in batches], expected)
    assert all(torch.equal(view, frames[1:]) for view, frames, _ in batches)


class Echo:
    """Gives every batch twice."""

    def __init__(self):
        self.last = None

    def __call__(self, samples):
        again, self.last = self.last, None if self.last else default_collate(samples)
        return again or self.last


def test_a_batch_that_is_given_twice_stays_as_it_is(windows_set, expected):
    # Only the second of the two is kept.
    kept = [batch for number, batch in enumerate(loader_of(windows_set, Echo(), num_workers=1)) if number % 2]
    assert_same(kept, expected[0 : 2 * len(kept) : 2])


def test_functions_that_the_user_has_for_arrays_are_used(windows_set):
    from torch.utils.data._utils.collate import default_collate_fn_map as functions

    before = functions[np.ndarray]
    functions[np.ndarray] = lambda arrays, collate_fn_map=None: len(arrays)
    try:
        assert next(iter(loader_of(windows_set, num_workers=1)))[0] == BATCH
    finally:
        functions[np.ndarray] = before


def test_memory_of_batches_that_grow_is_not_kept(windows_set):
    dataset = ts.ShardDataset(windows_set)
    sizes = [10 * (number + 1) for number in range(60)]
    batches = [list(range(size)) for size in sizes]
    iterator = iter(DataLoader(dataset, batch_sampler=batches, num_workers=1, persistent_workers=True))
    before = blocks()
    for size in sizes:
        assert len(next(iterator)[0]) == size
    assert len(blocks() - before) <= 6


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


def wait_and_look(queue, frames, expected):
    queue.get()  # until the worker has filled the memory of all other batches
    os._exit(0 if torch.equal(frames, expected) else 1)


def test_a_batch_that_a_forked_process_uses_stays_as_it_is(windows_set, expected):
    context = multiprocessing.get_context("fork")
    queue, children = context.Queue(), []
    batches = iter(loader_of(windows_set, num_workers=1))
    for frames, _ in expected[:20]:
        children.append(context.Process(target=wait_and_look, args=(queue, next(batches)[0], frames)))
        children[-1].start()  # drops the references of this process to the arguments
    rest = list(batches)
    for child in children:
        queue.put(None)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 20
    assert_same(rest, expected[20:])


def test_samples_are_those_of_any_dataset(windows_set):
    dataset = ts.ShardDataset(windows_set)
    samples = dataset.__getitems__([3, 1])
    assert isinstance(samples, list) and len(samples) == 2
    for (frames, label), index in zip(samples, [3, 1]):
        assert type(label) is int and label == dataset[index][1]
        assert np.array_equal(frames, dataset[index][0])
    assert len(pickle.dumps(samples[0])) < 2 * len(pickle.dumps(dataset[3]))
