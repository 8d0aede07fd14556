"""python -m tonic_shards and the command tonic-prep of the package: the commands of tonic-prep."""

import json
import subprocess
import sys

import pytest

from conftest import FROZEN, program


def run(*words, **options):
    return subprocess.run([*map(str, words)], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    "words",
    [
        ["info", FROZEN],
        ["info", FROZEN, "--json"],
        ["verify", FROZEN, "--quiet"],
        ["ls", FROZEN],
        ["cat", FROZEN, "--sample", "0"],
        ["transforms"],
        ["--version"],
        ["info", "none"],
        ["convert"],
        ["convert", "none.h5", "-o", "out", "--sample-overlap", "3"],
        ["info", FROZEN, "--nonsense"],
    ],
)
def test_commands_are_those_of_the_program(words, tmp_path):
    ours = run(sys.executable, "-m", "tonic_shards", *words, cwd=tmp_path)
    expected = run(program(), *words, cwd=tmp_path)
    # The usage names what was typed.
    told = ours.stderr.replace("Usage: python -m tonic_shards", "Usage: tonic-prep")
    assert (ours.stdout, told, ours.returncode) == (expected.stdout, expected.stderr, expected.returncode)


def test_a_set_is_converted_and_shown(tmp_path):
    prep = [sys.executable, "-m", "tonic_shards"]
    run(*prep, "synth", "-o", "a.h5", "--samples", 5, "--classes", 2, check=True, cwd=tmp_path)
    run(*prep, "convert", "a.h5", "-o", "set", check=True, cwd=tmp_path)
    told = run(*prep, "info", "set", "--json", check=True, cwd=tmp_path).stdout
    assert json.loads(told)["samples"] == 5
