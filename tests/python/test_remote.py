"""Sets at URLs, from a web server on loopback: read as those in directories, through a cache on disk, and after a fork."""

import gc
import os
import pathlib
import pickle
import shutil
import time

import numpy as np
import pytest

import tonic_shards as ts
from conftest import FROZEN, RECIPES, in_child, together, tonic_prep, write_camera

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def copied(folder, name="set", of=FROZEN):
    shutil.copytree(of, folder / name)
    return name


def sums(ours):
    return [float(sample.dense().sum()) for sample in ours], ours.labels.tolist()


def assert_same_batches(one, other):
    for (frames, labels), (expected, classes) in together(one, other):
        np.testing.assert_array_equal(frames, expected)
        assert labels.tolist() == classes.tolist()


def test_a_set_at_a_url_is_read_as_one_in_a_directory(server):
    url, folder, _ = server
    ours, here = ts.ShardSet(f"{url}/{copied(folder)}"), ts.ShardSet(FROZEN)
    assert ours.path == f"{url}/set" and ours.id == here.id and sums(ours) == sums(here)
    ours.verify()
    assert pickle.loads(pickle.dumps(ours)).id == here.id
    assert ts.ShardDataset(f"{url}/set")[3][1] == here[3].label
    assert list(ts.BatchSampler(f"{url}/set", 4)) == list(ts.BatchSampler(FROZEN, 4))
    assert_same_batches(ts.Loader(f"{url}/set", 4), ts.Loader(FROZEN, 4))
    with pytest.raises(ValueError, match="none"):
        ts.ShardSet(f"{url}/none")
    shard = next((folder / "set").glob("*.shard"))
    shard.write_bytes(shard.read_bytes()[:-100] + bytes(100))
    with pytest.raises(ts.CorruptError):
        ts.ShardSet(f"{url}/set").verify()


@pytest.mark.parametrize("cached", [False, True])
def test_a_forked_process_opens_a_set_at_a_url_again(server, tmp_path, cached):
    url, folder, _ = server
    cache = {"remote_cache": tmp_path / "cache"} if cached else {}
    ours = ts.ShardSet(f"{url}/{copied(folder)}", **cache)
    here = sums(ts.ShardSet(FROZEN))
    for _ in range(3):  # before the parent has read a chunk, and after it
        assert in_child(sums, ours) == here
        assert in_child(in_child_again, ours) == here
        assert sums(ours) == here
    loader = ts.Loader(f"{url}/set", 2, **cache)
    batches = iter(loader)
    next(batches)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            del batches, loader  # ends no thread of the parent, and waits for none
            code = 0 if sums(ours) == here else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(batches)) == 2


