"""Shared by the benchmarks: paths, running and measuring commands, printing reports."""
import argparse
import concurrent.futures
import dataclasses
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
SSC_SAMPLES = 75_466
CHANNELS, CLASSES = 100, 35


def arguments(description):
    """The options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2048, help="samples of the SSC-shaped file (2048)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each of ours, of which the median counts (5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


def peers_python(name="peers"):
    """Path of the Python that has the peers: PEERS_PYTHON (PEERS_JAX_PYTHON), or that of .deps/peers (.deps/peers-jax)."""
    python = os.environ.get(f"{name}_python".upper().replace("-", "_")) or str(ROOT / ".deps" / name / "bin" / "python")
    if not os.path.exists(python):
        requirements = name.replace("peers", "requirements")  # requirements.txt, requirements-jax.txt
        sys.exit(
            f"{python} is not there; make it with\n  python3.11 -m venv .deps/{name} && "
            f".deps/{name}/bin/pip install -r scripts/bench/peers/{requirements}.txt"
        )
    return python


def checked(command, **options):
    """Runs a command, which must succeed. Returns what it printed."""
    command = list(map(str, command))
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        why = f"killed by signal {-done.returncode}, out of memory?" if done.returncode < 0 else done.stderr
        sys.exit(f"{' '.join(command)}\n{why}")
    return done


def peer(script, *args, venv="peers"):
    """The JSON that a peer's script prints."""
    done = checked([peers_python(venv), HERE / "peers" / script, *args, "--json"])
    return json.loads(done.stdout.splitlines()[-1])


def peak_memory(pid):
    """Watches a process until it ends. Returns its peak memory in MiB. The figure that the system keeps of an ended process
    won't do: it begins with the memory of this program, from which the process was started."""
    peak = 0
    while True:
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]))
        except (IndexError, OSError):  # it has ended
            return peak / 1024
        time.sleep(0.002)


def ours(program, *args):
    """Runs a binary of ours. Returns the JSON that it prints, if any, with its seconds and peak memory in MiB."""
    command = [str(RELEASE / program), *map(str, args)]
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True)
        with concurrent.futures.ThreadPoolExecutor(1) as watcher:
            peak = watcher.submit(peak_memory, process.pid)
            errors = process.stderr.read()
            status = process.wait()
            seconds = time.perf_counter() - start
        if status != 0:
            sys.exit(f"{' '.join(command)}\n{errors}")
        out.seek(0)
        text = out.read().strip()
    report = json.loads(text) if text.startswith("{") else {}
    return report | {"wall_seconds": seconds, "peak_rss_mib": peak.result()}


def ssc_like(folder, samples):
    """Writes an SSC-shaped recording, which is then in the page cache."""
    path = pathlib.Path(folder) / "ssc_like.h5"
    subprocess.run([peers_python(), HERE / "peers" / "make_ssc_like.py", path, "-n", str(samples)], check=True)
    return path


def write_for_loaders(npy, out, *options):
    """Writes the frames of `tonic-prep export --npy` as peers/loaders.py stores them."""
    command = [peers_python("peers-remote"), HERE / "peers" / "loaders.py", "write", npy, out, *options]
    subprocess.run([str(word) for word in command], check=True)


def dense_operations(point):
    """Floating-point operations of a step's matrix products if nothing is skipped, without the gradient by the input."""
    hidden = point["hidden"]
    weights = CHANNELS * hidden + 2 * hidden * hidden
    products = 2 * weights + 2 * hidden * hidden
    readout = 3 * hidden * CLASSES / point["frames"]  # of the sum of spikes over time
    return 2 * point["batch"] * point["frames"] * (products + readout)


def build(*options):
    """Builds our release binaries."""
    subprocess.run(["cargo", "build", "--locked", "--release", "--quiet", *options], cwd=ROOT, check=True)


def say(text):
    """Prints progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def print_report(report, as_json):
    """Prints one JSON object, or one line per figure."""
    if as_json:
        print(json.dumps(report))
        return
    for key, value in report.items():
        print(f"{key:32s} {value:12.3f}" if isinstance(value, float) else f"{key:32s} {value}")


@dataclasses.dataclass
class Target:
    """A row of the table of targets: the name of a figure in the report, and its targets."""
    name: str
    text: str
    at_least: float
    moonshot: float
    lower_is_better: bool = False

    def met(self, value, bar):
        return value <= bar if self.lower_is_better else value >= bar


def shortfalls(report, targets):
    """Names of the figures that miss their target."""
    return [target.name for target in targets if not target.met(report[target.name], target.at_least)]


def print_targets(report, targets):
    """Prints the table of targets, in Markdown."""
    width = max(len(target.text) for target in targets)
    print(f"| {'':{width}} | at least | moonshot | measured |          |")
    print(f"|{'-' * (width + 2)}|---------:|---------:|---------:|----------|")
    for target in targets:
        value = report[target.name]
        verdict = "moonshot" if target.met(value, target.moonshot) else "ok" if target.met(value, target.at_least) else "short"
        bars = f"{target.at_least:8,.6g} | {target.moonshot:8,.6g}"
        print(f"| {target.text:{width}} | {bars} | {shown(value):>8} | {verdict:8} |")


def shown(value):
    """A number with three significant digits, or with all digits before the decimal point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
