"""The order of an epoch, written from FORMAT.md alone. Needs numpy and blake3."""

import struct

import blake3
import numpy as np


def permutation(base, stream, n):
    """permute(key(stream), n, i) for all i."""
    key = np.frombuffer(blake3.blake3(base + struct.pack("<Q", stream)).digest(), "<u4").astype(np.uint64)
    b = next(b for b in range(1, 17) if 4**b >= n)
    mask, out, todo = np.uint64(2**b - 1), np.arange(n, dtype=np.uint64), np.ones(n, bool)
    while todo.any():
        left, right = out[todo] >> np.uint64(b), out[todo] & mask
        for k in key:
            h = right ^ k
            for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
                h = ((h ^ (h >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(2**32 - 1)
            left, right = right, left ^ (h & mask)
        out[todo] = left << np.uint64(b) | right
        todo = out >= n
    return out.astype(np.int64)


def order(set_id, samples, chunk_samples, seed, epoch):
    """The index of the sample at each position of an epoch."""
    base, chunks = bytes.fromhex(set_id) + struct.pack("<QQ", seed, epoch), -(-samples // chunk_samples)
    slots, per_window = permutation(base, 0, chunks), max(1, 8192 // chunk_samples)
    numbers = [np.arange(c * chunk_samples, min((c + 1) * chunk_samples, samples)) for c in slots]
    windows = [np.concatenate(numbers[at : at + per_window]) for at in range(0, chunks, per_window)]
    return np.concatenate([window[permutation(base, 1 + w, len(window))] for w, window in enumerate(windows)])
