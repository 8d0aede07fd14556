"""Batches: those of the Rust loader, and those that the specification gives."""

import gc
import subprocess
import threading

import blake3
import numpy as np
import pytest
import spec_order
import spec_reader

import tonic_shards as ts
from conftest import DEBUG, FROZEN, together


def expected_batches(path, batch_size, steps, seed, epoch):
    """The dense batches of an epoch and their labels, by the specification."""
    spec = spec_reader.Set(path)
    manifest = spec.manifest
    order = spec_order.order(manifest["set_id"], len(spec.samples), manifest["chunk_samples"], seed, epoch)
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        labels = [spec.samples[i]["label"] for i in numbers]
        yield np.stack([spec.dense(i, steps) for i in numbers]), [-1 if n == spec_reader.NO_LABEL else n for n in labels]


@pytest.mark.parametrize("cache", ["stream", "host"])
@pytest.mark.parametrize("seed, epoch, batch_size, steps", [(0, 0, 128, 250), (7, 2, 4096, 3)])
def test_batches_are_those_of_tonic_train(windows_set, cache, seed, epoch, batch_size, steps):
    program = DEBUG / "examples" / "print_batches"
    options = [windows_set, batch_size, steps, seed, epoch]
    lines = subprocess.run([program, *map(str, options)], check=True, capture_output=True, text=True).stdout
    loader = ts.Loader(windows_set, batch_size, steps=steps, seed=seed, layout="btc", cache=cache)
    loader.set_epoch(epoch)
    ours = []
    for frames, labels in loader:
        assert frames.shape[1:] == (steps, 20) and frames.dtype == np.float32 and labels.dtype == np.int64
        stored = [label % 2**32 for label in labels.tolist()]  # the Rust loader stores a missing class as 2^32 - 1
        ours.append(f"{blake3.blake3(frames.tobytes()).hexdigest()} {stored}")
    assert ours == lines.splitlines() and len(ours) == len(loader)


AUGMENTATION = {
    "transform": [
        {"name": "DropEvent", "p": [0.0, 0.5]},
        {"name": "TimeJitter", "std": 1.5},
        {"name": "RandomFlipLR"},
        {"name": "ChannelShift", "max": 3},
    ]
}
AUGMENTATION_TOML = """[[transform]]
name = "DropEvent"
p = [0.0, 0.5]
[[transform]]
name = "TimeJitter"
std = 1.5
[[transform]]
name = "RandomFlipLR"
[[transform]]
name = "ChannelShift"
max = 3
"""


def test_augmented_batches_are_those_of_tonic_train(windows_set, tmp_path):
    file = tmp_path / "augment.toml"
    file.write_text(AUGMENTATION_TOML)
    program = DEBUG / "examples" / "print_batches"
    options = [windows_set, 512, 4, 7, 2, file]
    lines = subprocess.run([program, *map(str, options)], check=True, capture_output=True, text=True).stdout.splitlines()
    plain = list(ts.Loader(windows_set, 512, steps=4, seed=7, layout="btc"))

    def batches(**more):
        loader = ts.Loader(windows_set, 512, steps=4, seed=7, layout="btc", **more)
        loader.set_epoch(2)
        return list(loader)

    for augment in (AUGMENTATION, file, str(file)):
        ours = [
            f"{blake3.blake3(frames.tobytes()).hexdigest()} {[label % 2**32 for label in labels.tolist()]}"
            for frames, labels in batches(augment=augment)
        ]
        assert ours == lines and len(ours) == len(plain)
    # Sparse batches, other layouts and the parts of ranks have the same counts.
    dense = [frames for frames, _ in batches(augment=AUGMENTATION)]
    sparse = [batch.dense() for batch, _ in batches_of(windows_set, augment=AUGMENTATION, sparse=True)]
    assert all(np.array_equal(a, b.reshape(a.shape)) for a, b in zip(dense, sparse))
    ranks = [
        [frames for frames, _ in batches_of(windows_set, augment=AUGMENTATION, layout="btc", rank=rank, world_size=2, size=256)]
        for rank in range(2)
    ]
    assert all(np.array_equal(whole, np.concatenate(parts)) for whole, *parts in zip(dense, *ranks))


