#!/usr/bin/env python3
"""MosaicML streaming, LitData and WebDataset: writes the frames of a set as they store them, and times their loaders.

    loaders.py write NPY_DIR OUT [--only NAME ...] [--compression zstd] [--steps 250]
    loaders.py mosaicml|litdata s3://BUCKET/PATH [--workers 2] [--json]
    loaders.py mosaicml|litdata|webdataset DIR [--workers 2] [--json]

`write` takes the frames of `tonic-prep export --npy`, and writes OUT/mosaicml, OUT/litdata and OUT/webdataset.

From a URL, a pass goes from nothing on this machine to the last sample. Samples are read and not put together to batches
of one shape: that is not their fetch. The time begins after the imports and ends after the last sample. The server is
that of AWS_ENDPOINT_URL. WebDataset keeps no copy, so it has no such pass.

From a directory, the second epoch counts: the first starts the workers, which stay, and brings the files into the page
cache. Batches of 128, shuffled, the last partial one dropped, are dense float32 tensors (128, T, C).

Frames are dense uint8: a byte for each cell, where compressed or sparse forms would have to be decoded by each worker, in
Python. For a URL, each sample has its own length, and files are compressed with zstd, which is what travels. For a
directory, samples are padded to --steps when they are written, so that batches are stacked by torch's default collate, and
files are not compressed. Workers hand over uint8, a quarter of the bytes, and the training process makes floats of it.
All loaders are as their documentation shows them, with its defaults:
- MosaicML: MDSWriter, StreamingDataset(shuffle=True) in torch's DataLoader. The column has its shape in the index.
- LitData: chunks of 64 MB, StreamingDataset(shuffle=True) in StreamingDataLoader.
- WebDataset: .npy and .cls in eight tar files, which the workers share; shards shuffled, a buffer of 1,000 samples
  shuffled, decode().to_tuple().batched() in WebLoader.
"""
import argparse
import json
import os
import pathlib
import tempfile
import time

BATCH = 128
SHARDS = 8


def samples(folder, steps):
    """The frames (T, C) of each sample, and its label."""
    import numpy

    for i, label in enumerate(numpy.load(folder / "labels.npy")):
        frames = numpy.load(folder / f"frames_{i}.npy")
        frames = frames.reshape(len(frames), -1)
        assert frames.max(initial=0) < 256, f"sample {i}: counts of more than a byte"
        if steps:
            frames = numpy.pad(frames[:steps], [(0, max(0, steps - len(frames))), (0, 0)])
        yield frames.astype(numpy.uint8), int(label)


def write_mosaicml(folder, out, compression, steps):
    from streaming import MDSWriter

    frames, _ = next(samples(folder, steps))
    form = f"ndarray:uint8:{steps},{frames.shape[1]}" if steps else "ndarray"
    columns = {"x": form, "y": "int"}
    with MDSWriter(out=str(out), columns=columns, compression=compression, hashes=["xxh64"]) as writer:
        for frames, label in samples(folder, steps):
            writer.write({"x": frames, "y": label})


def write_litdata(folder, out, compression, steps):
    from litdata.streaming.cache import Cache

    cache = Cache(str(out), chunk_bytes="64MB", compression=compression)
    for i, (frames, label) in enumerate(samples(folder, steps)):
        cache[i] = {"x": frames, "y": label}
    cache.done()
    cache.merge()


def write_webdataset(folder, out, compression, steps):
    import webdataset

    assert compression is None, "members of its tar files are read as they are"
    out.mkdir()
    every = -(-len(list(folder.glob("frames_*.npy"))) // SHARDS)
    with webdataset.ShardWriter(f"{out}/%05d.tar", maxcount=every, verbose=0) as writer:
        for i, (frames, label) in enumerate(samples(folder, steps)):
            writer.write({"__key__": f"{i:08}", "x.npy": frames, "y.cls": label})


def mosaicml(remote, local, workers, **loading):
    if remote:
        os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    from streaming import StreamingDataset
    from torch.utils.data import DataLoader

    dataset = lambda: StreamingDataset(remote=remote, local=local, batch_size=BATCH, shuffle=True)
    return lambda: DataLoader(dataset(), batch_size=BATCH, num_workers=workers, **loading)


def litdata(remote, local, workers, **loading):
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader

    options = {}
    if remote:
        downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # it has no option for a server without TLS
        options = {"cache_dir": local, "storage_options": {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}}
    dataset = lambda: StreamingDataset(remote or local, shuffle=True, **options)
    return lambda: StreamingDataLoader(dataset(), batch_size=BATCH, num_workers=workers, **loading)


def webdataset(remote, local, workers, **loading):
    import webdataset

    assert not remote, "it keeps no copy"
    files = sorted(map(str, pathlib.Path(local).glob("*.tar")))
    del loading["drop_last"]

    def loader():
        dataset = webdataset.WebDataset(files, shardshuffle=SHARDS).shuffle(1000)
        batches = dataset.decode().to_tuple("x.npy", "y.cls").batched(BATCH, partial=False)
        return webdataset.WebLoader(batches, batch_size=None, num_workers=workers, **loading)

    return loader


def from_url(loader, url, workers):
    with tempfile.TemporaryDirectory() as local:
        make = loader(url, local, workers, collate_fn=len)
        start = time.perf_counter()
        count = sum(make())
        return {"samples": count, "seconds": time.perf_counter() - start}


def second_epoch(loader, folder, workers):
    batches = loader(None, folder, workers, drop_last=True, persistent_workers=workers > 0)()
    for _ in range(2):
        start, count = time.perf_counter(), 0
        for batch in batches:
            frames, labels = batch.values() if isinstance(batch, dict) else batch
            assert frames.float().shape[0] == len(labels) == BATCH
            count += 1
        seconds = time.perf_counter() - start
    return {"batches": count, "batches_per_s": count / seconds}


LOADERS = {
    "mosaicml": (write_mosaicml, mosaicml),
    "litdata": (write_litdata, litdata),
    "webdataset": (write_webdataset, webdataset),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["write", *LOADERS])
    parser.add_argument("places", nargs="+", help="NPY_DIR OUT, or a URL or a directory")
    parser.add_argument("--only", nargs="+", choices=LOADERS, default=list(LOADERS), help="which of them to write for (all)")
    parser.add_argument("--compression", help="of the files that are written: zstd (none)")
    parser.add_argument("--steps", type=int, help="frames to which samples are padded or cut (their own number)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the loader (2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    if args.what == "write":
        folder, out = map(pathlib.Path, args.places)
        for name in args.only:
            LOADERS[name][0](folder, out / name, args.compression, args.steps)
    else:
        (place,), loader = args.places, LOADERS[args.what][1]
        measured = (from_url if "://" in place else second_epoch)(loader, place, args.workers)
        print(json.dumps(measured) if args.json else measured)