def in_child_again(ours):
    sums(ours)
    child = os.fork()
    if child == 0:
        os._exit(0 if sums(ours) == sums(ts.ShardSet(FROZEN)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    return sums(ours)


def test_a_forked_process_refuses_another_set_at_the_url(server, any_set):
    url, folder, _ = server
    ours = ts.ShardSet(f"{url}/{copied(folder)}")
    shutil.rmtree(folder / "set")
    copied(folder, of=any_set)
    with pytest.raises(ts.IncompatibleError, match=r"set_id differs .* expected d7117eba"):
        in_child(sums, ours)
    with pytest.raises(ts.IncompatibleError):
        pickle.loads(pickle.dumps(ours))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_torch_read_from_a_url(server, tmp_path, start):
    data = pytest.importorskip("torch.utils.data")
    url, folder, _ = server
    dataset = ts.ShardDataset(f"{url}/{copied(folder)}", remote_cache=tmp_path / "cache")
    batches = data.DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context=start)
    found = [int(label) for _, labels in batches for label in labels]
    assert found == ts.ShardSet(FROZEN).labels.tolist()


@pytest.mark.parametrize("limit", [None, "1G", 10**9])
def test_the_cache_on_disk_is_that_of_the_trainer(server, tmp_path, limit):
    url, folder, asked = server
    place, cache = f"{url}/{copied(folder)}", tmp_path / "cache"
    options = {"remote_cache": cache, "remote_cache_limit": limit}
    loader = ts.Loader(place, 4, cache="stream", **options)
    assert_same_batches(loader, ts.Loader(FROZEN, 4))
    assert ts.Loader(place, 4, **options).cache == "stream: training begins before the whole set is here"
    kept = cache / ts.ShardSet(FROZEN).id / "00000.shard"
    assert kept.stat().st_size == (FROZEN / "00000.shard").stat().st_size
    asked.clear()
    assert_same_batches(loader, second_epoch())
    for read in (ts.ShardSet, ts.ShardDataset):  # the next run: the server gives the manifest only
        ours = read(place, **options)
        assert len([ours[i] for i in range(len(ours))]) == 6
        assert len([pickle.loads(pickle.dumps(ours))[i] for i in range(len(ours))]) == 6
    assert not [path for path in asked if path.endswith(".shard")]
    (cache / ts.ShardSet(FROZEN).id).rename(tmp_path / "gone")
    assert sums(ts.ShardSet(place, **options)) == sums(ts.ShardSet(FROZEN))  # fetched again


def second_epoch():
    loader = ts.Loader(FROZEN, 4)
    loader.set_epoch(1)
    return loader


def test_a_cache_without_room_keeps_nothing_and_loses_nothing(server, tmp_path, any_set):
    url, folder, _ = server
    one, other = (f"{url}/{copied(folder, name, of)}" for name, of in (("one", FROZEN), ("other", any_set)))
    tiny = {"remote_cache": tmp_path / "tiny", "remote_cache_limit": 1}
    assert sums(ts.ShardSet(one, **tiny)) == sums(ts.ShardSet(FROZEN))
    # If a set doesn't fit into the cache next to another one, it replaces the other one.
    size = sum(file.stat().st_size for file in FROZEN.glob("*.shard")) + sum(
        file.stat().st_size for file in any_set.glob("*.shard")
    )
    small = {"remote_cache": tmp_path / "small", "remote_cache_limit": size // 2}
    for place, here in ((one, FROZEN), (other, any_set), (one, FROZEN)):
        assert sums(ts.ShardSet(place, **small)) == sums(ts.ShardSet(here))
        assert (tmp_path / "small" / ts.ShardSet(here).id).is_dir()
    # A set in a directory needs no cache.
    assert sums(ts.ShardSet(FROZEN, remote_cache=tmp_path / "unused")) == sums(ts.ShardSet(FROZEN))
    assert not (tmp_path / "unused").exists()
    for read in (ts.ShardSet, ts.ShardDataset, lambda path, **options: ts.Loader(path, 1, **options)):
        for limit in (0, "many", -1):
            with pytest.raises(ValueError, match=f"remote_cache_limit: expected bytes, or a size .*, got {limit}"):
                read(FROZEN, remote_cache_limit=limit)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        ts.ShardSet(one, remote_cache=tmp_path / "file")


@pytest.mark.parametrize("by", ["convert", "Writer", "program"])
def test_recipe_and_classes_of_a_set_at_a_url(server, tmp_path, by):
    url, folder, _ = server
    size, recipe = RECIPES["uint16"]
    write_camera(tmp_path / "recordings", *size, 1)
    names = ["class2", "class1", "class0"]
    first = ts.convert(tmp_path / "recordings", folder / "first", recipe=recipe, sensor=size, classes=names, quiet=True)
    of, output = f"{url}/first", tmp_path / by
    sensor = ",".join(map(str, size))
    if by == "convert":
        ours = ts.convert(tmp_path / "recordings", output, recipe_of=of, classes_of=of, sensor=size, quiet=True)
    elif by == "program":
        options = ["--recipe-of", of, "--classes-of", of, "--sensor", sensor]
        tonic_prep("convert", tmp_path / "recordings", "-o", output, *options)
        ours = ts.ShardSet(output)
    else:
        with ts.Writer(output, size, recipe_of=of, classes=first.classes, quiet=True) as out:
            for name in names:
                for file in sorted((tmp_path / "recordings" / name).glob("*.npy")):
                    out.add(np.load(file), name)
        ours = ts.ShardSet(output)
        assert ours.info()["recipe_id"] == first.info()["recipe_id"]
    assert ours.classes == names and ours.recipe == first.recipe
    assert by == "Writer" or ours.id == first.id
    for option in ("recipe_of", "classes_of"):
        with pytest.raises(ValueError, match="none: expected a shard set"):
            ts.convert(tmp_path / "recordings", tmp_path / "no", **{option: f"{url}/none"}, sensor=size, quiet=True)


class Dataset:
    """A dataset of Tonic with the samples of FROZEN, that nobody reads."""

    def __len__(self):
        return 6


def test_tonics_disk_cache_at_a_url(server):
    url, folder, _ = server
    place, recipe = f"{url}/{copied(folder)}", ts.ShardSet(FROZEN).recipe
    for dataset in (None, Dataset()):
        cached = ts.tonic.DiskCached(dataset, place, recipe=recipe)
        assert [target for _, target in cached] == ts.ShardSet(FROZEN).labels.tolist()
    with pytest.raises(ts.IncompatibleError, match="filled with another recipe"):
        ts.tonic.DiskCached(Dataset(), place, recipe="[frames]\ntime_window = 77\n")
    with pytest.raises(ValueError, match="expected a directory"):
        ts.tonic.DiskCached(Dataset(), place, recipe=recipe, sensor_size=(1, 1, 1), reset_cache=True)


def test_a_set_is_not_written_to_a_url(server, tmp_path, monkeypatch):
    url, _, _ = server
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.zeros(2, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")]))
    for write in (
        lambda: ts.convert("a.npy", f"{url}/new", sensor=(4, 4, 2), quiet=True),
        lambda: ts.Writer(f"{url}/new", 4),
        lambda: ts.Writer("s3://bucket/new", 4),
    ):
        with pytest.raises(ValueError, match="expected a directory"):
            write()
    assert sorted(os.listdir()) == ["a.npy", "www"]


def test_a_url_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected file://, http://, .* got gopher://"):
        ts.ShardSet("gopher://127.0.0.1/set")


def test_a_set_replaced_between_epochs_keeps_its_content_or_is_an_error(server, tmp_path, any_set):
    url, folder, _ = server
    place = f"{url}/{copied(folder)}"
    for cache in ({}, {"remote_cache": tmp_path / "cache"}):
        loader = ts.Loader(place, 6, shuffle=False, cache="stream", **cache)
        (expected, _), = loader
        shutil.rmtree(folder / "set")
        copied(folder, of=any_set)
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        try:
            (found, _), = loader
        except (ts.CorruptError, ts.IncompatibleError, OSError):
            pass
        else:
            np.testing.assert_array_equal(found, expected)
        shutil.rmtree(folder / "set")
        copied(folder)


def test_dropped_sets_leave_no_thread_and_no_file(server, tmp_path):
    url, folder, _ = server
    place = f"{url}/{copied(folder)}"

    def fetchers():
        tasks = pathlib.Path("/proc/self/task").iterdir()
        return [task for task in tasks if (task / "comm").read_text().startswith("fetch")]

    def files():
        links = pathlib.Path("/proc/self/fd").iterdir()
        return [link for link in links if str(tmp_path / "cache") in os.path.realpath(link)]

    loader = ts.Loader(place, 2, cache="stream", remote_cache=tmp_path / "cache")
    next(iter(loader))
    assert fetchers() and files()
    del loader
    gc.collect()
    for _ in range(100):
        if not fetchers() and not files():
            break
        time.sleep(0.1)
    assert not fetchers() and not files()