def batches_of(path, size=512, **more):
    loader = ts.Loader(path, size, steps=4, seed=7, **more)
    loader.set_epoch(2)
    return list(loader)


def test_augmentations_that_cannot_be_are_refused(windows_set, tmp_path):
    def refused(words, augment, error=ValueError, **more):
        with pytest.raises(error, match=words):
            ts.Loader(windows_set, 8, augment=augment, **more)

    refused("expected shuffle=True", AUGMENTATION, shuffle=False)
    refused("transform 1.*DropEvents", {"transform": [{"name": "DropEvents"}]})
    refused("augment: transform 1: .*more than one row", {"transform": [{"name": "RandomFlipUD"}]})
    refused("key .transform", {"transforms": []})
    refused("dtype: .*uint32, float32", AUGMENTATION, dtype="uint8")
    refused("none.toml", tmp_path / "none.toml", error=FileNotFoundError)
    refused("", 5, error=TypeError)
    assert len(ts.Loader(windows_set, 8, augment={"transform": []})) == len(ts.Loader(windows_set, 8))


@pytest.mark.parametrize("layout", ["btphw", "tbphw", "btc", "tbc"])
@pytest.mark.parametrize("cache", ["stream", "host"])
def test_every_layout_and_type_of_numbers(any_set, layout, cache):
    ours = ts.ShardSet(any_set)
    for steps in (1, ours.max_frames + 2, None):
        T = ours.steps if steps is None else steps
        loader = ts.Loader(any_set, 3, steps=steps, seed=5, layout=layout, dtype=ours.dtype, cache=cache)
        expected = list(expected_batches(any_set, 3, T, 5, 0))
        batches = list(loader)
        assert len(batches) == len(expected) == 3
        for (frames, labels), (dense, classes) in zip(batches, expected):
            dense = dense if layout.endswith("phw") else dense.reshape(len(dense), T, -1)
            dense = dense if layout.startswith("b") else dense.swapaxes(0, 1)
            assert frames.dtype == ours.dtype and frames.flags.c_contiguous and frames.flags.writeable
            np.testing.assert_array_equal(frames, dense)
            assert labels.tolist() == classes


def test_sparse_batches_are_the_dense_ones(any_set):
    ours = ts.ShardSet(any_set)
    for steps in (1, ours.max_frames + 2):
        dense = ts.Loader(any_set, 3, steps=steps, dtype=ours.dtype)
        sparse = ts.Loader(any_set, 3, steps=steps, dtype=ours.dtype, sparse=True)
        for (expected, classes), (batch, labels) in zip(dense, sparse):
            assert isinstance(batch, ts.SparseBatch)
            assert batch.shape == expected.shape and batch.values.dtype == ours.dtype
            np.testing.assert_array_equal(batch.dense(), expected)
            assert labels.tolist() == classes.tolist()
            rows = [slice(*ends) for ends in zip(batch.indptr, batch.indptr[1:])]
            matrix = np.zeros(batch.matrix_shape, batch.values.dtype)
            for row, entries in enumerate(rows):
                assert (np.diff(batch.indices[entries]) > 0).all()
                matrix[row, batch.indices[entries]] = batch.values[entries]
            np.testing.assert_array_equal(matrix, expected.reshape(matrix.shape))


