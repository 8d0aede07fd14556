"""The event file of `tonic-train fit --tensorboard`, read by TensorBoard itself."""

import json
import subprocess

import pytest

from conftest import DEBUG, ROOT

SET = ROOT / "tests" / "data" / "frozen" / "conversion" / "finished"


def test_tensorboard_reads_all_metrics(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = tmp_path / "run"
    for epochs in ["2", "3"]:
        arguments = ["--train", SET, "--valid", SET, "--test", SET, "-o", run, "--epochs", epochs, "--hidden", "8,6"]
        options = ["--device", "cpu", "--batch-size", "16", "--resume=auto", "--tensorboard", "--quiet"]
        subprocess.run([DEBUG / "tonic-train", "fit", *map(str, arguments), *options], check=True)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    test = json.loads((run / "test.json").read_text())
    events = accumulators.EventAccumulator(str(run)).Reload()
    assert events.file_version == 2.0

    def expect(tag, values, steps=(1, 2, 3)):
        scalars = events.Scalars(tag)
        assert [scalar.step for scalar in scalars] == list(steps), tag
        assert [scalar.value for scalar in scalars] == pytest.approx(values, rel=1e-6), tag
        return [scalar.wall_time for scalar in scalars]

    for kind in ["loss", "accuracy"]:
        for part in ["train", "valid"]:
            times = expect(f"{kind}/{part}", [line[part][kind] for line in metrics])
            assert times == [line["unix_seconds"] for line in metrics]
        expect(f"{kind}/test", [test[kind]], [3])
    expect("learning_rate", [1e-3] * 3)
    for layer in [0, 1]:
        for kind in ["spikes", "silent", "saturated"]:
            expect(f"{kind}/layer_{layer + 1}", [line["activity"][layer][kind] for line in metrics])
    assert {"macro/valid_recall", "speed/samples_per_second"} <= set(events.Tags()["scalars"])
