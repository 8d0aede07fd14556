"""Tonic's transforms as recipes, and a set in place of its disk cache: the same frames, bit for bit."""

import pickle

import numpy as np
import pytest

import tonic_shards as ts

tonic = pytest.importorskip("tonic")
T = tonic.transforms
SIZE = (34, 28, 2)


class Events:
    """A dataset like those of Tonic: (events, target), changed by transform and target_transform."""

    sensor_size = SIZE
    classes = ["zero", "one", "two"]

    def __init__(self, transform=None, target_transform=None, samples=8, polarity=None):
        self.transform, self.target_transform, self.transforms = transform, target_transform, None
        self.samples, self.polarity = samples, polarity

    def __len__(self):
        return self.samples

    def __getitem__(self, index):
        if index >= self.samples:
            raise IndexError(index)
        rng = np.random.default_rng(index)
        n = 900 + 300 * index
        events = np.zeros(n, [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])
        events["t"] = np.sort(rng.integers(0, 30_000 + 5_000 * index, n))
        for name, size in zip("xyp", SIZE):
            events[name] = rng.integers(0, size, n)
        if self.polarity is not None:
            events["p"] = self.polarity
        target = index % 3
        events = events if self.transform is None else self.transform(events)
        return events, target if self.target_transform is None else self.target_transform(target)


def frame(size=SIZE, **slicing):
    return T.ToFrame(sensor_size=size, **slicing)


COMPOSES = {
    "time windows": [frame(time_window=1000)],
    "floats": [T.CropTime(min=2e3, max=2e4), frame(time_window=2000.0, overlap=500, include_incomplete=True)],
    "start and end": [frame(time_window=3000, start_time=0, end_time=40_000)],
    "counts": [frame(event_count=200, overlap=20)],
    "time bins": [frame(n_time_bins=7)],
    "overlapping bins": [frame(n_time_bins=5, overlap=0.25)],
    "event bins": [frame(n_event_bins=6)],
    "image": [T.ToImage(sensor_size=SIZE)],
    "centre": [T.CenterCrop(sensor_size=SIZE, size=(20, 10)), frame((20, 10, 2), time_window=1000)],
    "square": [T.CenterCrop(sensor_size=SIZE, size=12), frame((12, 12, 2), time_window=1000)],
    "denoise": [T.Denoise(filter_time=1500), frame(time_window=1000)],
    "decimation": [T.Decimation(n=2), frame(time_window=1000)],
    "pixels": [T.DropPixel(coordinates=[(3, 4), (5, 6)]), frame(time_window=1000)],
    "hot pixels": [T.DropPixel(hot_pixel_frequency=100), frame(time_window=1000)],
    "downsample": [T.Downsample(spatial_factor=0.5, time_factor=1e-1), frame((17, 14, 2), time_window=200)],
    "two factors": [T.Downsample(spatial_factor=(0.25, 0.5)), frame((9, 14, 2), time_window=2000)],
    "target": [T.Downsample(sensor_size=SIZE, target_size=(17, 14)), frame((17, 14, 2), time_window=2000)],
    "merged": [T.MergePolarities(), frame((34, 28, 1), time_window=1000)],
    "refractory": [T.RefractoryPeriod(delta=700), frame(time_window=1000)],
    "aligned": [T.TimeAlignment(), T.TimeSkew(coefficient=1.5, offset=30), frame(time_window=1000)],
    "chain": [
        T.Denoise(filter_time=3000),
        T.CropTime(max=25_000),
        T.Downsample(spatial_factor=0.5),
        frame((17, 14, 2), time_window=2000),
    ],
}
SURFACES = {
    "bina-rep": [frame(n_time_bins=16), T.ToBinaRep(n_frames=2, n_bits=8)],
    "surfaces": [T.ToTimesurface(sensor_size=SIZE, dt=5000, tau=3000)],
    "voxels": [T.ToVoxelGrid(sensor_size=SIZE, n_time_bins=5)],
    "averaged": [T.ToAveragedTimesurface(sensor_size=SIZE, cell_size=7, surface_size=3)],
}


def both(tmp_path, transforms, **options):
    """Tonic's frames, and those of a set that a dataset with the same transform filled."""
    dataset = Events(T.Compose(transforms))
    cached = ts.tonic.DiskCached(dataset, tmp_path / "set", quiet=True, lenient=True, **options)
    assert len(cached) == len(dataset)
    return [(dataset[i], cached[i]) for i in range(len(dataset))]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", COMPOSES)
def test_frames_are_those_of_tonic(tmp_path, name):
    for (expected, target), (ours, label) in both(tmp_path, COMPOSES[name]):
        assert label == target and ours.dtype == expected.dtype == np.int16
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", SURFACES)
def test_surfaces_are_those_of_tonic(tmp_path, name):
    for (expected, _), (ours, _) in both(tmp_path, SURFACES[name]):
        assert ours.dtype == np.float32 and ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    "transforms, text",
    [
        ([], "expected transforms, the last of which makes frames, got none"),
        ([T.CropTime(max=3)], "transform 1, CropTime: expected one that makes frames, such as ToFrame"),
        ([T.DropEvent(p=0.1), frame(n_time_bins=3)], "deterministic transforms .* got DropEvent"),
        ([T.TimeJitter(std=3)], "deterministic transforms .* got TimeJitter"),
        (
            [T.RefractoryPeriod(delta=(1, 2)), frame(n_time_bins=3)],
            r"RefractoryPeriod.delta: expected one number .* got \[1, 2\]",
        ),
        ([T.CropTime(max=1.5), frame(n_time_bins=3)], "CropTime.max: expected a whole number, got 1.5"),
        ([T.ToSparseTensor(sensor_size=SIZE, time_window=3)], "expected ToFrame under .* got ToSparseTensor"),
        (
            [frame(n_time_bins=9), T.ToBinaRep(1, 8)],
            r"transform 2, ToBinaRep: expected ToFrame\(n_time_bins=8\) before it",
        ),
        (
            [frame(n_time_bins=9), np.float32],
            "transform 2, float32: expected nothing after ToFrame, because frames are stored",
        ),
        ([abs, frame(n_time_bins=9)], "transform 1, abs: expected a transform of Tonic"),
        ([frame(None, n_time_bins=9, event_count=3)], "frames"),
    ],
)
def test_a_transform_without_an_equal_is_named(transforms, text):
    with pytest.raises(ValueError, match=text):
        ts.tonic.recipe(T.Compose(transforms))