@pytest.mark.parametrize("layout", ["btphw", "tbphw", "btc", "tbc"])
@pytest.mark.parametrize("cache", ["stream", "host"])
def test_batches_padded_to_their_longest_sample(any_set, layout, cache):
    ours = ts.ShardSet(any_set)
    lengths = [sample.frames for sample in ours]
    assert len(set(lengths)) > 1 or ours.dtype == "uint32"
    options = {"seed": 5, "dtype": ours.dtype, "cache": cache}
    loader = ts.Loader(any_set, 3, pad="batch", layout=layout, **options)
    fixed = ts.Loader(any_set, 3, steps=max(lengths), layout=layout, **options)
    order = ours.order(5, 0).tolist()
    time = layout.index("t")
    for k, ((frames, labels), (padded, classes)) in enumerate(together(loader, fixed)):
        longest = max(lengths[i] for i in order[3 * k : 3 * k + 3])
        assert frames.shape[time] == longest and frames.flags.c_contiguous and frames.dtype == ours.dtype
        np.testing.assert_array_equal(frames, padded.take(range(longest), axis=time))
        assert not padded.take(range(longest, max(lengths)), axis=time).any()
        assert labels.tolist() == classes.tolist()
    sparse = ts.Loader(any_set, 3, pad="batch", sparse=True, **options)
    dense = ts.Loader(any_set, 3, pad="batch", **options)
    for (batch, _), (frames, _) in together(sparse, dense):
        assert batch.shape == frames.shape
        np.testing.assert_array_equal(batch.dense(), frames)


def test_padding_is_that_of_tonic():
    collation = pytest.importorskip("tonic.collation")
    samples = [(sample.dense(), sample.label) for sample in ts.ShardSet(FROZEN)]
    frames, labels = collation.PadTensors(batch_first=True)(samples)
    (ours, classes), = ts.Loader(FROZEN, 6, shuffle=False, pad="batch", output="torch")
    assert ours.shape == frames.shape and (ours == frames).all() and classes.tolist() == list(labels)


def test_ranks_without_samples_get_empty_batches_of_any_form():
    for options in ({}, {"pad": "batch"}, {"layout": "tbc"}, {"sparse": True}, {"layout": "tbphw", "pad": "batch"}):
        last = [list(ts.Loader(FROZEN, 1, rank=rank, world_size=4, **options))[-1] for rank in range(4)]
        assert [len(labels) for _, labels in last] == [1, 1, 0, 0]


@pytest.mark.parametrize("layout", ["btphw", "tbphw", "btc", "tbc"])
@pytest.mark.parametrize("shape", [(1, 9, 1), (1, 1, 1), (7, 9, 1), (7, 9, 2)])
def test_squeezed_batches_lack_the_dimensions_of_one(tmp_path, shape, layout):
    width, height, polarities = shape
    with ts.Writer(tmp_path / "set", shape, recipe={"frames": {"n_time_bins": 3}}, quiet=True) as out:
        for i in range(3):
            t = np.arange(40) * 100
            out.add({"t": t, "x": t % width, "y": t % height, "p": t % polarities}, i)
    for batch_size in (3, 1):  # a batch of one keeps its dimension
        whole = ts.Loader(tmp_path / "set", batch_size, layout=layout)
        ours = ts.Loader(tmp_path / "set", batch_size, layout=layout, squeeze=True)
        for (frames, _), (expected, _) in together(ours, whole):
            kept = expected.shape[:2] + tuple(n for n in expected.shape[2:] if n != 1)
            assert frames.shape == kept
            np.testing.assert_array_equal(frames.ravel(), expected.ravel())
    sample = ts.ShardSet(tmp_path / "set")[0]
    for layout in ("tphw", "tc"):
        dense = sample.dense(layout=layout)
        kept = dense.shape[:1] + tuple(n for n in dense.shape[1:] if n != 1)
        assert sample.dense(layout=layout, squeeze=True).shape == kept
        dataset = ts.ShardDataset(tmp_path / "set", layout=layout, squeeze=True)
        assert dataset[0][0].shape == kept


def test_sparse_batches_for_scipy():
    pytest.importorskip("scipy.sparse")
    for (batch, _), (dense, _) in zip(ts.Loader(FROZEN, 4, sparse=True), ts.Loader(FROZEN, 4, layout="btc")):
        np.testing.assert_array_equal(batch.to_scipy().toarray(), dense.reshape(-1, 100))


