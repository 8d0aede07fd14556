"""Shard sets of event recordings in Python: samples as NumPy arrays, and batches at the speed of the machine.

    import tonic_shards as ts

    train = ts.convert("ssc_train.h5", "shards/train")    # or ts.ShardSet("shards/train")
    train[7].dense()                                      # (T, P, H, W)
    for frames, labels in ts.Loader("shards/train", 128, layout="btc"):
        ...                                               # (B, T, C) float32, (B,) int64
"""

from . import tonic
from ._native import CorruptError, IncompatibleError, Loader, Sample, ShardSet, __version__, epoch_order
from .convert import convert
from .dataset import BatchSampler, ShardDataset
from .run import Predictions, Run, load_run, read_predictions
from .sparse import SparseBatch, SparseSample
from .writer import Writer

__all__ = [
    "BatchSampler",
    "CorruptError",
    "IncompatibleError",
    "Loader",
    "Predictions",
    "Run",
    "Sample",
    "ShardDataset",
    "ShardSet",
    "SparseBatch",
    "SparseSample",
    "Writer",
    "__version__",
    "convert",
    "epoch_order",
    "load_run",
    "read_predictions",
    "tonic",
]
