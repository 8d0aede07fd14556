"""Digests of Tonic's frames for every recording of a file, so that whole files can be compared without storing frames.

    python fsdd_digests.py fsdd_train.h5 fsdd_test.h5 -o ../../tests/data/goldens/fsdd_digests.json

A digest is the first 16 hex characters of BLAKE3 over T as u32 and then the T*100 counts as u32, all little-endian,
frame by frame, under the reference recipe: 700 channels to 100, t <= 1,000,000 us, frames of 4,000 us with the
incomplete last one. Events come through Tonic's own SHD/SSC reader; its times are checked here to be
trunc(float64(seconds) * 1e6). The JSON maps a file's name to its list of digests.

The recordings are the Free Spoken Digit Dataset through lauscher 1.0.1, in SHD's layout; they are not part of this
repository.
"""
import argparse
import json
import os

import blake3
import h5py
import numpy as np
import tonic
from tonic import transforms

CHANNELS = 100


class Heidelberg(tonic.datasets.hsd.HSD):
    """Tonic's reader, pointed at any file of the layout instead of a download."""

    def __init__(self, path):
        self.location_on_system, self.data_filename = os.path.split(os.path.abspath(path))
        self.transform = self.target_transform = None


def digests(path):
    recipe = transforms.Compose([
        transforms.Downsample(spatial_factor=CHANNELS / 700),
        transforms.CropTime(max=1_000_000),
        transforms.ToFrame(sensor_size=(CHANNELS, 1, 1), time_window=4_000, include_incomplete=True),
    ])
    seconds = h5py.File(path)["spikes/times"]
    data = Heidelberg(path)
    for i in range(len(data)):
        events, _ = data[i]
        assert np.array_equal(events["t"], np.trunc(seconds[i].astype(np.float64) * 1e6).astype(np.int64)), (path, i)
        frames = recipe(events)
        content = np.uint32(len(frames)).astype("<u4").tobytes() + frames.astype("<u4").tobytes()
        assert frames.min() >= 0 and len(content) == 4 + len(frames) * CHANNELS * 4, (path, i)
        yield blake3.blake3(content).hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("-o", "--out", required=True)
    args = parser.parse_args()
    found = {os.path.basename(path): list(digests(path)) for path in args.files}
    with open(args.out, "w") as file:
        json.dump(found, file, separators=(",", ":"))
        file.write("\n")
    print({name: len(values) for name, values in found.items()})


if __name__ == "__main__":
    main()