def test_epochs_follow_one_another_and_repeat_themselves():
    def numbers(batches):
        return [frames.sum(axis=(1, 2)).tolist() for frames, _ in batches]

    def loader(**options):
        return ts.Loader(FROZEN, 4, layout="btc", **options)

    first, again = loader(seed=3), loader(seed=3, threads=1, cache="stream")
    epochs = [numbers(first) for _ in range(4)]
    assert epochs == [numbers(again) for _ in range(4)]
    assert len({str(epoch) for epoch in epochs}) > 1 and first.epoch == 4
    assert sorted(sum(epochs[0], [])) == sorted(sum(epochs[1], []))
    first.set_epoch(1)
    assert numbers(first) == epochs[1]
    next(iter(first))  # epoch 2, left after a batch
    assert first.epoch == 2 and numbers(first) == epochs[3]
    in_order = [ts.ShardSet(FROZEN)[i].dense().sum() for i in range(6)]
    assert sum(numbers(loader(shuffle=False)), []) == in_order
    assert len(loader(drop_last=True)) == len(list(loader(drop_last=True))) == 1
    assert repr(loader(cache="stream")) == (
        f"<Loader {FROZEN}: 2 batches of [4, 250, 100] per epoch; cache stream: as asked>"
    )


def test_arrays_stay_while_they_are_used(windows_set):
    loader = ts.Loader(windows_set, 512, layout="btc", steps=4)
    kept = [(frames, frames.copy()) for frames, _ in loader]
    for frames, before in kept:
        np.testing.assert_array_equal(frames, before)
        frames[:] = -1
    again = ts.Loader(windows_set, 512, layout="btc", steps=4)
    for (frames, _), (_, before) in zip(again, kept):
        np.testing.assert_array_equal(frames, before)
    addresses = set()
    for frames, _ in again:  # every array is dropped here
        addresses.add(frames.__array_interface__["data"][0])
    assert len(addresses) <= 8 < len(again)


