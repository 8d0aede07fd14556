"""Sets and samples, compared with the independent reader of the format."""

import json
import pathlib
import pickle

import numpy as np
import pytest
import spec_order
import spec_reader

import tonic_shards as ts
from conftest import FROZEN, tonic_prep


def test_samples_are_those_of_the_specification(any_set):
    ours, spec = ts.ShardSet(any_set), spec_reader.Set(any_set)
    assert len(ours) == len(spec.samples) == 7
    assert ours.shape == spec.shape
    for i, expected in enumerate(spec.samples):
        sample = ours[i]
        assert (sample.number, sample.label) == (i, expected["label"])
        assert (sample.frames, sample.entries) == (expected["frames"], expected["entries"])
        assert sample.ledger == {name: expected[name] for name in spec_reader.LEDGER}
        dense = sample.dense()
        assert dense.dtype == ours.dtype and dense.flags.c_contiguous and dense.flags.writeable
        np.testing.assert_array_equal(dense, spec.dense(i))
        for steps in (1, ours.max_frames + 2):
            padded = sample.dense(steps=steps, dtype="float32", layout="tc")
            assert padded.dtype == np.float32
            np.testing.assert_array_equal(padded, spec.dense(i, steps).reshape(steps, -1))
        sparse = sample.sparse()
        assert isinstance(sample, ts.Sample) and isinstance(sparse, ts.SparseSample)
        assert sparse.count.dtype == ours.dtype and sparse.frame.dtype == np.int64
        np.testing.assert_array_equal(sparse.frame, expected["frame"])
        np.testing.assert_array_equal(np.ravel_multi_index(sparse[1:4], ours.shape), expected["cell"])
        np.testing.assert_array_equal(sparse.count, expected["value"])
        assert sample.sparse(dtype="float32").count.dtype == np.float32
    ours.verify()


def test_several_samples_are_one_array(any_set):
    ours = ts.ShardSet(any_set)
    asked = [5, 0, -1, 5, 3] * 8  # more than are written at a time
    for steps in (1, ours.max_frames + 2, None):
        longest = max(ours[i].frames for i in asked)
        frames, labels = ours.batch(asked, steps=steps, dtype="float32")
        assert frames.shape == (40, steps or longest, *ours.shape) and frames.flags.c_contiguous
        assert labels.dtype == np.int64 and labels.tolist() == [ours[i].label for i in asked]
        for got, i in zip(frames, asked):
            np.testing.assert_array_equal(got, ours[i].dense(steps=steps or longest, dtype="float32"))
    flat, _ = ours.batch(np.array([1, 2]), steps=3, layout="tc")
    assert flat.dtype == ours.dtype and flat.shape == (2, 3, np.prod(ours.shape))
    assert ours.batch([], steps=3)[0].shape == (0, 3, *ours.shape) and ours.batch([])[1].shape == (0,)
    with pytest.raises(IndexError, match="sample 7: the set has 7 samples"):
        ours.batch([0, 7])
    with pytest.raises(ValueError, match="steps: expected 1 or more, got 0"):
        ours.batch([0], steps=0)
    with pytest.raises(MemoryError, match="an array of shape .*: expected at most the .* that are free, got"):
        ours.batch([0], steps=1 << 50)


def test_a_set_tells_what_it_is():
    ours, manifest = ts.ShardSet(str(FROZEN)), json.loads((FROZEN / "manifest.json").read_text())
    spec = spec_reader.Set(FROZEN)
    assert ours.path == FROZEN and isinstance(ours.path, pathlib.Path)
    assert ours.id == manifest["set_id"]
    assert ours.classes == ["class00", "class01", "class02"]
    assert ours.recipe == manifest["recipe"]
    assert ours.ledger == manifest["ledger"]
    assert (ours.max_frames, ours.steps) == (manifest["max_frames"], manifest["frame_limit"])
    assert ours.info() == {key: value for key, value in manifest.items() if key != "checksum"}
    assert ours.labels.tolist() == [sample["label"] for sample in spec.samples]
    assert {name: column.tolist() for name, column in ours.extras.items()} == {
        "speaker": [sample["speaker"] for sample in spec.samples]
    }
    assert ours[4].extras == {"speaker": spec.samples[4]["speaker"]}
    assert ours.labels is ours.labels and not ours.labels.flags.writeable
    assert repr(ours) == (
        f"<ShardSet {FROZEN}: 6 samples of 3 classes, 13.8 kB; "
        "set[i].dense() is (T, 1, 1, 100) uint8, T at most 250>"
    )
    assert repr(ours[2]) == "<Sample 2: class02, dense() (221, 1, 1, 100) uint8>"
    assert ts.__version__ == manifest["tool"]["tonic_toolkit"]


