"""The task of the peers: the reference recipe with Tonic's own transforms and loader, as a user would
write them from its tutorials."""
import os

import tonic
from tonic import transforms
from torch.utils.data import DataLoader

from step import BATCH, CHANNELS, LEARNING_RATE  # noqa: F401, for those who import this

CROP_US = 1_000_000
WINDOW_US = 4_000
STEPS = CROP_US // WINDOW_US  # no recording has more frames


class Heidelberg(tonic.datasets.hsd.HSD):
    """Tonic's own SHD/SSC reader, pointed at any file of that layout instead of a download."""

    def __init__(self, path, transform=None):
        self.location_on_system, self.data_filename = os.path.split(os.path.abspath(path))
        self.transform, self.target_transform, self.transforms = transform, None, None


def recipe():
    """Events to frames (T, 1, CHANNELS)."""
    return transforms.Compose([
        transforms.Downsample(spatial_factor=CHANNELS / 700),
        transforms.CropTime(max=CROP_US),
        transforms.ToFrame(sensor_size=(CHANNELS, 1, 1), time_window=WINDOW_US, include_incomplete=True),
    ])


def batches(dataset, workers):
    """Shuffled batches, padded to their longest sample, without the last partial one."""
    pad = tonic.collation.PadTensors(batch_first=True)
    return DataLoader(dataset, BATCH, shuffle=True, drop_last=True, collate_fn=pad, num_workers=workers)
