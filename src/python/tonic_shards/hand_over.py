"""How the batches of a ShardDataset get from the workers of torch's DataLoader to the training process. Needs torch.

default_collate stacks the samples of a batch in new shared memory, and the first write to new memory takes longer than
making the batch. Here a worker copies its batches to blocks of shared memory that it uses again: the training process
marks a block as free when nothing uses its tensor any more.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import weakref
from multiprocessing.reduction import ForkingPickler
from typing import Any, Iterable, Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate, get_worker_info
from torch.utils.data._utils import collate

# A block begins with a header: whether a batch is on its way or in use, and whether the training process has the block.
_USED, _RECEIVED = 0, 1
_HEADER = 64
# Blocks of a worker. Batches beyond them, for example those of list(DataLoader), are stacked by default_collate.
_MOST = 16


class _Together(tuple):  # type: ignore[type-arg]
    """A sample of a batch: (frames, label), where `frames` is a part of the frames of the batch."""

    batch: NDArray[Any]
    place: int


def together(batch: NDArray[Any], labels: Iterable[int]) -> list[tuple[NDArray[Any], int]]:
    """The samples of a batch, (frames, label) each, for default_collate or for any other function. `batch` is the array
    of all frames, whose first dimension is the sample."""
    samples: list[Any] = []
    for place, sample in enumerate(zip(batch, labels)):
        samples.append(_Together(sample))
        samples[-1].batch, samples[-1].place = batch, place
    return samples


def _collate(samples: list[Any], *, collate_fn_map: Any = None) -> list[torch.Tensor]:
    """What default_collate does with such samples: frames and labels of the batch."""
    batch = samples[0].batch
    whole = len(samples) == len(batch) and all(
        type(sample) is _Together and sample.batch is batch and sample.place == place
        for place, sample in enumerate(samples)
    )
    if not whole:
        stacked: list[torch.Tensor] = default_collate([tuple(sample) for sample in samples])
        return stacked
    labels = torch.tensor([label for _, label in samples])
    if get_worker_info() is None:
        return [torch.from_numpy(batch), labels]
    block = _blocks.free(batch.nbytes)
    frames = default_collate([frames for frames, _ in samples]) if block is None else block.filled(batch)
    return [frames, labels.as_subclass(_Small)]


# Versions of torch without this map stack the samples, which are tuples.
getattr(collate, "default_collate_fn_map", {})[_Together] = _collate


class _Plain(torch.Tensor):  # type: ignore[misc, unused-ignore]
    """A tensor whose views and results are tensors of torch."""

    __torch_function__ = torch._C._disabled_torch_function_impl


class _Small(_Plain):
    """A tensor that is sent as numbers, not in shared memory of its own."""


ForkingPickler.register(_Small, lambda tensor: (torch.tensor, (tensor.tolist(),)))


class _Filled(_Plain):
    """The frames of a batch, in a block of the worker."""

    block: _Block


class _Block:
    """Shared memory of a worker, for one batch at a time."""

    def __init__(self, size: int, number: int) -> None:
        self.memory = torch.zeros(_HEADER + size, dtype=torch.uint8).share_memory_()
        self.bytes: NDArray[np.uint8] = self.memory.numpy()
        self.number = number
        # Whether something in the worker uses the block.
        self.held = False

    def fits(self, size: int) -> bool:
        return len(self.bytes) >= _HEADER + size

    def is_free(self) -> bool:
        return not self.held and not self.bytes[_USED]

    def filled(self, batch: NDArray[Any]) -> torch.Tensor:
        frames = _frames(self.bytes, batch.dtype.str, batch.shape)
        frames[...] = batch
        self.held = True
        weakref.finalize(frames, setattr, self, "held", False)
        tensor = torch.from_numpy(frames).as_subclass(_Filled)
        tensor.block = self
        return tensor


class _Blocks:
    """The blocks of this process."""

    def __init__(self) -> None:
        self.process, self.name, self.made = 0, "", 0
        self.blocks: list[_Block] = []

    def free(self, size: int) -> Optional[_Block]:
        """A block with room for `size` bytes, None if too many are in use."""
        if self.process != os.getpid():
            # What a forked process has of another is not its own.
            self.process, self.name, self.made, self.blocks = os.getpid(), secrets.token_hex(8), 0, []
        free = [block for block in self.blocks if block.is_free()]
        for block in free:
            if block.fits(size):
                return block
        self.blocks = [block for block in self.blocks if block not in free]
        if len(self.blocks) == _MOST:
            return None
        self.blocks.append(_Block(size, self.made))
        self.made += 1
        return self.blocks[-1]


_blocks = _Blocks()
# The blocks that this process has received from each worker, by number.
_received: dict[str, dict[int, NDArray[np.uint8]]] = {}


def _send(tensor: _Filled) -> Any:
    """What is sent in place of a tensor: its block the first time, and the number of the block later."""
    block = tensor.block
    block.bytes[_USED] = 1
    memory = None if block.bytes[_RECEIVED] else block.memory
    worker = (_blocks.process, _blocks.name)
    return _receive, (worker, block.number, memory, tensor.numpy().dtype.str, tuple(tensor.shape))


ForkingPickler.register(_Filled, _send)


def _receive(
    worker: tuple[int, str], number: int, memory: Optional[torch.Tensor], dtype: str, shape: tuple[int, ...]
) -> torch.Tensor:
    """Makes the tensor that was sent, in the training process."""
    process, name = worker
    if memory is None:
        block = _received[name][number]
    else:
        block = memory.numpy()
        for sender in (child for child in multiprocessing.active_children() if child.ident == process):
            if name not in _received:
                _received[name] = {}
                # The iterator of DataLoader has the Process, and so the blocks go with the iterator.
                weakref.finalize(sender, _received.pop, name)
            _received[name][number] = block
            block[_RECEIVED] = 1
    frames = _frames(block, dtype, shape)
    weakref.finalize(frames, _free, block, os.getpid())
    return torch.from_numpy(frames)


def _free(block: NDArray[np.uint8], receiver: int) -> None:
    # A process that was forked from the receiver has the tensor too, but doesn't decide about the block.
    if os.getpid() == receiver:
        block[_USED] = 0


def _frames(block: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.ndarray(shape, dtype, block, _HEADER)
