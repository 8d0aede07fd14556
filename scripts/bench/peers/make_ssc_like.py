"""Writes an HDF5 file with the layout and statistics of Spiking Speech Commands, to measure on without a download.

    python make_ssc_like.py OUT.h5 -n 2048

Vlen float16 times (s) and uint16 units, labels, extra/keys, extra/speaker. Each of the 35 classes is a set of moving
formants over 700 cochlear channels; a speaker shifts and stretches them. About 8,000 events per sample over 0.8 to 1.2
seconds, as in the real file. The same -n and --seed give the same recordings.
"""
import argparse

import h5py
import numpy as np

CLASSES = 35
SPEAKERS = 200
CHANNELS = 700
FORMANTS = 4


def recording(rng, label, speaker):
    """Times in seconds, sorted, and channels of one utterance."""
    # The class: where its formants begin, end and bend, and when they sound.
    c = np.random.default_rng(1000 + label)
    first = c.uniform(40, 660, FORMANTS)
    last = c.uniform(40, 660, FORMANTS)
    bend = c.uniform(-150, 150, FORMANTS)
    onset = np.sort(c.uniform(0.05, 0.55, FORMANTS))
    duration = c.uniform(0.15, 0.4, FORMANTS)
    gain = c.uniform(0.6, 1.4, FORMANTS)
    # The speaker: a shift in pitch, a tempo, and a voice that the spikes lock to.
    s = np.random.default_rng(5000 + speaker)
    shift = s.normal(0, 12)
    stretch = s.uniform(0.9, 1.1)

    total = rng.uniform(0.8, 1.2)
    n = int(np.clip(rng.normal(8000, 1800), 2500, 15000))
    noise = n // 8
    weight = gain * duration
    which = rng.choice(FORMANTS, n - noise, p=weight / weight.sum())
    u = rng.beta(1.3, 1.3, n - noise)
    t = (onset[which] + u * duration[which]) * stretch * total
    x = first[which] + (last - first)[which] * u + bend[which] * np.sin(np.pi * u) + shift + rng.normal(0, 14, n - noise)
    voice = s.uniform(90, 220)
    t = t + 0.25 / voice * np.sin(2 * np.pi * voice * t)

    t = np.concatenate([t, rng.uniform(0, total, noise)])
    x = np.concatenate([x, rng.uniform(0, CHANNELS, noise)])
    keep = (t >= 0) & (t <= total) & (x >= 0) & (x < CHANNELS)
    t, x = t[keep], x[keep]
    order = np.argsort(t, kind="stable")
    return t[order].astype(np.float16), x[order].astype(np.uint16)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("-n", "--samples", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with h5py.File(args.out, "w") as file:
        spikes = file.create_group("spikes")
        times = spikes.create_dataset("times", (args.samples,), dtype=h5py.vlen_dtype(np.float16))
        units = spikes.create_dataset("units", (args.samples,), dtype=h5py.vlen_dtype(np.uint16))
        labels = rng.integers(0, CLASSES, args.samples).astype(np.uint8)
        speakers = rng.integers(0, SPEAKERS, args.samples).astype(np.uint16)
        for i in range(args.samples):
            times[i], units[i] = recording(rng, int(labels[i]), int(speakers[i]))
        file["labels"] = labels
        extra = file.create_group("extra")
        extra["speaker"] = speakers
        extra["keys"] = np.array([f"class{c:02d}".encode() for c in range(CLASSES)])
        extra.create_group("meta_info")


if __name__ == "__main__":
    main()
