"""Reads one sample of a set and plots its occupied cells over time.

python plot_sample.py shards/train 7 sample.png
"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import tonic_shards as ts

path, number, picture = sys.argv[1:]
train = ts.ShardSet(path)
sample = train[int(number)]
cells = sample.sparse()
height, width = train.shape[1:]
plt.scatter(cells.frame, (cells.p * height + cells.y) * width + cells.x, s=cells.count, marker="|")
plt.xlabel("frame")
plt.ylabel("cell" if height > 1 else "channel")
plt.title(train.classes[sample.label] if sample.label >= 0 else "no class")
plt.savefig(picture)
