"""How scripts/bench/gpu survives: parts under one time budget, each with a limit, and a report written after each."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from common import ROOT, say

WORDS = 600  # characters of an error that are kept


class Failed(Exception):
    """A command that failed, or a figure that is not there; `out` is what it had printed."""

    def __init__(self, why, out="", timed_out=False):
        super().__init__(why)
        self.out, self.timed_out = out, timed_out


class Skipped(Exception):
    """A part that needs what is not there."""


class Run:
    """The parts of a run. `report` holds what is known, and `file` has it too."""

    def __init__(self, minutes, file, report, only):
        self.end = time.monotonic() + 60 * minutes
        self.file, self.report, self.only = pathlib.Path(file), report, only

    def left(self):
        return self.end - time.monotonic()

    def part(self, name, expected, work):
        """Does some work under a name, unless less time than expected is left; whatever it raises ends only this part."""
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
            except Exception as e:  # such as a figure of another form than expected
                status, why = "failed", f"{type(e).__name__}: {e}"
        if why:
            say(f"    {status}: {why}")
        self.report["parts"][name] = {"status": status, "seconds": time.monotonic() - start, "why": why}
        self.write()

    def write(self):
        """The whole report, replaced at once, so that a run that is cut off leaves the one before."""
        draft = self.file.with_name(self.file.name + ".new")
        draft.write_text(json.dumps(self.report, indent=1) + "\n")
        draft.replace(self.file)

    def command(self, command, limit, environment=None):
        """What a command prints. After `limit` seconds, or those of the run, it is ended with all that it started."""
        command = list(map(str, command))
        limit = min(limit, max(self.left(), 1))
        file = lambda: tempfile.TemporaryFile("w+", errors="replace")
        with file() as out, file() as errors:
            try:
                process = subprocess.Popen(
                    command, stdout=out, stderr=errors, stdin=subprocess.DEVNULL, cwd=ROOT,
                    env=os.environ | (environment or {}), process_group=0,
                )
            except OSError as e:
                raise Failed(f"{command[0]}: {e}") from e
            timed_out = False
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                end_all(process)
            out.seek(0), errors.seek(0)
            text, complaint = out.read(), last_words(errors.read())
        if timed_out:
            raise Failed(f"no end after {limit:.0f} s. {complaint}".strip(), text, timed_out=True)
        if code != 0:
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            raise Failed(f"{how}: {complaint or last_words(text)}", text)
        return text

    def json(self, *command, limit, environment=None):
        """The last JSON object that a command prints."""
        return last_object(self.command(command, limit, environment))

    def best_effort(self, *command, limit):
        """The same of a peer, which prints what it has so far: that counts where the rest was cut off."""
        try:
            return self.json(*command, limit=limit)
        except Failed as e:
            try:
                return last_object(e.out) | {"cut_off": str(e)}
            except Failed:
                raise e from None


def end_all(process):
    """Ends a command's whole process group, children that outlived it included."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


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
    """The last lines of an error: those that say something, and the one that names it if it stands before them."""
    lines = [line.strip() for line in text.strip().splitlines()[-40:]]
    lines = [line for line in lines if re.search(r"\w", line) and not line.startswith('File "')]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|error)\b", line)][-1:]
    return " | ".join([line for line in named if line not in lines[-3:]] + lines[-3:])[-WORDS:]


def program(variable, default):
    """A binary: what a variable of the environment names, or the default."""
    path = os.environ.get(variable) or str(default)
    return shutil.which(path) or path


def python(name):
    """The Python with the peers: PEERS_PYTHON (PEERS_JAX_PYTHON), that of .deps/peers (-jax), or python3 itself."""
    here = ROOT / ".deps" / name / "bin" / "python"
    named = os.environ.get(f"{name}_python".upper().replace("-", "_"))
    return named or (str(here) if here.exists() else shutil.which("python3") or "python3")


def package_folder(interpreter, package):
    """Where a Python has a package, found without importing it; None if it has not."""
    script = f"import importlib.util as u; s = u.find_spec({package!r}); print(s and s.submodule_search_locations[0] or '')"
    try:
        done = subprocess.run([interpreter, "-c", script], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
