#!/usr/bin/env python3
"""Writes the frames of a set as MosaicML streaming and as LitData store them, and times one pass over them from a server.

    remote_loaders.py write NPY_DIR OUT     frames of `tonic-prep export --npy`, to OUT/mosaicml and OUT/litdata
    remote_loaders.py mosaicml|litdata s3://BUCKET/PATH --workers 2 --json

A pass goes from nothing on this machine to the last sample, through the loader that their documentation shows, with its
defaults. Samples are read and not put together to batches of one shape: that is not their fetch. The time begins after
the imports and ends after the last sample. The server is that of AWS_ENDPOINT_URL.
"""
import argparse
import json
import os
import pathlib
import tempfile
import time

BATCH = 128


def write(folder, out):
    import numpy
    from litdata.streaming.cache import Cache
    from streaming import MDSWriter

    folder, out = pathlib.Path(folder), pathlib.Path(out)
    labels = numpy.load(folder / "labels.npy")

    def samples():
        for i, label in enumerate(labels):
            frames = numpy.load(folder / f"frames_{i}.npy")
            yield {"x": frames.reshape(len(frames), -1).astype(numpy.uint8), "y": int(label)}

    columns = {"x": "ndarray", "y": "int"}
    with MDSWriter(out=str(out / "mosaicml"), columns=columns, compression="zstd", hashes=["xxh64"]) as writer:
        for sample in samples():
            writer.write(sample)
    cache = Cache(str(out / "litdata"), chunk_bytes="64MB", compression="zstd")
    for i, sample in enumerate(samples()):
        cache[i] = sample
    cache.done()
    cache.merge()


def mosaicml(url, local, workers):
    os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    from streaming import StreamingDataset
    from torch.utils.data import DataLoader

    start = time.perf_counter()
    dataset = StreamingDataset(remote=url, local=local, batch_size=BATCH, shuffle=True)
    loader = DataLoader(dataset, batch_size=BATCH, num_workers=workers, collate_fn=len)
    return sum(loader), start


def litdata(url, local, workers):
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader

    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # it has no option for a server without TLS
    options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    start = time.perf_counter()
    dataset = StreamingDataset(url, cache_dir=local, storage_options=options, shuffle=True)
    loader = StreamingDataLoader(dataset, batch_size=BATCH, num_workers=workers, collate_fn=len)
    return sum(loader), start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["write", "mosaicml", "litdata"])
    parser.add_argument("places", nargs="+", help="NPY_DIR OUT, or URL")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the loader (2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    if args.what == "write":
        write(*args.places)
    else:
        with tempfile.TemporaryDirectory() as local:
            samples, start = {"mosaicml": mosaicml, "litdata": litdata}[args.what](*args.places, local, args.workers)
            seconds = time.perf_counter() - start
        print(json.dumps({"samples": samples, "seconds": seconds}))
