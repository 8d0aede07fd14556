"""Samples and indices for torch's DataLoader. Neither class needs torch."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Iterator, Literal, Mapping, Optional, Sequence, Union

import numpy as np
from numpy.typing import NDArray

from ._native import Sample, ShardSet, check_id, check_sample_form, part_of_step

_Place = Union[str, "os.PathLike[str]"]


class ShardDataset:
    """A map-style dataset of (frames, label), for torch's DataLoader.

    `frames` is an array of shape (T, P, H, W), or what `transform` makes of it, and `label` an int, -1 for a sample
    without a class. Decoded chunks stay in memory up to `cache_bytes`, in each worker. With a BatchSampler, a worker
    decodes each chunk once per epoch, if a window of the order (8,192 samples) fits. Workers may be forked or spawned;
    a spawned worker opens the set again, and refuses another set in its place. So does a forked one, if the set is at a
    URL.

    Parameters:
        path: directory of the set, its URL, or a ShardSet.
        transform, target_transform: functions of the frames and of the label.
        steps: frames per sample; shorter samples are padded with zeros, longer ones cut. None: ShardSet.steps, so that
            samples can be stacked.
        pad: False gives samples of their own lengths, for a collate function such as Tonic's PadTensors.
        dtype, layout, squeeze: as in Sample.dense().
        cache_bytes, remote_cache, remote_cache_limit: as in ShardSet, if `path` isn't a ShardSet.

    Raises:
        OSError, CorruptError, IncompatibleError: as ShardSet, here or when a sample is read.
        ValueError: for an argument.
    """

    def __init__(
        self,
        path: Union[_Place, ShardSet],
        transform: Optional[Callable[[Any], Any]] = None,
        target_transform: Optional[Callable[[int], Any]] = None,
        *,
        steps: Optional[int] = None,
        pad: bool = True,
        dtype: Literal["uint8", "uint16", "uint32", "float32"] = "float32",
        layout: Literal["tphw", "tc"] = "tphw",
        squeeze: bool = False,
        cache_bytes: int = 128 << 20,
        remote_cache: Optional[_Place] = None,
        remote_cache_limit: Union[int, str, None] = None,
    ) -> None:
        if steps is not None and not pad:
            raise ValueError("steps: expected none next to pad=False, got both")
        cache = {"cache_bytes": cache_bytes, "remote_cache": remote_cache, "remote_cache_limit": remote_cache_limit}
        self.set: ShardSet = path if isinstance(path, ShardSet) else ShardSet(path, **cache)  # type: ignore[arg-type]
        self.transform, self.target_transform = transform, target_transform
        self.form: dict[str, Any] = {"dtype": dtype, "layout": layout, "squeeze": squeeze}
        check_sample_form(self.set, steps=steps, **self.form)
        self.form["steps"] = self.set.steps if steps is None and pad else steps

    def __len__(self) -> int:
        return len(self.set)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        sample = self.set[index]
        return self._transformed(self._frames(sample), sample.label)

    def _transformed(self, frames: Any, label: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            frames = self.transform(frames)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return frames, label

    def _frames(self, sample: Sample) -> NDArray[Any]:
        return sample.dense(**self.form)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, Any]]:
        """The samples with these indices, as a list. DataLoader calls this with the indices of a batch. Frames of the
        same length are parts of one array."""
        if type(self).__getitem__ is not ShardDataset.__getitem__ or self.form["steps"] is None:
            return [self[index] for index in indices]
        frames, labels = self.set.batch(indices, **self.form)
        if self.transform is self.target_transform is None and "torch.utils.data" in sys.modules:
            from .hand_over import together

            return together(frames, labels.tolist())
        return [self._transformed(*sample) for sample in zip(frames, labels.tolist())]

    def __repr__(self) -> str:
        return f"<ShardDataset of {self.set!r}>"


class BatchSampler:
    """Batches of indices, for the batch_sampler of torch's DataLoader. The order is that of Loader and tonic-train.

    The order visits one window of chunks after another (8,192 samples, shuffled among themselves), so that a dataset
    which keeps a window in memory decodes each chunk once. Each iteration is an epoch: the first is epoch 0.

    Sampler and iterators have state_dict() and load_state_dict(), so that torchdata's StatefulDataLoader continues
    within an epoch. A BatchSampler can load a state of a Loader, and a Loader can load a state of a BatchSampler.

    Parameters:
        dataset: a ShardDataset, a ShardSet, or the directory or URL of a set.
        batch_size: samples per batch of this rank.
        seed, shuffle, drop_last, rank, world_size: as in Loader.

    Raises:
        OSError, CorruptError, IncompatibleError: as ShardSet.
        ValueError: for an argument.
    """

    def __init__(
        self,
        dataset: Union[ShardDataset, ShardSet, _Place],
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        found: Any = getattr(dataset, "set", dataset)
        self.set: ShardSet = ShardSet(found) if isinstance(found, (str, os.PathLike)) else found
        if batch_size < 1 or world_size < 1:
            raise ValueError(f"batch_size, world_size: expected 1 or more, got {batch_size}, {world_size}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank: expected 0 to {world_size - 1}, got {rank}")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"seed: expected a number from 0 to 2^64 - 1, got {seed}")
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.seed, self.shuffle, self.drop_last = seed, shuffle, drop_last
        self.epoch = 0
        self._skipped = 0
        self._newest: Optional[_Batches] = None

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration epoch `epoch`."""
        self.epoch, self._skipped, self._newest = epoch, 0, None

    def __len__(self) -> int:
        step = self.batch_size * self.world_size
        return len(self.set) // step if self.drop_last else -(-len(self.set) // step)

    def __iter__(self) -> Iterator[list[int]]:
        return _Batches(self)

    def state_dict(self) -> dict[str, Any]:
        """Where the sampler is, after the last batch that its newest iterator gave. A DataLoader with workers requests
        batches before it gives them, so use the state of StatefulDataLoader if there are workers."""
        return self._state(self.epoch, self._skipped) if self._newest is None else self._newest.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next iterator continue where `state` was taken. It is a state of a BatchSampler or of a Loader.

        Raises:
            IncompatibleError: for a state of another set.
            ValueError: for a state of another seed or another shuffle, or one that isn't a state.
        """
        self.epoch, self._skipped = self._checked(state)
        self._newest = None

    def _state(self, epoch: int, samples: int) -> dict[str, Any]:
        same = {"set_id": self.set.id, "seed": self.seed, "shuffle": self.shuffle}
        return {**same, "epoch": epoch, "samples": samples}

    def _checked(self, state: Mapping[str, Any]) -> tuple[int, int]:
        """The epoch of a state, and how many of its samples were given."""
        for name in self._state(0, 0):
            if name not in state:
                raise ValueError(f"state: expected a value for {name}, got none")
        check_id(self.set, state["set_id"])
        for name, expected in (("seed", self.seed), ("shuffle", self.shuffle)):
            if state[name] != expected:
                raise ValueError(f"{name} of the state: expected {expected}, got {state[name]}")
        for name in ("epoch", "samples"):
            if not isinstance(state[name], (int, np.integer)) or state[name] < 0:
                raise ValueError(f"{name} of the state: expected a whole number, 0 or more, got {state[name]!r}")
        if state["samples"] > len(self.set):
            raise ValueError(f"samples of the state: expected at most {len(self.set)}, got {state['samples']}")
        return int(state["epoch"]), int(state["samples"])


class _Batches:
    """The batches of an epoch. The epoch begins when the first batch is requested: DataLoader makes iterators from
    which it never requests a batch, and these must not count as epochs."""

    def __init__(self, sampler: BatchSampler) -> None:
        self._sampler = sampler
        self._order: Optional[NDArray[np.int64]] = None
        self._epoch = self._samples = self._end = 0

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> list[int]:
        sampler = self._sampler
        if self._order is None:
            self._begin(sampler.epoch, sampler._skipped)
        assert self._order is not None
        if self._samples >= self._end:
            if sampler._newest is self:
                sampler._newest = None
            raise StopIteration
        step = sampler.batch_size * sampler.world_size
        together = self._order[self._samples : min(self._samples + step, self._end)]
        self._samples += len(together)
        first, end = part_of_step(len(together), step, sampler.rank, sampler.world_size)
        indices: list[int] = together[first:end].tolist()
        return indices

    def _begin(self, epoch: int, samples: int) -> None:
        sampler = self._sampler
        every = len(sampler.set)
        self._order = sampler.set.order(sampler.seed, epoch) if sampler.shuffle else np.arange(every)
        left = (every - samples) % (sampler.batch_size * sampler.world_size) if sampler.drop_last else 0
        self._epoch, self._samples, self._end = epoch, samples, every - left
        sampler.epoch, sampler._skipped, sampler._newest = epoch + 1, 0, self

    def state_dict(self) -> dict[str, Any]:
        """Where the iterator is: as BatchSampler.state_dict()."""
        sampler = self._sampler
        if self._order is None:
            return sampler._state(sampler.epoch, sampler._skipped)
        return sampler._state(self._epoch, self._samples)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state` was taken: as BatchSampler.load_state_dict()."""
        self._begin(*self._sampler._checked(state))