def test_ranks_share_every_step(windows_set):
    whole = [labelled(batch) for batch in ts.Loader(windows_set, 384, layout="btc", steps=4)]
    for drop_last in (False, True):
        options = {"layout": "btc", "steps": 4, "world_size": 3, "drop_last": drop_last}
        ranks = [ts.Loader(windows_set, 128, rank=rank, **options) for rank in range(3)]
        steps = list(zip(*ranks))
        assert len(steps) == len(ranks[0]) == 44 + (not drop_last)
        for together, expected in zip(steps, whole):
            assert b"".join(map(labelled, together)) == expected
        sizes = [len(frames) for frames, _ in steps[-1]]
        assert sizes == ([128, 128, 128] if drop_last else [36, 36, 33])
    # Fewer samples than ranks are left: some ranks get an empty batch, and none waits for ever.
    few = [[len(frames) for frames, _ in ts.Loader(FROZEN, 1, rank=rank, world_size=4)] for rank in range(4)]
    assert few == [[1, 1], [1, 1], [1, 0], [1, 0]]


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_ranks_get_what_ranks_of_the_trainer_take(windows_set, world_size):
    whole = [list(labels) for _, labels in ts.Loader(windows_set, 128, layout="btc", steps=4)]
    assert len(whole[-1]) < 128
    for rank in range(world_size):
        options = {"layout": "btc", "steps": 4, "rank": rank, "world_size": world_size}
        parts = [list(labels) for _, labels in ts.Loader(windows_set, 128 // world_size, **options)]
        for samples, part in zip(whole, parts, strict=True):
            # A batch has at most 32 blocks of the same size; the first ranks take one block more if it is needed.
            size = -(-len(samples) // 32)
            blocks = [samples[first : first + size] for first in range(0, len(samples), size)]
            more = len(blocks) % world_size
            first, end = (len(blocks) // world_size * r + min(r, more) for r in (rank, rank + 1))
            assert part == sum(blocks[first:end], [])


def labelled(batch):
    return batch[0].tobytes()


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_state_continues_exactly(windows_set, shuffle):
    def loader(batch_size=100, **options):
        return ts.Loader(windows_set, batch_size, seed=9, shuffle=shuffle, layout="btc", steps=4, **options)

    def rest(batches):
        return b"".join(map(labelled, batches))

    whole = loader()
    before = [labelled(batch) for batch in whole]  # epoch 0
    epoch = [labelled(batch) for batch in whole]  # epoch 1
    assert (before == epoch) is not shuffle
    for taken in (0, 1, 85, 170, 171):  # within the first window, the second, before the last batch, after it
        first = loader(cache="stream")
        first.set_epoch(1)
        batches = iter(first)
        for _ in range(taken):
            next(batches)
        state = first.state_dict()
        assert (state["epoch"], state["samples"]) == (1, min(taken * 100, 17_001))
        for second in (loader(), loader(batch_size=33, cache="host", threads=3)):
            second.load_state_dict(state)
            assert second.state_dict() == state
            assert rest(second) == b"".join(epoch[taken:])
            assert second.epoch == 2
        assert rest(batches) == b"".join(epoch[taken:])
        ranks = [loader(batch_size=7, rank=rank, world_size=2) for rank in range(2)]
        for rank in ranks:
            rank.load_state_dict(state)
        assert b"".join(labelled(batch) for step in zip(*ranks) for batch in step) == b"".join(epoch[taken:])


def test_only_the_last_iterator_moves_the_state():
    loader = ts.Loader(FROZEN, 2)
    old = iter(loader)
    next(old)
    new = iter(loader)
    next(new), next(new)
    next(old)
    assert (loader.state_dict()["epoch"], loader.state_dict()["samples"]) == (1, 4)
    loader.load_state_dict(loader.state_dict() | {"samples": 2})
    assert list(new) and loader.state_dict()["samples"] == 2


def test_a_state_of_something_else_is_refused(any_set):
    loader = ts.Loader(FROZEN, 2, seed=1)
    state = loader.state_dict()
    with pytest.raises(ts.IncompatibleError, match="set_id differs"):
        ts.Loader(any_set, 2, seed=1).load_state_dict(state)
    for other, text in [
        ({"seed": 2}, "seed of the state: expected 1, got 2"),
        ({"shuffle": False}, "shuffle of the state: expected true, got false"),
        ({"samples": 7}, "samples of the state: expected at most 6, got 7"),
    ]:
        with pytest.raises(ValueError, match=text):
            loader.load_state_dict(state | other)
    del state["epoch"]
    with pytest.raises(ValueError, match="state: expected a value for epoch, got none"):
        loader.load_state_dict(state)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"batch_size": 0}, "batch_size: expected 1 or more, got 0"),
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"steps": -1}, "steps: expected 1 or more, got -1"),
        ({"layout": "bct"}, "layout: expected btc, tbc, btphw or tbphw, got bct"),
        ({"dtype": "int8"}, r"dtype: expected a type .* \(uint8, uint16, uint32, float32\), got int8"),
        ({"seed": -1}, r"expected a number from 0 to 2\^64 - 1, got -1"),
        ({"seed": 2**64}, r"expected a number from 0 to 2\^64 - 1, got 18446744073709551616"),
        ({"rank": 2, "world_size": 2}, "rank: expected 0 to 1, got 2"),
        ({"world_size": 0}, "world_size: expected 1 or more, got 0"),
        ({"threads": 0}, "threads: expected 1 or more, got 0"),
        ({"cache": "device"}, "cache: expected auto, host or stream, got device"),
        ({"output": "jax"}, "output: expected numpy or torch, got jax"),
        ({"pad": "longest"}, "pad: expected fixed or batch, got longest"),
        ({"pad": "batch", "steps": 3}, 'steps: expected none next to pad="batch", got both'),
        ({"sparse": True, "layout": "tbc"}, "layout: expected btphw without squeeze, .* got tbc"),
        ({"sparse": True, "squeeze": True}, "layout: expected btphw without squeeze"),
    ],
)
def test_arguments_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        ts.Loader(FROZEN, **{"batch_size": 2, **options})


def test_a_type_too_narrow_is_refused(any_set):
    dtype = ts.ShardSet(any_set).dtype
    narrower = {"uint8": None, "uint16": "uint8", "uint32": "uint16", "float32": "uint32"}[dtype]
    if narrower is not None:
        with pytest.raises(ValueError, match=f"got {narrower}"):
            ts.Loader(any_set, 2, dtype=narrower)
        with pytest.raises(ValueError, match=f"got {narrower}"):
            ts.ShardSet(any_set)[0].dense(dtype=narrower)


