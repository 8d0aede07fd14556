"""How the batches of a ShardDataset get from the workers of torch's DataLoader to the training process. Needs torch.

default_collate stacks the samples of a batch in new shared memory, and the first write to new memory takes longer than
making the batch. Here a worker copies its batches to blocks of shared memory that it uses again: the training process
marks a block as free when nothing uses its tensor any more. A tensor that is no longer the whole batch when it is sent,
such as a view of the batch, is sent as torch sends other tensors.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import platform
import secrets
import weakref
from multiprocessing.reduction import ForkingPickler
from typing import Any, Iterable, Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch.multiprocessing.reductions import reduce_tensor
from torch.utils.data import get_worker_info
from torch.utils.data._utils import collate

# A block begins with a header. Byte _STATE is the state of the block. Byte _RECEIVED is 1 if the training process has
# received the block.
_STATE, _RECEIVED = 0, 1
_HEADER = 64
_FREE, _USED, _LOST = 0, 1, 2
# Maximum number of blocks of a worker. If all are in use, for example in list(DataLoader), default_collate stacks the
# samples of further batches.
_MOST = 16
# On other processors, a process could see a new state before the numbers that were written earlier.
_ORDERED = platform.machine() == "x86_64"


class _Together(tuple):  # type: ignore[type-arg]
    """A sample of a batch: (frames, label), where `frames` is a part of the frames of the batch."""

    batch: NDArray[Any]
    place: int

    def __reduce__(self) -> Any:
        return tuple, (tuple(self),)


def together(batch: NDArray[Any], labels: Iterable[int]) -> list[tuple[NDArray[Any], int]]:
    """The samples of a batch, (frames, label) each, for default_collate or for any other function. `batch` is the array
    of all frames, whose first dimension is the sample."""
    samples: list[Any] = []
    for place, sample in enumerate(zip(batch, labels)):
        samples.append(_Together(sample))
        samples[-1].batch, samples[-1].place = batch, place
    return samples


# If this version of torch has no such map, default_collate stacks the samples like other tuples.
_map: dict[Any, Any] = getattr(collate, "default_collate_fn_map", {})
_torchs = {kind: _map.get(kind) for kind in (np.ndarray, int)}


def _collate(samples: list[Any], *, collate_fn_map: Any = None) -> Any:
    """The function of default_collate for _Together samples. Returns the frames and the labels of the batch."""
    batch, functions = samples[0].batch, collate_fn_map or {}
    whole = len(samples) == len(batch) and all(
        type(sample) is _Together and sample.batch is batch and sample.place == place
        for place, sample in enumerate(samples)
    )
    usual = all(functions.get(kind) is function for kind, function in _torchs.items())
    block = _blocks.free(batch.nbytes) if whole and usual and _ORDERED and get_worker_info() is not None else None
    if block is None:
        return collate.collate([tuple(sample) for sample in samples], collate_fn_map=collate_fn_map)
    return [block.filled(batch), torch.tensor([label for _, label in samples]).as_subclass(_Small)]


_map[_Together] = _collate


class _Plain(torch.Tensor):  # type: ignore[misc, unused-ignore]
    """A tensor whose views and results are tensors of torch."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __deepcopy__(self, memo: Any) -> torch.Tensor:
        return copy.deepcopy(_plain(self), memo)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    plain: torch.Tensor = tensor.detach().as_subclass(torch.Tensor)
    return plain.requires_grad_(tensor.requires_grad)


class _Small(_Plain):
    """A tensor of integers. The message to the training process has its numbers, so it needs no shared memory."""


def _send_small(tensor: _Small) -> Any:
    if tensor.dtype != torch.int64:
        return reduce_tensor(_plain(tensor))
    return torch.tensor, (tensor.tolist(),)


class _Filled(_Plain):
    """The frames of a batch, in a block of the worker."""

    block: _Block
    sent: bool

    def is_whole(self) -> bool:
        """Whether the tensor still is what `filled` has made."""
        first = self.block.frames
        same = self.data_ptr() == first.data_ptr() and self.is_contiguous() and not self.requires_grad
        return same and self.shape == first.shape and self.dtype == first.dtype


