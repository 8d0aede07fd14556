"""Networks and predictions of tonic-train: in Sinabs, networks do what `tonic-train eval` found."""

import csv
import json
import shutil
import subprocess

import numpy as np
import pytest

import tonic_shards as ts
from conftest import DEBUG, ROOT

FROZEN = ROOT / "tests" / "data" / "frozen"
SET = FROZEN / "conversion" / "finished"
RUNS = ["between_epochs", "within_epoch"]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_arrays(name):
    run = ts.load_run(FROZEN / name / "finished")
    assert isinstance(run, ts.Run)
    assert run.classes == ["north", "east", "south", "west"] and run.steps == 250
    assert run.neuron == (1.0, None if name == "between_epochs" else -1.0, 0.5, 1.0)
    assert [weight.shape[0] for weight, _ in run.layers][-1] == 4 and run.layers[0][0].shape[1] == 100
    assert all(bias.shape == weight.shape[:1] and weight.dtype == np.float32 for weight, bias in run.layers)
    assert [line["epoch"] for line in run.metrics] == list(
        range(run.metrics[0]["epoch"], len(run.metrics) + run.metrics[0]["epoch"])
    )
    alone = ts.load_run(run.path)
    assert alone.metrics == [] and all(np.array_equal(a[0], b[0]) for a, b in zip(alone.layers, run.layers))


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("best", [False, True])
def test_logits_in_sinabs_are_those_that_eval_judged(name, best):
    sinabs = pytest.importorskip("sinabs")
    import torch

    expected = json.loads((FROZEN / name / ("eval_best.json" if best else "eval.json")).read_text())
    run = ts.load_run(FROZEN / name / "stopped", best=best)
    model = run.to_sinabs()
    # With --pad batch, eval has padded to the longest sample of its batch, which was the whole set.
    steps = run.steps if name == "between_epochs" else ts.ShardSet(SET).max_frames
    ((frames, labels),) = ts.Loader(SET, 128, steps=steps, layout="btc", output="torch", shuffle=False)
    sinabs.reset_states(model)
    with torch.no_grad():
        logits = model(frames).sum(1)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert loss == pytest.approx(expected["loss"], rel=1e-5)
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (labels.numpy(), logits.argmax(1).numpy()), 1)
    assert confusion.tolist() == expected["confusion"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:5],
        lambda data: data[:-4],
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data.replace(b'"F32"', b'"F16"'),
        lambda data: data.replace(b"tonic_toolkit", b"tonic_tootkil"),
        lambda data: data.replace(b"2.bias", b"9.bias"),
        lambda data: data[:-4] + b"\xff\xff\xff\x7f",
        lambda data: data.replace(b"[10,100]", b"[100,10]"),
    ],
)
def test_a_damaged_model_is_refused(tmp_path, damage):
    shutil.copytree(FROZEN / "within_epoch" / "finished", tmp_path / "run")
    model = tmp_path / "run" / "model.safetensors"
    model.write_bytes(damage(model.read_bytes()))
    with pytest.raises(ts.CorruptError, match="model.safetensors: corrupt: expected a model of tonic-train, got"):
        ts.load_run(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="none"):
        ts.load_run(tmp_path / "none")


def test_a_network_of_other_layers_is_refused_by_name(tmp_path):
    data = (FROZEN / "within_epoch" / "finished" / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    description = json.loads(header["__metadata__"]["tonic_toolkit"])
    del description["neuron"]
    header["__metadata__"]["tonic_toolkit"] = json.dumps({"network": 'layers = [\n  { neuron = "lif" },\n]', **description})
    changed = json.dumps(header).encode()
    model = tmp_path / "model.safetensors"
    model.write_bytes(len(changed).to_bytes(8, "little") + changed + data[8 + size :])
    expected = r"model.safetensors: expected linear layers with integrate-and-fire .*, got layers = \[ { neuron = \"lif\" }, \]"
    with pytest.raises(ValueError, match=expected):
        ts.load_run(model)


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    """What `tonic-train predict` writes for a run and its set."""
    out = tmp_path_factory.mktemp("predictions") / "out"
    run = FROZEN / "between_epochs" / "stopped"
    words = ["predict", "--model", run, "--data", SET, "-o", out, "--device", "cpu", "--quiet"]
    subprocess.run([DEBUG / "tonic-train", *words], check=True)
    return out


def test_predictions_are_read(predictions):
    found = ts.read_predictions(predictions)
    assert isinstance(found, ts.Predictions)
    train = ts.ShardSet(SET)
    assert found.classes == train.classes and np.array_equal(found.labels, train.labels)
    assert found.logits.dtype == np.float32 and found.logits.shape == (len(train), 4)
    expected = json.loads((FROZEN / "between_epochs" / "eval.json").read_text())
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (found.labels, found.predicted), 1)
    assert confusion.tolist() == expected["confusion"]


def _hostile(folder, names):
    """A prediction of two samples, the second of them without a label."""
    folder.mkdir()
    logits = np.array([[1.5, -2.25], [0.1, 3e-8]], np.float32)
    np.save(folder / "logits.npy", logits)
    with open(folder / "predictions.csv", "w", newline="", encoding="utf-8") as file:
        rows = [["sample", "label", "predicted", *names]]
        rows += [[0, names[1], names[0], *logits[0]], [1, "", names[0], *logits[1]]]
        csv.writer(file).writerows(rows)
    return logits


def test_labels_are_read_by_names_of_any_kind(tmp_path):
    names = ['a,\r\n"b"', "\x1b[2J"]
    logits = _hostile(tmp_path / "out", names)
    found = ts.read_predictions(tmp_path / "out")
    assert found.classes == names and found.labels.tolist() == [1, -1] and found.predicted.tolist() == [0, 0]
    assert np.array_equal(found.logits, logits)
    for number, names in enumerate([["a", "a"], ["", "a"]]):
        _hostile(tmp_path / str(number), names)
        with pytest.raises(ValueError, match="expected a name of its own for each class"):
            ts.read_predictions(tmp_path / str(number))


@pytest.mark.parametrize(
    "file, damage",
    [
        ("logits.npy", lambda data: data[:-4]),
        ("logits.npy", lambda data: b""),
        ("logits.npy", lambda data: data[:-4] + b"\0\0\x80\x3f"),
        ("logits.npy", lambda data: data.replace(b"<f4", b"<i4")),
        ("predictions.csv", lambda data: b""),
        ("predictions.csv", lambda data: data[: data.rindex(b"\r\n", 0, -2) + 2]),
        ("predictions.csv", lambda data: data.replace(b"\r\n0,north", b"\r\n0,up").replace(b"\r\n0,", b"\r\n0,x")),
        ("predictions.csv", lambda data: data.replace(b"predicted", b"guessed")),
        ("predictions.csv", lambda data: data + b"12,"),
    ],
)
def test_damaged_predictions_are_refused(predictions, tmp_path, file, damage):
    shutil.copytree(predictions, tmp_path / "out")
    (tmp_path / "out" / file).write_bytes(damage((tmp_path / "out" / file).read_bytes()))
    with pytest.raises(ts.CorruptError, match="predictions.csv: corrupt: expected predictions of tonic-train, got"):
        ts.read_predictions(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="none"):
        ts.read_predictions(tmp_path / "none")


@pytest.mark.parametrize("read", [ts.load_run, ts.read_predictions])
def test_runs_at_urls_are_refused(read):
    with pytest.raises(ValueError, match="file:///runs/first: expected a folder or file of this machine, got a URL"):
        read("file:///runs/first")
