"""Samples and indices for torch's DataLoader. Neither class needs torch."""

import os

from ._native import ShardSet


class ShardDataset:
    """A map-style dataset of (frames, label), for torch's DataLoader.

    `frames` is an array of shape (T, P, H, W), or what `transform` makes of it, and `label` an int, -1 for a sample
    without a class. Decoded chunks stay in memory up to `cache_bytes`, in each worker. With a BatchSampler, a worker
    decodes each chunk once per epoch, if a window of the order (8,192 samples) fits. Workers may be forked or spawned;
    a spawned worker opens the set again, and refuses another set in its place.

    Parameters:
        path: directory of the set, or a ShardSet.
        transform, target_transform: functions of the frames and of the label.
        steps: frames per sample; shorter samples are padded with zeros, longer ones cut. None: ShardSet.steps, so that
            samples can be stacked.
        dtype, layout: as in Sample.dense().
        cache_bytes: how much memory decoded chunks may take, if `path` is a directory.
    """

    def __init__(
        self,
        path,
        transform=None,
        target_transform=None,
        *,
        steps=None,
        dtype="float32",
        layout="tphw",
        cache_bytes=128 << 20,
    ):
        self.set = path if isinstance(path, ShardSet) else ShardSet(path, cache_bytes=cache_bytes)
        self.transform, self.target_transform = transform, target_transform
        self.form = {"steps": self.set.steps if steps is None else steps, "dtype": dtype, "layout": layout}

    def __len__(self):
        return len(self.set)

    def __getitem__(self, index):
        sample = self.set[index]
        frames, label = self._frames(sample), sample.label
        if self.transform is not None:
            frames = self.transform(frames)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return frames, label

    def _frames(self, sample):
        return sample.dense(**self.form)

    def __getitems__(self, indices):
        """The samples with these indices, as a list. DataLoader calls this with the indices of a batch."""
        return [self[index] for index in indices]

    def __repr__(self):
        return f"<ShardDataset of {self.set!r}>"


class BatchSampler:
    """Batches of indices in the order of the format, which Loader and tonic-train have too: for the batch_sampler of
    torch's DataLoader.

    The order visits one window of chunks after another (8,192 samples, shuffled among themselves), so that a dataset
    which keeps a window in memory decodes each chunk once. Each iteration is an epoch: the first is epoch 0.

    Parameters:
        dataset: a ShardDataset, a ShardSet, or the directory of a set.
        batch_size: samples per batch of this rank.
        seed, shuffle, drop_last, rank, world_size: as in Loader.
    """

    def __init__(self, dataset, batch_size, *, seed=0, shuffle=True, drop_last=False, rank=0, world_size=1):
        dataset = getattr(dataset, "set", dataset)
        self.set = ShardSet(dataset) if isinstance(dataset, (str, os.PathLike)) else dataset
        if batch_size < 1 or world_size < 1:
            raise ValueError(f"batch_size, world_size: expected 1 or more, got {batch_size}, {world_size}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank: expected 0 to {world_size - 1}, got {rank}")
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.seed, self.shuffle, self.drop_last = seed, shuffle, drop_last
        self.epoch = 0

    def set_epoch(self, epoch):
        """Makes the next iteration epoch `epoch`."""
        self.epoch = epoch

    def __len__(self):
        step = self.batch_size * self.world_size
        return len(self.set) // step if self.drop_last else -(-len(self.set) // step)

    def __iter__(self):
        # A generator: DataLoader makes an iterator that it never asks, and that must not count as an epoch.
        epoch, step = self.epoch, self.batch_size * self.world_size
        self.epoch = epoch + 1
        order = self.set.order(self.seed, epoch).tolist() if self.shuffle else range(len(self.set))
        for start in range(0, len(self) * step, step):
            together = order[start : start + step]
            first, end = (len(together) * rank // self.world_size for rank in (self.rank, self.rank + 1))
            yield list(together[first:end])
