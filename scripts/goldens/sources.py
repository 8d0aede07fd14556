"""Files of layouts that need another program to be written, and what Tonic reads in them.

    python sources.py ../../tests/data/sources            # fixtures, a few kB each
    python sources.py --real DATA ../../tests/data/goldens/camera_digests.json

Fixtures:

- `ntidigits.h5`: N-TIDIGITS18's layout, made-up spikes; `ntidigits.json`: for each part, all samples and single digits,
  what Tonic's NTIDIGITS18 gives of it: t, x, p and the target.
- `unknown_filter.h5`: DSEC's layout with events/t under HDF5 filter 36559, which here inverts every byte: the tests
  compile a plugin that does, or have none. `many_parameters.h5`: the same under filter 32999 with 40 parameters.
- `virtual.h5`: virtual columns of 64-bit integers with selections that the HDF5 wrapper cannot write. `growing/t` and so
  on: unlimited, of events/t in live.h5. `numbered/t`: blocks of 1000, of events/t in n0.h5, n1.h5, ...
  `irregular/t`: 2000 entries, 0 to 499 and 1200 to 1699 from events/t in a.h5 and the others in b.h5.
- `members.h5`: records of six events whose members are arrays of several axes. Those of `one/events` and
  `nested/events` (in member `a`) have one entry, `several/events` has t of shape (2, 1).
- `bitfield.h5`: DSEC's layout, with polarities in an HDF5 bitfield of 8 bits.

Real recordings, which stay where they are (TONIC_REAL_DATA of the tests): for each file, cut into 100 ms from its first
event on, the number of events of each piece and the first 16 hex characters of BLAKE3 over T as u32 and, for every
occupied cell of Tonic's ToFrame(time_window=10_000, include_incomplete=True), its index in the (T, P, H, W) array as u64
and its count as u32, all little-endian. Events are read with h5py and hdf5plugin.
"""
import argparse
import json
import os

import blake3
import h5py
import numpy as np
from tonic import datasets, transforms

FILES = {"davis346_dseclayout.h5": (346, 260, 2), "gen4_evk4_1280x720_dseclayout.h5": (1280, 720, 2)}


class Digits(datasets.NTIDIGITS18):
    """Tonic's reader, pointed at any file of the layout instead of a download."""

    def __init__(self, path, train, single):
        self.given = path
        super().__init__(os.path.dirname(path), train=train, single_digits=single)

    def _check_exists(self):
        self.file_path = self.given
        return True


def ntidigits(path):
    rng = np.random.default_rng(18)
    said = {"train": ["1", "o7z", "z", "34", "o", "9", "1", "o7z"], "test": ["4", "o", "77"]}
    with h5py.File(path, "w") as file:
        for part, digits in said.items():
            names = [f"{'man' if i % 2 else 'woman'}-ab-{i}-{d}" for i, d in enumerate(digits)]
            file[f"{part}_labels"] = np.array([name.encode() for name in names], dtype="S24")
            for i, name in enumerate(names):
                n = 0 if (part, i) == ("test", 2) else int(rng.integers(3, 12))
                file[f"{part}_addresses/{name}"] = rng.integers(0, 64, n).astype(np.uint8 if i % 3 else np.float64)
                file[f"{part}_timestamps/{name}"] = np.sort(rng.random(n) * 1.5)
    found = {}
    for part in said:
        for single in (False, True):
            data = Digits(path, part == "train", single)
            samples = []
            for i in range(len(data)):
                events, target = data[i]
                samples.append([events["t"].tolist(), events["x"].tolist(), events["p"].tolist(), target])
            found[f"{part}{'-single' if single else ''}"] = samples
    with open(path.replace(".h5", ".json"), "w") as out:
        json.dump(found, out, separators=(",", ":"))
        out.write("\n")


def filtered(path, number, parameters, code):
    times = np.arange(0, 50_000, 1_000, dtype="<u4")
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((len(times),))
        plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL, parameters)
        group = file.create_group("events")
        space = h5py.h5s.create_simple((len(times),))
        t = h5py.h5d.create(group.id, b"t", h5py.h5t.STD_U32LE, space, plist)
        t.write_direct_chunk((0,), bytes(code(b) for b in times.tobytes()), 0)
        group["x"] = np.arange(50, dtype=np.uint16) % 40
        group["y"] = np.arange(50, dtype=np.uint16) % 30
        group["p"] = np.arange(50, dtype=np.uint8) % 2


