"""ts.convert: the sets of tonic-prep, recipes of any form, progress, Ctrl-C, errors."""

import json
import pathlib
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

import tonic_shards as ts
from conftest import RECIPES, program, write_camera

(WIDTH, HEIGHT, POLARITIES), TOML = RECIPES["uint16"]
SENSOR = (WIDTH, HEIGHT, POLARITIES)
AS_DICT = {"transform": [{"name": "MergePolarities"}], "frames": {"time_window": 20000, "include_incomplete": True}}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_camera(folder, WIDTH, HEIGHT, POLARITIES, 1)
    return folder


def files(folder):
    """All files of a set but hidden ones."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


def test_a_set_has_the_bytes_of_the_programs(recordings, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(TOML)
    options = ["--sensor", "16,12,2", "--recipe", recipe, "--chunk-samples", 3, "--time-unit", "us"]
    subprocess.run([program(), "convert", recordings, "-o", tmp_path / "a", *map(str, options), "--quiet"], check=True)
    given = {"sensor": SENSOR, "recipe": recipe, "chunk_samples": 3, "time_unit": "us", "quiet": True}
    ours = ts.convert(recordings, tmp_path / "b", **given)
    assert isinstance(ours, ts.ShardSet) and ours.path == tmp_path / "b"
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("recipe", [TOML, AS_DICT, {**AS_DICT, "transform": tuple(AS_DICT["transform"])}])
def test_a_recipe_is_a_text_or_a_dict(recordings, tmp_path, recipe):
    file = tmp_path / "recipe.toml"
    file.write_text(TOML)
    expected = ts.convert(recordings, tmp_path / "file", recipe=str(file), sensor=SENSOR, quiet=True)
    ours = ts.convert([recordings], tmp_path / "set", recipe=recipe, sensor="16,12,2", quiet=True)
    assert ours.id == expected.id
    again = ts.convert(recordings, tmp_path / "of", recipe_of=ours.path, sensor=SENSOR, quiet=True)
    assert again.id == expected.id


def test_options_are_those_of_the_program(recordings, tmp_path):
    drive = recordings / "class0" / "0.npy"
    options = {
        "sensor": SENSOR,
        "sample_duration": "10ms",
        "sample_overlap": 1000,
        "label": "street",
        "time_window": 500,
    }
    ours = ts.convert(
        drive, tmp_path / "a", events=(0, 500), map={"t": "t", "x": "x", "y": "y", "p": "p"}, **options, quiet=True
    )
    cut = "--sample-duration 10ms --sample-overlap 1000us --events 0..500"
    typed = f"--sensor 16,12,2 {cut} --label street --time-window 500"
    command = [program(), "convert", drive, "-o", tmp_path / "b", *typed.split(), "--quiet"]
    subprocess.run(command, check=True)
    assert ours.id == ts.ShardSet(tmp_path / "b").id and ours.classes == ["street"] and len(ours) > 1
    names = ["class2", "class1", "class0"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    options = {"sensor": SENSOR, "quiet": True}
    given = [
        ts.convert(recordings, tmp_path / str(i), classes=classes, **options)
        for i, classes in enumerate((names, tmp_path / "names.txt"))
    ]
    assert (
        given[0].id == given[1].id and given[0].classes == names and given[0].labels.tolist() == [2, 2, 2, 1, 1, 0, 0]
    )
    assert ts.convert(recordings, tmp_path / "of", classes_of=given[0].path, **options).id == given[0].id
    assert len(ts.convert(recordings, tmp_path / "limit", limit=2, **options)) == 2


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"sensor": None}, ValueError, "sensor"),
        ({"sensor": (9, 9, 2)}, ValueError, r"event \d+: expected x, y, p inside the sensor, 9x9x2, got"),
        ({"sensor": (0, 9, 2)}, ValueError, "sensor: expected W or W,H,P, such as 700 or 346,260,2, got 0,9,2"),
        ({"layout": "no"}, ValueError, "layout: expected one of hsd, .* got no"),
        ({"time_unit": "h"}, ValueError, "time_unit: expected s, ms, us or ns, got h"),
        ({"recipe": "frames = 3"}, ValueError, r"recipe: frames: expected \[frames\], one table, got 3"),
        (
            {"recipe": {"frames": {"n_time_bins": np.float32("nan")}}},
            ValueError,
            "n_time_bins: expected a finite number",
        ),
        ({"recipe": 3}, TypeError, "recipe: expected a path, TOML, a dict or a Compose of Tonic, got int"),
        ({"recipe": "no.toml"}, FileNotFoundError, "no.toml"),
        ({"recipe": TOML, "channels": 3}, ValueError, "recipe: expected none next to channels, got both"),
        ({"resume": True, "overwrite": True}, ValueError, "resume: expected none next to overwrite, got both"),
        ({"max_loss": 2}, ValueError, "max_loss: expected a share from 0 to 1, got 2"),
        ({"shard_size": "x"}, ValueError, "shard_size: expected bytes, or a size such as 64M, 512k or 1G, got x"),
        ({"chunk_samples": 0}, ValueError, "chunk_samples: expected 1 to"),
        (
            {"sample_overlap": "3ms"},
            ValueError,
            "sample_overlap: expected `sample_duration` or `sample_events` with it",
        ),
        ({"classes": ["a", "a"]}, ValueError, 'classes: expected each class once, got "a" twice'),
        ({"classes": ["a"]}, ValueError, "expected classes of classes"),
        ({"origin": 2}, ValueError, "origin: expected 0 or 1, got 2"),
        ({"nonsense": 1}, TypeError, "nonsense"),
    ],
)
def test_mistakes_are_exceptions(recordings, tmp_path, options, error, text):
    with pytest.raises(error, match=text):
        ts.convert(recordings, tmp_path / "set", **{"sensor": SENSOR, "quiet": True, **options})
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_what_is_there_is_kept(recordings, tmp_path):
    first = ts.convert(recordings, tmp_path / "set", sensor=SENSOR, quiet=True)
    with pytest.raises(FileExistsError, match="it holds a set"):
        ts.convert(recordings, tmp_path / "set", sensor=SENSOR, quiet=True)
    with pytest.raises(FileNotFoundError, match="none.h5"):
        ts.convert(tmp_path / "none.h5", tmp_path / "other", quiet=True)
    other = ts.convert(recordings, tmp_path / "set", sensor=SENSOR, time_window=700, overwrite=True, quiet=True)
    assert (
        other.id != first.id == ts.convert(recordings, tmp_path / "set", sensor=SENSOR, overwrite=True, quiet=True).id
    )
    assert ts.convert(recordings, tmp_path / "set", sensor=SENSOR, resume="auto", quiet=True).id == first.id


def test_progress_and_notes_go_to_pythons_stderr(recordings, tmp_path, capsys):
    ts.convert(recordings, tmp_path / "set", sensor=SENSOR)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "convert: layout: NumPy array, sensor 16x12x2"
    assert any(line.startswith("convert: 7 samples in ") for line in lines)
    ts.convert(recordings, tmp_path / "quiet", sensor=SENSOR, quiet=True)
    assert capsys.readouterr() == ("", "")
    with pytest.warns(UserWarning, match="CropTime") as warned:
        ts.convert(recordings, tmp_path / "lost", sensor=SENSOR, crop_time=900, quiet=True)
    assert warned[0].filename == __file__
    with pytest.raises(ValueError, match=r"expected at most 10% of the events to be lost, got .*CropTime"):
        ts.convert(recordings, tmp_path / "most", sensor=SENSOR, crop_time=900, max_loss=0.1, quiet=True)


# Each recording becomes a shard.
INTERRUPTED = """
import os, pathlib, signal, sys, threading, time
import tonic_shards as ts
run = {"recipe": {"transform": [{"name": "Denoise", "filter_time": 1000}], "frames": {"time_window": 1000}},
    "sensor": (128, 128, 2), "chunk_samples": 1, "shard_size": 1, "quiet": True, "threads": 1}
