"""Runs the parts of scripts/bench/gpu under one time budget, each with a limit, and writes the report after each."""
import datetime
import glob
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from common import RELEASE, ROOT, say

WORDS = 600  # maximum number of characters of an error
STUCK = 5  # seconds to wait for a process that was killed


class Failed(Exception):
    """A command failed, or a figure is missing; possibly because of an earlier failure."""

    def __init__(self, why, after=None, timed_out=False):
        super().__init__(why)
        self.timed_out = timed_out or bool(after and after.timed_out)


class Skipped(Exception):
    """A part needs something that is not available."""


class Run:
    """The parts of a run. `report` holds the figures so far, and is written to `file`."""

    def __init__(self, minutes, file, report, only):
        self.end = time.monotonic() + 60 * minutes
        self.file, self.report, self.only = pathlib.Path(file), report, only
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def left(self):
        return self.end - time.monotonic()

    def part(self, name, expected, work):
        """Runs a part, unless less time than it is expected to take is left. An exception ends only this part."""
        if self.only and not any(word in name for word in self.only):
            return
        start, why = time.monotonic(), ""
        say(f"[{self.left():4.0f} s left] {name}")
        if self.left() < expected:
            status, why = "skipped", f"would take about {expected:.0f} s, more than was left"
        else:
            try:
                work()
                status = "done"
            except Skipped as e:
                status, why = "skipped", str(e)
            except Failed as e:
                status, why = "timed out" if e.timed_out else "failed", str(e)
            except Exception as e:  # such as a figure of an unexpected type
                status, why = "failed", f"{type(e).__name__}: {e}"
        if why:
            say(f"    {status}: {why}")
        self.report["parts"][name] = {"status": status, "seconds": time.monotonic() - start, "why": why}
        self.write()

    def write(self):
        """Writes the whole report atomically, so that a run that is cut off leaves the last complete one."""
        draft = self.file.with_name(self.file.name + ".new")
        draft.write_text(json.dumps(self.report, indent=1) + "\n")
        draft.replace(self.file)

    def attempt(self, command, limit, environment=None):
        """Runs a command. Returns what it printed, and a Failed if it failed, else None.

        After `limit` seconds, or those of the run, it is ended with all that it started.
        """
        command = list(map(str, command))
        limit = min(limit, max(self.left(), 1))
        file = lambda: tempfile.TemporaryFile("w+", errors="replace")
        with file() as out, file() as errors:
            try:
                process = subprocess.Popen(
                    command, stdout=out, stderr=errors, stdin=subprocess.DEVNULL, cwd=ROOT,
                    env=os.environ | (environment or {}), start_new_session=True,
                )
            except OSError as e:
                return "", Failed(f"{command[0]}: {e}")
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                end_all(process)
            out.seek(0), errors.seek(0)
            text, complaint = out.read(), last_words(errors.read())
        if code is None:
            return text, Failed(f"no end after {limit:.0f} s. {complaint}".strip(), timed_out=True)
        if code != 0:
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            return text, Failed(": ".join(filter(None, (how, complaint or last_words(text)))))
        return text, None

    def command(self, command, limit, environment=None):
        """Runs a command that must succeed. Returns what it printed."""
        text, fault = self.attempt(command, limit, environment)
        if fault:
            raise fault
        return text

    def json(self, *command, limit, environment=None):
        """Runs a command that must succeed. Returns the last JSON object that it printed."""
        return last_object(self.command(command, limit, environment))

    def best_effort(self, *command, limit, environment=None):
        """Like json, but the command may fail after it printed an object. Returns the object and a Failed or None."""
        text, fault = self.attempt(command, limit, environment)
        try:
            return last_object(text), fault
        except Failed as e:
            raise fault or e from None

    def facts(self, binary, commit):
        """Adds date, machine and commit to the report: figures are useless later without them."""
        def words(*command):
            text, fault = self.attempt(command, 20)
            return "" if fault else text.strip()

        head = words("git", "rev-parse", "--verify", "HEAD") if (ROOT / ".git").exists() else ""
        changed = words("git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
        cards = words("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").splitlines() or [""]
        name, _, driver = cards[0].partition(", ")
        binary = pathlib.Path(binary)
        return {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": head + "-dirty" * bool(changed) if head else commit or "unknown",
            "tonic_train_sha256": hashlib.sha256(binary.read_bytes()).hexdigest() if binary.is_file() else None,
            "gpu": name or None, "driver": driver or None, "cores": len(os.sched_getaffinity(0)),
        }


class Programs:
    """tonic-prep, and tonic-train with the libraries of a folder of torch: that of the peers' Python if none is named."""

    def __init__(self, run, libtorch):
        self.run = run
        self.tonic_train = program("TONIC_TRAIN", RELEASE / "tonic-train")
        self.tonic_prep = program("TONIC_PREP", RELEASE / "tonic-prep")
        self.torch = libtorch or package_folder(python("peers"), "torch")
        nvidia = sorted(pathlib.Path(self.torch).parent.glob("nvidia/*/lib")) if self.torch else []
        places = [f"{self.torch}/lib" if self.torch else "", *map(str, nvidia), os.environ.get("LD_LIBRARY_PATH", "")]
        self.libraries = {"LD_LIBRARY_PATH": ":".join(filter(None, places))}

    def line(self, command, *options, device="cuda:0"):
        """Command line of tonic-train."""
        where = ["--device", device, *(["--libtorch", self.torch] if self.torch and device != "cpu" else [])]
        return [self.tonic_train, command, *options, *where, "--json"]

    def train(self, command, *options, limit, device="cuda:0"):
        """Runs tonic-train. Returns its JSON."""
        return self.run.json(*self.line(command, *options, device=device), limit=limit, environment=self.libraries)

    def prep(self, *options, limit=120):
        return self.run.command([self.tonic_prep, *options, "--quiet"], limit)


def end_all(process):
    """Kills a command's process group, with children that outlived it. Doesn't wait for processes stuck in the driver."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        process.wait(STUCK)
    except subprocess.TimeoutExpired:
        say(f"    process {process.pid} does not end though it was killed, and is left behind")


def last_object(text):
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except ValueError:
                continue  # cut off within the line
    try:
        return json.loads(text)  # over several lines
    except ValueError:
        raise Failed(f"no JSON was printed: {last_words(text)}") from None


def last_words(text):
    """The last lines of an error that are not empty, and the line that names the error if it comes before them."""
    lines = [line.strip(" \t=") for line in text.strip().splitlines()[-40:]]
    lines = [line for line in lines if re.search(r"\w", line) and not line.startswith(('File "', "{"))]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|error)\b", line)][-1:]
    return " | ".join([line for line in named if line not in lines[-3:]] + lines[-3:])[-WORDS:]


def program(variable, default):
    """Path of a binary: that of an environment variable, or the default."""
    path = os.environ.get(variable) or str(default)
    return shutil.which(path) or path


def sanitizer():
    """Path of compute-sanitizer: on the PATH, next to nvcc, or in the usual folders of CUDA; None if it is not installed."""
    nvcc = shutil.which("nvcc")
    nvcc_folder = [os.path.dirname(os.path.realpath(nvcc))] if nvcc else []
    home = [f"{os.environ['CUDA_HOME']}/bin"] if os.environ.get("CUDA_HOME") else []
    folders = [os.environ.get("PATH", ""), *nvcc_folder, *home, *sorted(glob.glob("/usr/local/cuda*/bin"))]
    return shutil.which("compute-sanitizer", path=os.pathsep.join(folders))


def python(name):
    """Path of the Python that has the peers: PEERS_PYTHON (PEERS_JAX_PYTHON), that of .deps/peers (-jax), or python3 itself."""
    here = ROOT / ".deps" / name / "bin" / "python"
    named = os.environ.get(f"{name}_python".upper().replace("-", "_"))
    return named or (str(here) if here.exists() else shutil.which("python3") or "python3")


def package_folder(interpreter, package):
    """Folder of a package of a Python, found without importing it; None if it is not installed."""
    script = f"import importlib.util as u; s = u.find_spec({package!r}); print(s and s.submodule_search_locations[0] or '')"
    try:
        done = subprocess.run([interpreter, "-c", script], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
