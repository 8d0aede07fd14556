"""ts.Writer: sets from arrays, compared with sets from recordings of the same events."""

import os
import signal
import subprocess
import sys

import blake3
import numpy as np
import numpy.lib.recfunctions as rfn
import pytest
import spec_reader

import tonic_shards as ts
from conftest import RECIPES, write_camera
from test_convert import files


def recordings(folder):
    """The events and the class of each file, in the order of the set."""
    return [(np.load(file), int(file.parent.name[-1])) for file in sorted(folder.glob("*/*.npy"))]


def same_frames(a, b):
    a, b = spec_reader.Set(a), spec_reader.Set(b)
    assert len(a.samples) == len(b.samples)
    for i, (one, other) in enumerate(zip(a.samples, b.samples)):
        assert {name: one[name] for name in (*spec_reader.LEDGER, "label")} == {
            name: other[name] for name in (*spec_reader.LEDGER, "label")
        }
        np.testing.assert_array_equal(a.dense(i), b.dense(i))


@pytest.mark.filterwarnings("ignore:slicing into frames")
@pytest.mark.parametrize("kind", RECIPES)
def test_frames_are_those_of_a_recording(tmp_path, kind):
    size, recipe = RECIPES[kind]
    write_camera(tmp_path / "recordings", *size, 20 if kind == "uint32" else 1)
    options = {"recipe": recipe, "chunk_samples": 3, "quiet": True}
    expected = ts.convert(tmp_path / "recordings", tmp_path / "a", sensor=size, **options)
    with ts.Writer(tmp_path / "b", size, classes=expected.classes, **options) as out:
        for events, label in recordings(tmp_path / "recordings"):
            out.add(events, label)
        assert len(out) == 7
    ours = ts.ShardSet(tmp_path / "b")
    same_frames(tmp_path / "a", tmp_path / "b")
    (a,), b = (set.info()["sources"] for set in (ours, expected))
    assert a["samples"] == 7 and a["name"] == "added events" and len(b) == 7
    # All but the sources is equal: the same chunks, so the same identity.
    assert ours.id == expected.id and ours.classes == expected.classes


def test_events_of_any_form_and_type_are_the_same_set(tmp_path):
    write_camera(tmp_path / "recordings", 34, 34, 2, 1)
    all_events = recordings(tmp_path / "recordings")
    forms = {
        "records": lambda e: e,
        "tonic": lambda e: rfn.require_fields(e, [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)]),
        "dict": lambda e: {
            "ts": e["t"].astype(float),
            "x": e["x"].astype(np.uint8),
            "y": e["y"].astype(">u2"),
            "pol": e["p"] * 2 - 1,
        },
        "lists": lambda e: {name: e[name].tolist() for name in "txyp"},
        "table": lambda e: np.stack([e["x"], e["y"], e["t"], e["p"]], axis=1),
        "floats": lambda e: np.stack([e["x"], e["y"], e["t"], e["p"]], axis=1).astype(np.float32),
        "dates": lambda e: {"t": e["t"].astype("m8[us]").astype("m8[ns]"), "x": e["x"], "y": e["y"], "p": e["p"]},
    }
    made = {}
    for name, form in forms.items():
        with ts.Writer(tmp_path / name, (34, 34, 2), columns="x,y,t,p", time_window=1000, quiet=True) as out:
            for i, (events, label) in enumerate(all_events):
                out.add(form(events), np.int64(label), speaker=i % 2, day=np.uint8(i))
        made[name] = files(tmp_path / name)
    assert all(made[name] == made["records"] for name in forms)
    ours = ts.ShardSet(tmp_path / "records")
    assert ours.extras["speaker"].tolist() == [0, 1] * 3 + [0] and ours.extras["day"].tolist() == list(range(7))
    assert ours.classes == ["0", "1", "2"] and ours.labels.tolist() == [label for _, label in all_events]
    canonical = b"".join(
        len(e).to_bytes(8, "little")
        + bytes([8, 2, 2, 1])
        + e["t"].astype("<i8").tobytes()
        + e["x"].astype("<u2").tobytes()
        + e["y"].astype("<u2").tobytes()
        + e["p"].astype("u1").tobytes()
        for e, _ in all_events
    )
    assert ours.info()["sources"][0]["blake3"] == blake3.blake3(canonical).hexdigest()
    assert ours.info()["sources"][0]["bytes"] == len(canonical)


