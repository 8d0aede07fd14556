"""What the peers are measured on, said once: the reference recipe with Tonic's own transforms, and the reference
network with Sinabs' own layers. Both are what a user of those packages would write from their tutorials."""
import os

import tonic
from tonic import transforms

CHANNELS = 100  # of the cochlea's 700, after Downsample
CROP_US = 1_000_000
WINDOW_US = 4_000
STEPS = CROP_US // WINDOW_US  # no recording has more frames
HIDDEN = 128
BATCH = 128
LEARNING_RATE = 1e-3


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


def network(classes):
    """Three hidden layers of integrate-and-fire neurons and a linear readout, all with Sinabs' defaults."""
    import sinabs.layers as sl
    from torch import nn

    return nn.Sequential(
        nn.Linear(CHANNELS, HIDDEN), sl.IAF(),
        nn.Linear(HIDDEN, HIDDEN), sl.IAF(),
        nn.Linear(HIDDEN, HIDDEN), sl.IAF(),
        nn.Linear(HIDDEN, classes),
    )