def virtual(path):
    endless = h5py.h5s.UNLIMITED
    first = np.r_[0:500, 1200:1700]
    second = np.setdiff1d(np.arange(2000), first)
    with h5py.File(path, "w") as file:
        for name in "txyp":
            column = f"events/{name}"
            layout = h5py.VirtualLayout(shape=(1000,), maxshape=(None,), dtype="<i8")
            source = h5py.VirtualSource("live.h5", column, shape=(1000,), maxshape=(None,))
            layout[:endless] = source[:endless]
            file.create_virtual_dataset(f"growing/{name}", layout)
            blocks = h5py.h5s.create_simple((1000,), (endless,))
            blocks.select_hyperslab((0,), (endless,), (1000,), (1000,))
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_virtual(blocks, b"n%b.h5", column.encode(), h5py.h5s.create_simple((1000,)))
            space = h5py.h5s.create_simple((1000,), (endless,))
            group = file.require_group("numbered")
            h5py.h5d.create(group.id, name.encode(), h5py.h5t.STD_I64LE, space, plist)
            layout = h5py.VirtualLayout(shape=(2000,), dtype="<i8")
            layout[first] = h5py.VirtualSource("a.h5", column, shape=(1000,))
            layout[second] = h5py.VirtualSource("b.h5", column, shape=(1000,))
            file.create_virtual_dataset(f"irregular/{name}", layout)


def members(path):
    n = 6
    with h5py.File(path, "w") as file:
        one = [("t", "<i8", (1, 1)), ("x", "<i4", (1, 1, 1)), ("y", "u1", (1,)), ("p", "i1")]
        box = [("t", ">f4", (1, 1)), ("xy", "<i2", (2,)), ("p", "?", (1, 1))]
        several = [("t", "<i8", (2, 1)), ("x", "<i4"), ("y", "<i4"), ("p", "i1")]
        for name, dtype in (("one", one), ("nested", [("a", box)]), ("several", several)):
            events = np.zeros(n, dtype=dtype)
            inner = events["a"] if name == "nested" else events
            inner["t"].reshape(n, -1)[:] = np.arange(10, 70, 10)[:, None]
            inner["p"].reshape(n)[:] = [1, 0, 1, 0, 0, 1]
            x, y = (inner["xy"][:, 0], inner["xy"][:, 1]) if name == "nested" else (inner["x"], inner["y"])
            x.reshape(n)[:], y.reshape(n)[:] = np.arange(n), np.arange(n)[::-1]
            file[f"{name}/events"] = events


def bitfield(path):
    n = 8
    with h5py.File(path, "w") as file:
        group = file.create_group("events")
        group["t"], group["x"], group["y"] = np.arange(n) * 1000, np.arange(n, dtype="u2"), np.arange(n, dtype="u2") % 3
        p = h5py.h5d.create(group.id, b"p", h5py.h5t.STD_B8LE, h5py.h5s.create_simple((n,)))
        p.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(n, dtype="u1") % 2, mtype=h5py.h5t.STD_B8LE)


def digests(path, sensor):
    import hdf5plugin  # noqa: F401, which makes Blosc known to h5py

    with h5py.File(path) as file:
        columns = {name: file["events"][name][:] for name in "txyp"}
    events = np.zeros(len(columns["t"]), dtype=[("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.int8)])
    for name, column in columns.items():
        events[name] = column
    events["p"] = np.where(columns["p"] > 0, 1, 0)
    to_frame = transforms.ToFrame(sensor_size=sensor, time_window=10_000, include_incomplete=True)
    t, start = events["t"], int(events["t"][0])
    assert np.all(np.diff(t) >= 0)
    for begin in range(start, int(t[-1]) + 1, 100_000):
        piece = events[(t >= begin) & (t < begin + 100_000)]
        if len(piece) == 0:
            yield 0, None
            continue
        frames = to_frame(piece)
        cells = np.flatnonzero(frames)
        entries = np.empty(len(cells), dtype=[("cell", "<u8"), ("count", "<u4")])
        entries["cell"], entries["count"] = cells, frames.ravel()[cells]
        content = np.uint32(len(frames)).astype("<u4").tobytes() + entries.tobytes()
        yield len(piece), blake3.blake3(content).hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--real", help="the folder of real recordings")
    args = parser.parse_args()
    if args.real:
        found = {name: list(digests(os.path.join(args.real, name), size)) for name, size in FILES.items()}
        with open(args.out, "w") as out:
            json.dump(found, out, separators=(",", ":"))
            out.write("\n")
        return
    ntidigits(os.path.join(args.out, "ntidigits.h5"))
    filtered(os.path.join(args.out, "unknown_filter.h5"), 36559, (), lambda byte: byte ^ 0xFF)
    filtered(os.path.join(args.out, "many_parameters.h5"), 32999, tuple(range(40)), lambda byte: byte)
    members(os.path.join(args.out, "members.h5"))
    virtual(os.path.join(args.out, "virtual.h5"))
    bitfield(os.path.join(args.out, "bitfield.h5"))


if __name__ == "__main__":
    main()
