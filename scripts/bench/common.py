"""What the benchmarks share: where things are, how a command is measured, how a report is printed."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def arguments(description):
    """The options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2048, help="samples of the SSC-shaped file (2048)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each of ours, of which the median counts (5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


def peers_python(name="peers"):
    """The Python with the peers in it: PEERS_PYTHON, or the virtual environment .deps/peers."""
    python = os.environ.get("PEERS_PYTHON") or str(ROOT / ".deps" / name / "bin" / "python")
    if not os.path.exists(python):
        sys.exit(
            f"{python} is not there; make it with\n  python3.11 -m venv .deps/{name} && "
            f".deps/{name}/bin/pip install -r scripts/bench/peers/requirements.txt"
        )
    return python


def peer(script, *args):
    """The JSON that a peer's script prints."""
    command = [peers_python(), str(HERE / "peers" / script), *map(str, args), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def ours(program, *args):
    """Runs a binary of ours; its JSON if it prints any, seconds and peak memory in MiB."""
    command = [str(RELEASE / program), *map(str, args)]
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            sys.exit(f"{' '.join(command)}\n{errors}")
        out.seek(0)
        text = out.read().strip()
    report = json.loads(text) if text.startswith("{") else {}
    return report | {"wall_seconds": seconds, "peak_rss_mib": usage.ru_maxrss / 1024}


def ssc_like(folder, samples):
    """An SSC-shaped recording, in the page cache because it was just written."""
    path = pathlib.Path(folder) / "ssc_like.h5"
    subprocess.run([peers_python(), HERE / "peers" / "make_ssc_like.py", path, "-n", str(samples)], check=True)
    return path


def build(*options):
    """Builds our release binaries. Without `--features train`, tonic-prep is the one without libtorch."""
    subprocess.run(["cargo", "build", "--locked", "--release", "--quiet", *options], cwd=ROOT, check=True)


def median(values):
    return statistics.median(values)


def print_report(report, as_json):
    """One JSON object, or a line for each figure."""
    if as_json:
        print(json.dumps(report))
        return
    for key, value in report.items():
        print(f"{key:32s} {value:12.3f}" if isinstance(value, float) else f"{key:32s} {value}")