def test_names_from_files_never_reach_the_terminal_as_control_characters(tmp_path):
    folder = tmp_path / "recordings" / "\x1b[2Jwave"
    folder.mkdir(parents=True)
    events = np.zeros(9, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])
    events["t"] = np.arange(9) * 1_000
    np.save(folder / "1.npy", events)
    where = tmp_path / "s\x1b[31met"
    tonic_prep("convert", folder.parent, "-o", where, "--sensor", "4,4,2")
    ours = ts.ShardSet(where)
    assert ours.classes == ["\x1b[2Jwave"]
    with pytest.raises(Exception) as error:
        ts.ShardSet(tmp_path / "\x1b[2J")
    for text in (repr(ours), repr(ours[0]), repr(ts.Loader(where, batch_size=1)), str(error.value)):
        assert text.isprintable() and "u{1b}" in text, text


def test_indices_are_those_of_a_list():
    ours = ts.ShardSet(FROZEN)
    assert ours[-1].number == ours[np.int64(5)].number == 5
    assert [sample.number for sample in ours] == list(range(6))
    for index in (6, -7, 2**62):
        with pytest.raises(IndexError, match="the set has 6 samples"):
            ours[index]
    for index in (2**63, -(10**30)):
        with pytest.raises(IndexError, match=f"sample {index}: too large for an index"):
            ours[index]


def test_samples_without_a_class_have_label_minus_one(windows_set):
    ours = ts.ShardSet(windows_set)
    assert ours.classes == [] and ours[0].label == -1
    assert (ours.labels == -1).all() and len(ours.labels) == 17_001


def test_a_small_cache_gives_the_same_samples(windows_set):
    large, small = ts.ShardSet(windows_set), ts.ShardSet(windows_set, cache_bytes=0)
    for i in (0, 16_999, 1, 17_000, 5_000, 0):
        np.testing.assert_array_equal(large[i].dense(), small[i].dense())


def test_a_pickled_set_opens_the_same_files(copy):
    pickled = pickle.dumps(ts.ShardSet(copy, cache_bytes=5))
    assert pickle.loads(pickled).id == ts.ShardSet(copy).id
    for file in copy.iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError if not copy.exists() else ValueError):
        pickle.loads(pickled)


def test_a_pickled_set_refuses_another_in_its_place(copy, any_set):
    pickled = pickle.dumps(ts.ShardSet(copy))
    for file in any_set.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ts.IncompatibleError, match=r"set_id differs .* expected d7117eba"):
        pickle.loads(pickled)


def test_the_order_is_the_published_one(windows_set):
    # src/shard/order.rs tests the same numbers.
    order = ts.epoch_order("09" * 32, samples=1_000, chunk_samples=64, seed=7, epoch=2)
    assert order[:8].tolist() == [268, 722, 493, 322, 13, 600, 555, 627]
    order = ts.epoch_order("09" * 32, samples=20_001, chunk_samples=5_000, seed=7, epoch=2)
    assert order[:4].tolist() == [2380, 2780, 3314, 3834]
    assert order[10_001:10_005].tolist() == [8330, 5321, 8759, 6144]
    assert order[19_997:].tolist() == [11_090, 10_241, 11_587, 10_835]
    ours = ts.ShardSet(windows_set)
    for seed, epoch in ((0, 0), (2**64 - 1, 3)):
        expected = spec_order.order(ours.id, len(ours), 1_000, seed, epoch)
        np.testing.assert_array_equal(ours.order(seed, epoch), expected)
    with pytest.raises(ValueError, match="set_id: expected 64 hex digits, got no"):
        ts.epoch_order("no", samples=1, chunk_samples=1, seed=0, epoch=0)
    with pytest.raises(ValueError, match="chunk_samples: expected 1 or more"):
        ts.epoch_order("09" * 32, samples=1, chunk_samples=0, seed=0, epoch=0)


def test_samples_for_torch_scipy_and_dlpack(any_set):
    ours = ts.ShardSet(any_set)
    for sample in ours:
        dense = sample.dense()
        exported = np.from_dlpack(sample)
        assert exported.dtype == dense.dtype
        np.testing.assert_array_equal(exported, dense)
    sample, dense = ours[2], ours[2].dense()
    scipy_sparse = pytest.importorskip("scipy.sparse")
    matrix = sample.to_scipy()
    assert scipy_sparse.isspmatrix_csr(matrix) and matrix.dtype == dense.dtype and matrix.has_sorted_indices
    np.testing.assert_array_equal(matrix.toarray(), dense.reshape(len(dense), -1))
    assert sample.to_scipy(dtype="float32").dtype == np.float32
    torch = pytest.importorskip("torch")
    tensor = sample.to_torch(steps=3, dtype="float32", layout="tc")
    assert tensor.dtype == torch.float32 and tensor.shape == (3, int(np.prod(ours.shape)))
    np.testing.assert_array_equal(tensor.numpy(), sample.dense(steps=3, dtype="float32", layout="tc"))
    assert torch.equal(torch.from_dlpack(sample), sample.to_torch())
