"""A reader of shard sets, written from FORMAT.md alone: the witness that the specification is enough.

Needs numpy, zstandard, xxhash and blake3. `Set(path)` checks everything that it reads. `python spec_reader.py DIR` prints
a line for each sample.
"""

import json
import pathlib
import struct
import sys

import blake3
import numpy as np
import xxhash
import zstandard

MAGIC = b"\x89TNC\r\n\x1a\n"
LEDGER = ["events_in", "binned", "cropped", "filtered", "outside", "non_finite", "cut"]
COLUMNS = [("frames", "<u4"), ("entries", "<u4"), ("label", "<u4"), ("flags", "u1"), *((name, "<u8") for name in LEDGER)]
WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "f32": 0x14}
NO_LABEL = 2**32 - 1


def check(fine, what):
    if not fine:
        raise ValueError(what)


def hashed(*parts):
    return blake3.blake3(b"".join(parts)).digest()


def aligned(n):
    return -(-n // 64) * 64


def narrowest(n):
    return 1 if n < 2**8 else 2 if n < 2**16 else 4


class Set:
    """A complete set. `samples` has a dict for each sample."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        text = (self.path / "manifest.json").read_bytes()
        self.manifest = m = json.loads(text)
        check((m["format"], m["version"]) == ("tonic-shards", 2), "incompatible")
        body, _, end = text.rpartition(b'"checksum"')
        check(end == b': "%s"\n}\n' % hashed(body).hex().encode(), "checksum of the manifest")
        self.shape = tuple(m["shape"][key] for key in ("polarities", "height", "width"))
        self.cells = int(np.prod(self.shape))
        self.widths = [WIDTHS[m["widths"][key]] for key in ("frame_sizes", "cells", "counts")]
        check(self.widths[:2] == [narrowest(self.cells), narrowest(self.cells - 1)], "widths")
        names = b"".join(b"".join(n.encode() + b"\0" for n in m[key]) + b"\0" for key in ("classes", "extras"))
        shape = struct.pack("<3I", *self.shape)
        self.recipe_id = hashed(b"tonic-shards recipe 1\0", shape, m["recipe"].encode(), b"\0", names)
        check(self.recipe_id.hex() == m["recipe_id"], "recipe_id")
        self.samples, self.identities = [], []
        for number, entry in enumerate(m["shards"]):
            self.read_shard(number, entry)
        sizes = struct.pack("<IQ", m["chunk_samples"], m["samples"])
        set_id = hashed(b"tonic-shards set 1\0", self.recipe_id, sizes, *self.identities)
        check(set_id.hex() == m["set_id"] and len(self.samples) == m["samples"], "set_id")
        for name in LEDGER:
            check(sum(sample[name] for sample in self.samples) == m["ledger"][name], f"sum of {name}")

    def read_shard(self, number, entry):
        m, data = self.manifest, (self.path / entry["name"]).read_bytes()
        check(entry["name"] == f"{number:05}.shard" and len(data) == entry["bytes"], "length of a shard")
        magic, version, zero, shard, length, first, samples, chunks, per_chunk = struct.unpack_from("<8sHHIQQIII", data)
        check((magic, version, zero) == (MAGIC, 2, 0), "incompatible")
        check((shard, length, first, per_chunk) == (number, len(data), len(self.samples), m["chunk_samples"]), "header")
        *shape, sizes, cells, counts, extras = struct.unpack_from("<3I4B", data, 44)
        check((tuple(shape), [sizes, cells, counts], extras) == (self.shape, self.widths, len(m["extras"])), "layout")
        check(data[60:96] == bytes(4) + self.recipe_id and data[96:120] == bytes(24), "recipe of a shard")
        index = data[128 : 128 + 64 * chunks]
        check(xxhash.xxh3_64_intdigest(data[:120] + index) == struct.unpack_from("<Q", data, 120)[0], "checksum of a header")
        end, before = 128 + 64 * chunks, len(self.identities)
        for k in range(chunks):
            offset, stored_len, decoded_len, n, checksum, identity = struct.unpack_from("<QQIIQ32s", index, 64 * k)
            stored = data[offset : offset + stored_len]
            check(offset == end and xxhash.xxh3_64_intdigest(stored) == checksum, "chunk")
            end = aligned(offset + stored_len)
            check(not any(data[offset + stored_len : end]), "padding of a chunk")
            body = zstandard.ZstdDecompressor().decompress(stored, max_output_size=decoded_len)
            check(len(body) == decoded_len and hashed(body) == identity, "identity of a chunk")
            self.identities.append(identity)
            self.read_chunk(body, n)
        check(end == len(data) and len(self.samples) - first == samples == entry["samples"], "samples of a shard")
        check(hashed(*self.identities[before:]).hex() == entry["identity"], "identity of a shard")

    def read_chunk(self, body, n):
        at = 0

        def column(dtype, count):
            nonlocal at
            values, start = np.frombuffer(body, dtype, count, at), at
            at += aligned(values.nbytes)
            check(not any(body[start + values.nbytes : at]), "padding of a column")
            return values

        def planes(width, count):
            return column("u1", width * count).reshape(width, count).T.copy().view(f"<u{width}").ravel().astype(np.int64)

        extras = [(name, "<i8") for name in self.manifest["extras"]]
        table = {name: column(dtype, n) for name, dtype in COLUMNS + extras}
        size_width, cell_width, count_code = self.widths
        sizes = planes(size_width, int(table["frames"].sum()))
        packed = column("u1", int(table["entries"].sum()))
        gaps, counts = (packed & 31).astype(np.int64), (packed >> 5).astype(np.int64)
        long = gaps == 31
        gaps[long] += planes(cell_width, int(long.sum()))
        if count_code == 0x14:
            check(not counts.any(), "counts of surfaces")
            values = column("u1", 4 * len(packed)).reshape(4, -1).T.copy().view("<f4").ravel()
        else:
            large, values = counts == 7, counts + 1
            values[large] += planes(count_code, int(large.sum()))
        check(at == len(body), "length of a chunk")
        # Within a frame a cell is the sum of the gaps so far, plus one for each entry before.
        steps = np.cumsum(gaps + 1)
        starts = np.cumsum(sizes) - sizes
        before = np.concatenate([[0], steps])[starts]
        cells = steps - np.repeat(before, sizes) - 1
        check(len(cells) == len(packed) and (cells < self.cells).all(), "cells")
        frame_ends, entry_ends = np.cumsum(table["frames"], dtype=np.int64), np.cumsum(table["entries"], dtype=np.int64)
        for i in range(n):
            frames = slice(frame_ends[i] - table["frames"][i], frame_ends[i])
            entries = slice(entry_ends[i] - table["entries"][i], entry_ends[i])
            sample = {name: int(column[i]) for name, column in table.items()}
            check(sample["events_in"] == sum(sample[name] for name in LEDGER[1:]), "ledger")
            frame = np.repeat(np.arange(sample["frames"]), sizes[frames])
            self.samples.append({**sample, "frame": frame, "cell": cells[entries], "value": values[entries]})

    def dense(self, i, steps=None):
        """Frames of sample i, (T, P, H, W), float32; padded or cut to `steps`."""
        sample = self.samples[i]
        out = np.zeros((steps or sample["frames"], self.cells), np.float32)
        kept = sample["frame"] < len(out)
        out[sample["frame"][kept], sample["cell"][kept]] = sample["value"][kept]
        return out.reshape(-1, *self.shape)


if __name__ == "__main__":
    for i, sample in enumerate(Set(sys.argv[1]).samples):
        label = "no label" if sample["label"] == NO_LABEL else f"class {sample['label']}"
        print(f"sample {i}: {label}, {sample['frames']} frames, {len(sample['cell'])} cells, sum {sample['value'].sum():g}")
