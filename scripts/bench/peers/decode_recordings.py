"""How long other readers take to decode a camera's file into arrays of NumPy (evlib: a data frame of Polars).

    python decode_recordings.py READER FILE [--repeats 3] [--json]

Prints the number of events, the sum of all x and y, and the seconds of each repetition. Readers that give packets are
not asked to join them.
"""
import argparse
import json
import pathlib
import time

import numpy as np


def faery(path):
    import faery

    return [(packet["x"], packet["y"]) for packet in faery.events_stream_from_file(path)]


def evlib(path):
    import evlib

    events = evlib.load_events(path).collect()
    return [(events["x"], events["y"])]


def expelliarmus(path):
    import expelliarmus

    encoding = {".dat": "dat"}.get(pathlib.Path(path).suffix, pathlib.Path(path).suffixes[0][1:])
    events = expelliarmus.Wizard(encoding=encoding).read(path)
    return [(events["x"], events["y"])]


def dv_processing(path):
    import dv_processing as dv

    recording, packets = dv.io.MonoCameraRecording(path), []
    while recording.isRunning():
        batch = recording.getNextEventBatch()
        if batch is not None:
            events = batch.numpy()
            packets.append((events["x"], events["y"]))
    return packets


def aedat(path):
    import aedat

    packets = [packet["events"] for packet in aedat.Decoder(path) if "events" in packet]
    return [(events["x"], events["y"]) for events in packets]


def event_stream(path):
    import event_stream

    with event_stream.Decoder(path) as decoder:
        return [(packet["x"], packet["y"]) for packet in decoder]


def tonic(path):
    import tonic.io

    events = tonic.io.read_aedat4(path)
    return [(events["x"], events["y"])]


def pandas(path):
    import pandas

    events = pandas.read_csv(path)
    return [(events["x"], events["y"])]


def loadtxt(path):
    events = np.loadtxt(path, delimiter=",", skiprows=1)
    return [(events[:, 1], events[:, 2])]


READERS = {f.__name__: f for f in (faery, evlib, expelliarmus, dv_processing, aedat, event_stream, tonic, pandas, loadtxt)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("file")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    seconds = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        packets = READERS[args.reader](args.file)
        seconds.append(time.perf_counter() - start)
        events = sum(len(x) for x, _ in packets)
        total = sum(int(np.asarray(column).astype(np.int64).sum()) for packet in packets for column in packet)
        del packets
    report = {"events": events, "sum": total, "seconds": seconds}
    print(json.dumps(report) if args.json else "\n".join(f"{key:20s} {value}" for key, value in report.items()))


if __name__ == "__main__":
    main()