def test_arrays_beyond_the_free_memory_are_refused():
    for make in (
        lambda: ts.Loader(FROZEN, 4, steps=2**40),
        lambda: ts.Loader(FROZEN, 2**62, steps=2**62, sparse=True),
        lambda: ts.ShardSet(FROZEN)[0].dense(steps=2**40),
    ):
        with pytest.raises(MemoryError, match="an array of shape .*: expected at most the .* that are free, got"):
            make()


def test_batches_as_tensors():
    torch = pytest.importorskip("torch")
    for (ours, classes), (frames, labels) in zip(ts.Loader(FROZEN, 4), ts.Loader(FROZEN, 4, output="torch")):
        assert frames.dtype == torch.float32 and labels.dtype == torch.int64
        assert frames.is_contiguous() and torch.equal(frames, torch.from_numpy(ours))
        assert torch.equal(labels, torch.from_numpy(classes))
    for (ours, _), (frames, _) in zip(ts.Loader(FROZEN, 4), ts.Loader(FROZEN, 4, output="torch", sparse=True)):
        assert torch.equal(frames.to_dense(), torch.from_numpy(ours).reshape(-1, 100))
    for (ours, _), (batch, _) in zip(ts.Loader(FROZEN, 4), ts.Loader(FROZEN, 4, sparse=True)):
        assert torch.equal(batch.to_torch("coo").to_dense(), torch.from_numpy(ours))
    with pytest.raises(ValueError, match="expected csr or coo, got csc"):
        batch.to_torch("csc")


def test_dlpack_shares_the_memory():
    frames, _ = next(iter(ts.Loader(FROZEN, 4)))
    shared = np.from_dlpack(frames)
    frames[0, 0, 0, 0, 0] = 77
    del frames
    gc.collect()
    assert shared[0, 0, 0, 0, 0] == 77


def test_page_locked_memory():
    torch = pytest.importorskip("torch")
    for options in ({}, {"output": "torch", "sparse": True}):
        with pytest.raises(ValueError, match='pin_memory: expected output="torch" and dense frames with it'):
            ts.Loader(FROZEN, 4, pin_memory=True, **options)
    if torch.cuda.is_available():
        loader = ts.Loader(FROZEN, 4, output="torch", pin_memory=True)
        assert all(frames.is_pinned() and labels.is_pinned() for frames, labels in loader)
    else:
        with pytest.warns(UserWarning, match="torch has no GPU"):
            loader = ts.Loader(FROZEN, 4, output="torch", pin_memory=True)
    for (pinned, _), (frames, _) in zip(loader, ts.Loader(FROZEN, 4)):
        np.testing.assert_array_equal(pinned.numpy(), frames)


def test_threads_that_share_an_iterator_get_each_batch_once(windows_set):
    loader = ts.Loader(windows_set, 100, steps=4, layout="btc", shuffle=False)
    batches, found = iter(loader), []

    def take():
        found.extend(frames.tobytes() for frames, _ in batches)

    takers = [threading.Thread(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(timeout=60)
    assert sorted(found) == sorted(labelled(batch) for batch in loader)
    assert loader.epoch == 2


def test_numbers_out_of_range_are_value_errors():
    ours, loader = ts.ShardSet(FROZEN), ts.Loader(FROZEN, 2)
    for use in (
        lambda: loader.set_epoch(-1),
        lambda: loader.load_state_dict(loader.state_dict() | {"epoch": -1}),
        lambda: ours.order(-1, 0),
        lambda: ours.order(0, 2**64),
        lambda: ts.epoch_order("09" * 32, samples=-1, chunk_samples=1, seed=0, epoch=0),
        lambda: ts.ShardSet(FROZEN, cache_bytes=-1),
        lambda: ts.BatchSampler(FROZEN, 2, seed=-1),
    ):
        with pytest.raises(ValueError, match="expected a number from 0 to 2"):
            use()
    with pytest.raises(TypeError):
        loader.set_epoch("1")
