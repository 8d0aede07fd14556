"""Encodes events of a camera as files of several formats, by repeating a recording.

    python make_recordings.py IN.h5 --sensor 1280 720 -n 20000000 -o FOLDER --formats evt3 evt2 dat es aedat4

IN.h5 is in DSEC's layout. Each repetition begins 1 ms after the end of the one before. EVT 3 has a word for each event,
and no vectors. AEDAT 4 is written by dv-processing, compressed with LZ4. csv has a header, and integers.
"""
import argparse
import pathlib

import h5py
import hdf5plugin  # noqa: F401, registers Blosc
import numpy as np


def read(path):
    with h5py.File(path) as file:
        t, x, y, p = (file["events"][name][:] for name in "txyp")
    order = np.argsort(t, kind="stable")
    t = t.astype(np.int64)[order]
    return t - t[0], x[order].astype(np.uint16), y[order].astype(np.uint16), p[order].astype(np.uint8)


def changed(values):
    """Where a value differs from the one before; true for the first."""
    return np.concatenate([[True], values[1:] != values[:-1]])


def spread(counts_and_words, dtype):
    """Interleaves words: for each event, those of the first column where it is present, then those of the next."""
    present = np.stack([present for present, _ in counts_and_words], 1)
    words = np.stack([words for _, words in counts_and_words], 1).astype(dtype)
    return words[present]


def evt3(t, x, y, p):
    high, low = t >> 12 & 0xFFF, t & 0xFFF
    new_high = changed(t >> 12)
    return spread(
        [
            (new_high, 0x8000 | high),
            (changed(t) | new_high, 0x6000 | low),
            (changed(y), y),
            (np.ones(len(t), bool), 0x2000 | p.astype(np.uint16) << 11 | x),
        ],
        "<u2",
    )


def evt2(t, x, y, p):
    high = t >> 6
    event = p.astype(np.uint32) << 28 | (t & 0x3F).astype(np.uint32) << 22 | x.astype(np.uint32) << 11 | y
    return spread([(changed(high), 0x8000_0000 | high), (np.ones(len(t), bool), event)], "<u4")


def dat(t, x, y, p):
    return np.stack([t.astype("<u4"), x | y.astype("<u4") << 14 | p.astype("<u4") << 28], 1)


def csv(t, x, y, p):
    rows = zip(t.tolist(), x.tolist(), y.tolist(), p.tolist())
    return np.frombuffer("".join(f"{t},{x},{y},{p}\n" for t, x, y, p in rows).encode(), np.uint8)


def es(t, x, y, p, height, before):
    steps = np.diff(t, prepend=before)
    overflows = steps // 127
    starts = np.cumsum(overflows + 5) - 5
    out = np.full(int((overflows + 5).sum()), 255, np.uint8)
    row = height - 1 - y
    for i, column in enumerate([(steps % 127) << 1 | p, x & 255, x >> 8, row & 255, row >> 8]):
        out[starts + i] = column
    return out


HEADS = {
    "evt3": "% camera_integrator_name Prophesee\n% evt 3.0\n% format EVT3;height={h};width={w}\n% geometry {w}x{h}\n% end\n",
    "evt2": "% camera_integrator_name Prophesee\n% evt 2.0\n% format EVT2;height={h};width={w}\n% geometry {w}x{h}\n% end\n",
    "dat": "% Data file containing CD events.\n% Version 2\n% Height {h}\n% Width {w}\n",
    "csv": "t,x,y,p\n",
}
ENDINGS = {"evt3": "evt3.raw", "evt2": "evt2.raw", "dat": "dat", "es": "es", "aedat4": "aedat4", "csv": "csv"}


def write_aedat4(path, pieces, width, height):
    import dv_processing as dv

    config = dv.io.MonoCameraWriter.EventOnlyConfig("bench", (width, height), dv.CompressionType.LZ4)
    writer = dv.io.MonoCameraWriter(str(path), config)
    for t, x, y, p in pieces:
        store = dv.EventStore()
        for event in zip((t + 1).tolist(), x.tolist(), y.tolist(), p.astype(bool).tolist()):
            store.push_back(*event)
        writer.writeEvents(store)
    del writer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--sensor", type=int, nargs=2, required=True, metavar=("W", "H"))
    parser.add_argument("-n", "--events", type=int, required=True)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="FOLDER")
    parser.add_argument("--formats", nargs="+", choices=ENDINGS, default=list(ENDINGS))
    args = parser.parse_args()
    t, x, y, p = read(args.file)
    period, (width, height) = int(t[-1]) + 1000, args.sensor

    def pieces():
        left, offset = args.events, 0
        while left > 0:
            n = min(left, len(t))
            yield t[:n] + offset, x[:n], y[:n], p[:n]
            left, offset = left - n, offset + period

    for name in args.formats:
        path = args.output / f"recording.{ENDINGS[name]}"
        if name == "aedat4":
            write_aedat4(path, pieces(), width, height)
            continue
        with open(path, "wb") as file:
            if name == "es":
                file.write(b"Event Stream" + bytes([2, 0, 0, 1]) + np.array([width, height], "<u2").tobytes())
            else:
                file.write(HEADS[name].format(w=width, h=height).encode())
            if name == "dat":
                file.write(bytes([12, 8]))
            before = 0
            for piece in pieces():
                if name == "es":
                    file.write(es(*piece, height, before).tobytes())
                    before = int(piece[0][-1])
                else:
                    file.write({"evt3": evt3, "evt2": evt2, "dat": dat, "csv": csv}[name](*piece).tobytes())


if __name__ == "__main__":
    main()