def test_names_of_classes(tmp_path):
    events = {"t": [0, 10], "x": [0, 1]}
    with ts.Writer(tmp_path / "sorted", 2, quiet=True) as out:
        for label in ("wave", "clap", None, "wave"):
            out.add(events, label)
    ours = ts.ShardSet(tmp_path / "sorted")
    assert ours.classes == ["clap", "wave"] and ours.labels.tolist() == [1, 0, -1, 1]
    with ts.Writer(tmp_path / "given", 2, classes=["wave", "rest", "clap"], quiet=True) as out:
        for label in ("wave", 2, None):
            out.add(events, label)
        for label, text in (
            ("run", r"expected classes of classes \(wave, rest, clap\), got run"),
            (3, "label: expected a class, 0 to 2, got 3"),
            (-1, "label: expected a class from 0, or None, got -1"),
        ):
            with pytest.raises(ValueError, match=text):
                out.add(events, label)
        with pytest.raises(TypeError):
            out.add(events, 1.5)
    assert ts.ShardSet(tmp_path / "given").labels.tolist() == [0, 2, -1]
    with ts.Writer(tmp_path / "mixed", 2, quiet=True) as out:
        out.add(events, 1)
        with pytest.raises(
            ValueError, match="label: expected the number of a class, as the samples before have, got a"
        ):
            out.add(events, "a")
    assert ts.ShardSet(tmp_path / "mixed").classes == ["0", "1"]


def event(**columns):
    n = len(next(iter(columns.values())))
    return {"t": np.arange(n), "x": np.zeros(n, int), "y": np.zeros(n, int), "p": np.zeros(n, int), **columns}


@pytest.mark.parametrize(
    "events, text",
    [
        (event(x=[0, 9]), r"added events: sample 1: event 1: expected x, y, p inside the sensor, 4x4x2, got 9, 0, 0"),
        (event(x=[0.0, np.nan]), "sample 1: event 1: expected x and y that are finite, got x = NaN"),
        (
            event(x=np.linspace(0.1, 0.9, 200), t=np.arange(200) * 10_000),
            "sample 1: x: expected pixels, got fractions from 0.1 to 0.9",
        ),
        (event(p=[0, 2]), "sample 1: p: expected polarities -1 or 0 for off and 1 for on"),
        (event(p=[0, -1]), "sample 1: p: expected polarities"),
        (
            event(t=np.r_[np.arange(500), np.arange(500)] * 1000),
            "sample 1: times: expected a clock that goes on, got a reset",
        ),
        (event(t=np.arange(500) * 1e-6), "sample 1: times: expected"),
        (event(x=[1, 2, 3], t=[1, 2]), "x: expected 2 numbers, as t has, got 3"),
        ({"x": [1], "y": [1], "p": [1]}, "events: expected columns t and x at least, got x, y, p"),
        ({"t": [1], "x": [1]}, r"expected rows \(y\) and polarities \(p\) for a sensor of 4x4x2"),
        ({"t": [1], "ts": [1], "x": [1]}, "events: expected one column t, got t and ts"),
        (event(x=[["a"]]), "x: expected one dimension"),
        (event(x=["a", "b"]), "x: expected integers or floats, got <U1"),
        (np.zeros((3, 4)), "events: expected fields t, x, y and p, or columns="),
    ],
)
def test_bad_samples_are_refused_where_they_are_added(tmp_path, events, text):
    good = event(t=[0, 10])
    with ts.Writer(tmp_path / "set", (4, 4, 2), quiet=True) as out:
        out.add(good, 0)
        with pytest.raises(ValueError, match=text):
            out.add(events, 0)
        out.add(good, 0)
    assert len(ts.ShardSet(tmp_path / "set")) == 2


def test_extras_are_those_of_the_first_sample(tmp_path):
    with ts.Writer(tmp_path / "set", 2, quiet=True) as out:
        out.add({"t": [0], "x": [0]}, 0, speaker=1)
        for extras, got in (({}, "none"), ({"day": 1}, "day"), ({"day": 1, "speaker": 2}, "day, speaker")):
            with pytest.raises(ValueError, match=f"extras: expected speaker, as the samples before have, got {got}"):
                out.add({"t": [0], "x": [0]}, 0, **extras)
        with pytest.raises(ValueError, match=f"speaker: expected a number from .* to 2.63 - 1, got {2**64}"):
            out.add({"t": [0], "x": [0]}, 0, speaker=2**64)
        assert len(out.finish()) == 1
    assert ts.ShardSet(tmp_path / "set").extras["speaker"].tolist() == [1]