def test_a_recipe_of_tonic_is_taken_everywhere(tmp_path):
    compose, events = T.Compose([T.CropTime(max=20_000), frame(time_window=1000)]), Events()
    np.save(tmp_path / "a.npy", events[3][0])
    ours = ts.convert(tmp_path / "a.npy", tmp_path / "a", recipe=compose, sensor=SIZE, quiet=True)
    with ts.Writer(tmp_path / "b", SIZE, recipe=compose.transforms, quiet=True) as out:
        out.add(events[3][0])
    np.testing.assert_array_equal(ours[0].dense(), compose(events[3][0]))
    assert ts.ShardSet(tmp_path / "b").id == ours.id


def test_a_cache_that_is_there_is_read_and_compared(tmp_path):
    dataset = Events(T.Compose([frame(time_window=1000)]))
    first = ts.tonic.DiskCached(
        dataset, tmp_path / "set", transform=lambda frames: frames.sum(), target_transform=str, quiet=True
    )
    assert first.set.classes == Events.classes and first[4] == (dataset[4][0].sum(), "1")
    dataset.__class__.__getitem__, read = None, dataset.__class__.__getitem__
    try:
        again = ts.tonic.DiskCached(dataset, tmp_path / "set", transforms=lambda frames, target: (target, frames.sum()))
        alone = ts.tonic.DiskCached(None, tmp_path / "set", pad=True, dtype="float32")
        with pytest.raises(TypeError, match="expected options of Writer, got num_copies"):
            ts.tonic.DiskCached(dataset, tmp_path / "set", num_copies=2)
        as_in_tonic = ts.tonic.DiskCached(dataset, tmp_path / "set", False, lambda frames: frames.sum())
    finally:
        dataset.__class__.__getitem__ = read
    assert again[4] == (1, first[4][0]) and len(alone) == 8 and as_in_tonic[4] == (first[4][0], 1)
    assert {frames.shape for frames, _ in alone} == {(alone.set.steps, 2, 28, 34)} and alone[0][0].dtype == np.float32
    others = {
        "number of samples": Events(dataset.transform, samples=9),
        "recipe": Events(T.Compose([frame(time_window=900)])),
    }
    for text, other in others.items():
        with pytest.raises(ts.IncompatibleError, match=f"filled with another {text}: expected"):
            ts.tonic.DiskCached(other, tmp_path / "set")
        assert len(ts.tonic.DiskCached(other, tmp_path / "set", reset_cache=True, quiet=True)) == len(other)
    assert pickle.loads(pickle.dumps(ts.tonic.DiskCached(None, tmp_path / "set")))[0][0].dtype == np.int16


def test_what_a_dataset_lacks_is_said(tmp_path):
    with pytest.raises(ValueError, match="recipe: expected one, because the dataset has no transform, got None"):
        ts.tonic.DiskCached(Events(), tmp_path / "set")
    plain = [(events, target) for events, target in Events()]
    with pytest.raises(ValueError, match=r"sensor_size: expected \(W, H, P\), because the dataset has none"):
        ts.tonic.DiskCached(plain, tmp_path / "set", recipe=frame(time_window=1000))
    cached = ts.tonic.DiskCached(plain, tmp_path / "set", recipe=frame(time_window=1000), sensor_size=SIZE, quiet=True)
    np.testing.assert_array_equal(cached[2][0], frame(time_window=1000)(plain[2][0]))
    one_hot = Events(frame(time_window=1000), lambda target: np.eye(3)[target])
    with pytest.raises(ValueError, match="sample 0: target: expected a class, a number or a name, got array"):
        ts.tonic.DiskCached(one_hot, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_batches_are_those_of_tonics_cache_and_collation(tmp_path):
    data = pytest.importorskip("torch.utils.data")
    import torch

    dataset = Events(T.Compose([frame(time_window=1000)]))
    pad = tonic.collation.PadTensors()
    theirs = tonic.DiskCachedDataset(dataset, cache_path=str(tmp_path / "tonic"))
    ours = ts.tonic.DiskCached(dataset, tmp_path / "ours", quiet=True)
    for a, b in zip(
        data.DataLoader(theirs, 3, collate_fn=pad), data.DataLoader(ours, 3, collate_fn=pad, num_workers=2)
    ):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    padded = ts.tonic.DiskCached(dataset, tmp_path / "ours", pad=True)
    frames, targets = next(iter(data.DataLoader(padded, 8)))
    assert frames.shape == (8, padded.set.steps, 2, 28, 34) and targets.tolist() == [i % 3 for i in range(8)]