def stop():
    # This thread runs while the conversion does: the GIL is free.
    while len(list(pathlib.Path(sys.argv[2]).glob("*.shard"))) < 2:
        time.sleep(0.01)
    times["sent"] = time.perf_counter()
    os.kill(os.getpid(), signal.SIGINT)
times = {}
threading.Thread(target=stop, daemon=True).start()
try:
    ts.convert(sys.argv[1], sys.argv[2], **run)
except KeyboardInterrupt as error:
    took = time.perf_counter() - times["sent"]
    assert "resume=True" in str(error), error
else:
    sys.exit("not interrupted")
done = len(list(pathlib.Path(sys.argv[2]).glob("*.shard")))
assert 2 <= done < 60, done
assert took < 2, took
try:
    ts.ShardSet(sys.argv[2])
    sys.exit("a part is no set")
except ts.CorruptError as error:
    assert "incomplete" in str(error), error
before = ts.convert(sys.argv[1], sys.argv[2], **run, resume=True)
assert len(before) == 60
print(before.id, done)
"""


def test_ctrl_c_ends_a_conversion_and_resume_continues_it(tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / "recordings" / "a"
    folder.mkdir(parents=True)
    for i in range(60):
        events = np.zeros(60_000, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])
        events["t"] = np.sort(rng.integers(0, 200_000, len(events)))
        for name, size in (("x", 128), ("y", 128), ("p", 2)):
            events[name] = rng.integers(0, size, len(events))
        np.save(folder / f"{i:02}.npy", events)
    paths = [str(tmp_path / "recordings"), str(tmp_path / "set")]
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, *paths], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    whole = ts.convert(
        paths[0],
        tmp_path / "whole",
        recipe={"transform": [{"name": "Denoise", "filter_time": 1000}], "frames": {"time_window": 1000}},
        sensor=(128, 128, 2),
        chunk_samples=1,
        shard_size=1,
        quiet=True,
    )
    assert done.stdout.split()[0] == whole.id


def test_conversions_in_two_threads_take_turns(recordings, tmp_path):
    made = {}
    work = lambda name: made.setdefault(name, ts.convert(recordings, tmp_path / name, sensor=SENSOR, quiet=True).id)
    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(made) == 3 and len(set(made.values())) == 1


def test_the_catalogue_is_that_of_the_program():
    told = subprocess.run([program(), "transforms", "--json"], check=True, capture_output=True, text=True).stdout
    assert json.loads(ts._native.catalogue()) == json.loads(told)


def test_a_data_set_is_known_by_name(tmp_path):
    stand_in = pathlib.Path(__file__).parent.parent / "data" / "datasets" / "nmnist.zip"
    with zipfile.ZipFile(stand_in) as archive:
        archive.extractall(tmp_path / "download")
    ours = ts.convert(tmp_path / "download", tmp_path / "test", dataset="N-MNIST", split="test", quiet=True)
    assert len(ours) == 10 and ours.classes[3] == "3 - three"
    assert sorted(ours.labels) == list(range(10))
    with pytest.raises(ValueError, match="split: expected one of train, test for N-MNIST, got valid"):
        ts.convert(tmp_path / "download", tmp_path / "a", dataset="nmnist", split="valid", quiet=True)
    with pytest.raises(ValueError, match="sensor: expected none next to `dataset`"):
        ts.convert(tmp_path / "download", tmp_path / "b", dataset="nmnist", sensor=(64, 64, 2), quiet=True)
    with pytest.raises(ValueError, match="split: expected none without `dataset`"):
        ts.convert(tmp_path / "download", tmp_path / "c", split="test", quiet=True)