def test_what_is_lost_is_counted(tmp_path):
    events = {"t": np.array([0.0, 1, np.nan, 3]), "x": [0, 1, 1, 7], "y": [0] * 4, "p": [1, 1, 1, 1]}
    recipe = {"transform": [{"name": "CropTime", "max": 0}], "frames": {"n_time_bins": 1}}
    with pytest.warns(UserWarning):
        with ts.Writer(tmp_path / "set", (4, 4, 2), recipe=recipe, lenient=True, quiet=True) as out:
            out.add(events, 0)
    ledger = ts.ShardSet(tmp_path / "set").ledger
    assert (ledger["events_in"], ledger["non_finite"], ledger["outside"], ledger["cropped"]) == (4, 1, 1, 1)
    writer = ts.Writer(tmp_path / "most", (4, 4, 2), recipe=recipe, lenient=True, max_loss=0.5, quiet=True)
    writer.add(events, 0)
    with pytest.raises(ValueError, match="expected at most 50% of the events to be lost"):
        writer.finish()


def test_a_cochlea_of_tonic_has_a_polarity_in_every_event(tmp_path):
    events = np.array([(0, 3, 1), (5500, 4, 1)], [("t", int), ("x", int), ("p", int)])
    with ts.Writer(tmp_path / "set", (700, 1, 1), time_window=1000, channels=700, quiet=True) as out:
        out.add(events, 0)
    np.testing.assert_array_equal(ts.ShardSet(tmp_path / "set")[0].sparse().x, [3, 4])


def test_large_samples_are_read_in_blocks(tmp_path):
    n = (1 << 22) + 1000
    rng = np.random.default_rng(3)
    events = {
        "t": np.sort(rng.integers(0, 3_000_000, n)),
        "x": rng.integers(0, 30, n),
        "y": rng.integers(0, 20, n),
        "p": rng.integers(0, 2, n),
    }
    np.savez(tmp_path / "large.npz", **events)
    options = {"recipe": {"frames": {"time_window": 100_000}}, "quiet": True}
    with ts.Writer(tmp_path / "a", (30, 20, 2), **options) as out:
        out.add(events)
    ts.convert(tmp_path / "large.npz", tmp_path / "b", sensor=(30, 20, 2), **options)
    same_frames(tmp_path / "a", tmp_path / "b")


def test_an_unfinished_writer_leaves_nothing(tmp_path):
    good = {"t": [0], "x": [0]}
    with pytest.raises(RuntimeError, match="mine"):
        with ts.Writer(tmp_path / "set", 2, quiet=True) as out:
            out.add(good, 0)
            raise RuntimeError("mine")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        out.add(good, 0)
    dropped = ts.Writer(tmp_path / "set", 2, quiet=True)
    dropped.add(good, 0)
    del dropped
    with pytest.raises(ValueError, match="samples: expected at least one, got none"):
        ts.Writer(tmp_path / "set", 2, quiet=True).finish()
    assert list(tmp_path.iterdir()) == []
    ts.Writer(tmp_path / "set", 2, quiet=True)
    with ts.Writer(tmp_path / "set", 2, quiet=True) as out:
        out.add(good, 0)
    with pytest.raises(FileExistsError, match="it holds a set"):
        ts.Writer(tmp_path / "set", 2, quiet=True)
    with ts.Writer(tmp_path / "set", 2, overwrite=True, quiet=True) as out:
        out.add(good, 0)
        out.add(good, 0)
    assert len(ts.ShardSet(tmp_path / "set")) == 2


KILLED = """
import sys, tonic_shards as ts
writer = ts.Writer(sys.argv[1] + "/set", 2, quiet=True)
for i in range(1000):
    writer.add({"t": range(0, 1_000_000, 1000), "x": [0] * 1000}, 0)
print("added", flush=True)
sys.stdin.read()
"""


def test_a_killed_writer_leaves_nothing(tmp_path):
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, **pipes)
    assert writer.stdout.readline() == "added\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert [*tmp_path.iterdir()] == [tmp_path / "tmp"] and not any((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    "options, text",
    [
        ({"sensor_size": (4, 4)}, "sensor: expected W or W,H,P"),
        ({"recipe": "[frames]\nsensor_size = [3, 3, 1]\nn_time_bins = 1"}, "sensor_size"),
        ({"classes": "abc"}, "classes: expected a list of names, got 'abc'"),
        ({"classes": []}, "classes: expected at least one name, got none"),
        ({"recipe": TypeError}, "recipe"),
    ],
)
def test_mistakes_are_known_before_the_first_sample(tmp_path, options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        ts.Writer(tmp_path / "set", **{"sensor_size": (4, 4, 2), "quiet": True, **options})
    assert list(tmp_path.iterdir()) == []