class _Block:
    """Shared memory of a worker, for one batch at a time."""

    frames: torch.Tensor  # frames of the batch; keeps no reference to the tensor that `filled` returns

    def __init__(self, size: int, number: int) -> None:
        self.memory = torch.zeros(_HEADER + size, dtype=torch.uint8).share_memory_()
        self.bytes: NDArray[np.uint8] = self.memory.numpy()
        self.number = number
        # Whether something in the worker uses the block.
        self.held = False

    def fits(self, size: int) -> bool:
        return len(self.bytes) >= _HEADER + size

    def is_free(self) -> bool:
        return not self.held and self.bytes[_STATE] == _FREE

    def is_lost(self) -> bool:
        return not self.held and self.bytes[_STATE] == _LOST

    def filled(self, batch: NDArray[Any]) -> torch.Tensor:
        frames = _frames(self.bytes, batch.dtype.str, batch.shape)
        frames[...] = batch
        self.frames = torch.from_numpy(_frames(self.bytes, batch.dtype.str, batch.shape))
        self.held = True
        weakref.finalize(frames, setattr, self, "held", False)
        tensor = torch.from_numpy(frames).as_subclass(_Filled)
        tensor.block, tensor.sent = self, False
        return tensor


class _Blocks:
    """The blocks of this process."""

    def __init__(self) -> None:
        self.process, self.name, self.made = 0, "", 0
        self.blocks: list[_Block] = []

    def free(self, size: int) -> Optional[_Block]:
        """A block with room for `size` bytes, None if too many are in use."""
        if self.process != os.getpid():
            # The blocks that a forked process finds here belong to its parent.
            self.process, self.name, self.made, self.blocks = os.getpid(), secrets.token_hex(8), 0, []
        free = [block for block in self.blocks if block.is_free()]
        for block in free:
            if block.fits(size):
                return block
        self.blocks = [block for block in self.blocks if block not in free and not block.is_lost()]
        if len(self.blocks) == _MOST:
            return None
        self.blocks.append(_Block(size, self.made))
        self.made += 1
        return self.blocks[-1]


_blocks = _Blocks()


def _send(tensor: _Filled) -> Any:
    """The message that is sent in place of a tensor. It has the memory of the block until the training process has
    received it, and later only the number of the block."""
    block = tensor.block
    if tensor.sent or not tensor.is_whole():
        return reduce_tensor(_plain(tensor))
    memory = None if block.bytes[_RECEIVED] else block.memory
    worker = (_blocks.process, _blocks.name, [block.number for block in _blocks.blocks])
    message = (worker, block.number, memory, tensor.numpy().dtype.str, tuple(tensor.shape))
    tensor.sent = True
    block.bytes[_STATE] = _USED
    return _receive, message


ForkingPickler.register(_Small, _send_small)
ForkingPickler.register(_Filled, _send)

# The blocks that this process has received from each worker, by number.
_received: dict[str, dict[int, NDArray[np.uint8]]] = {}
# How often this process has been forked.
_forks = 0


def _receive(
    worker: tuple[int, str, list[int]],
    number: int,
    memory: Optional[torch.Tensor],
    dtype: str,
    shape: tuple[int, ...],
) -> torch.Tensor:
    """Makes the tensor that was sent, in the training process. `worker`: the worker's process id, its name, and the
    numbers of its blocks."""
    process, name, numbers = worker
    if memory is None:
        block = _received[name][number]
    else:
        block = memory.numpy()
        for sender in (child for child in multiprocessing.active_children() if child.ident == process):
            if name not in _received:
                _received[name] = {}
                # Only the iterator of DataLoader keeps the Process, so the blocks are dropped with the iterator.
                weakref.finalize(sender, _received.pop, name)
            _received[name][number] = block
            block[_RECEIVED] = 1
    received = _received.get(name, {})
    for gone in set(received).difference(numbers):
        del received[gone]
    frames = _frames(block, dtype, shape)
    weakref.finalize(frames, _free, block, os.getpid(), _forks)
    return torch.from_numpy(frames)


def _free(block: NDArray[np.uint8], receiver: int, forks: int) -> None:
    # Only the receiver changes the state. If the receiver was forked meanwhile, the child may still use the batch, so
    # the block is not used again.
    if os.getpid() == receiver:
        block[_STATE] = _FREE if forks == _forks else _LOST


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(before=_count_fork)


def _frames(block: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.ndarray(shape, dtype, block, _HEADER)
