"""The speed of Tonic's own loading strategies, on one file under the reference recipe.

    python tonic_loading.py IN.h5 [--workers 2] [--until naive] [--json]

    loop            one process, events to frames, nothing batched or kept
    naive           DataLoader, frames made again for every batch
    disk_cache      DiskCachedDataset, first epoch (which fills it) and second (of three later ones, the median)
    memory_cache    MemoryCachedDataset over the disk cache, first and second epoch
    sparse          batches held as sparse COO tensors, made dense one after another

Batches of 128, shuffled, padded to their longest sample, the last partial one dropped. Files written a moment ago are
read from the page cache, so this is Tonic at its best.
"""
import argparse
import json
import os
import pathlib
import tempfile
import time

import tonic

import reference


def rate(batches):
    """Batches and samples per second of one pass."""
    start, count = time.perf_counter(), 0
    for _ in batches:
        count += 1
    batches_per_s = count / (time.perf_counter() - start)
    return {"batches_per_s": batches_per_s, "samples_per_s": batches_per_s * reference.BATCH}


def median_rate(batches):
    """The median of three passes."""
    return sorted((rate(batches) for _ in range(3)), key=lambda r: r["batches_per_s"])[1]


def measure(path, workers, cache):
    """Yields the name and rates of each strategy, and the bytes that its cache takes."""
    data = reference.Heidelberg(path, reference.recipe())

    def batches(dataset, workers=workers):
        return reference.batches(dataset, workers)

    start = time.perf_counter()
    count = min(len(data), 512)
    for i in range(count):
        data[i]
    yield "loop", {"samples_per_s": count / (time.perf_counter() - start)}

    yield "naive", rate(batches(data))

    on_disk = tonic.DiskCachedDataset(data, cache_path=cache)
    yield "disk_cache_first_epoch", rate(batches(on_disk))
    yield "disk_cache_second_epoch", median_rate(batches(on_disk))
    files = list(pathlib.Path(cache).glob("*"))
    yield "disk_cache", {"bytes_per_sample": sum(f.stat().st_size for f in files) / len(files)}

    # Each worker would fill a cache of its own.
    in_memory = tonic.MemoryCachedDataset(on_disk)
    yield "memory_cache_first_epoch", rate(batches(in_memory, workers=0))
    yield "memory_cache_second_epoch", median_rate(batches(in_memory, workers=0))

    sparse = [frames.squeeze().to_sparse().coalesce() for frames, _ in batches(on_disk)]
    size = sum(s.indices().nbytes + s.values().nbytes for s in sparse)
    to_dense = rate(batch.to_dense() for _ in range(3) for batch in sparse)
    yield "sparse", {**to_dense, "bytes_per_sample": size / len(sparse) / reference.BATCH}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--until", metavar="WAY", help="the last way to measure")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end and nothing else")
    args = parser.parse_args()
    report = {"peer": f"tonic {tonic.__version__}", "workers": args.workers, "cpus": os.cpu_count(), "batch": reference.BATCH}
    with tempfile.TemporaryDirectory() as cache:
        for name, figures in measure(args.file, args.workers, cache):
            report[name] = figures
            if not args.json:
                print(f"{name:26s}" + "".join(f"{value:12.2f} {key}" for key, value in figures.items()), flush=True)
            if name == args.until:
                break
    if args.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
