"""scripts/wheel and scripts/release, without their builds, which take too long here: arguments, what they refuse, and
the trial of a wheel."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from conftest import ROOT

SCRIPTS = ROOT / "scripts"
NATIVE = "tonic_shards/_native.abi3.so"


def run(script, *words):
    return subprocess.run([SCRIPTS / script, *map(str, words)], capture_output=True, text=True)


def refusal(script, *words):
    """The last line of the refusal."""
    done = run(script, *words)
    assert done.returncode == 1 and done.stderr, done
    return done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """A library that needs only glibc, and one that needs that library."""
    folder = tmp_path_factory.mktemp("libraries")
    compiler = shutil.which("cc")
    for name, code, needed in [
        ("plain", "#include <stdlib.h>\nint plain(void) { return rand(); }", []),
        ("needy", "#include <stdlib.h>\nint plain(void);\nint needy(void) { return rand() + plain(); }", ["-L.", "-lplain"]),
    ]:
        (folder / f"{name}.c").write_text(code)
        command = [compiler, "-shared", "-fPIC", "-o", f"lib{name}.so", f"{name}.c", *needed]
        subprocess.run(command, check=True, cwd=folder)
    return folder


def write_wheel(path, *files):
    """A wheel that pip installs, with files that have other places here."""
    with zipfile.ZipFile(path / "tonic_shards-0.0.1-py3-none-any.whl", "w") as wheel:
        for name, file in files:
            wheel.write(file, name)
        about = "tonic_shards-0.0.1.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tonic-shards\nVersion: 0.0.1\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
        return wheel.filename


@pytest.mark.parametrize("script", ["wheel", "release"])
def test_arguments(script):
    told = run(script, "--help")
    assert told.returncode == 0 and told.stderr == ""
    lines = told.stdout.splitlines()
    # --help prints the whole comment at the head of the script, without its hash signs.
    assert lines[0].startswith("Builds ") and "--glibc VERSION" in told.stdout and not any("#" in line for line in lines)
    head = [line for line in (SCRIPTS / script).read_text().splitlines()[1:] if not line.startswith("set ")]
    assert len(lines) == next(i for i, line in enumerate(head) if not line.startswith("#"))

    assert refusal(script, "--nonsense") == f"{script}: error: unknown argument --nonsense; --help lists all"
    assert "expected a version such as 2.28, got 3.1" in refusal(script, "--glibc", "3.1")
    assert "--glibc needs a version" in refusal(script, "--glibc")
    assert f"{script}: error: --check needs a" in refusal(script, "--check")


def test_libraries_that_other_machines_lack_are_refused(libraries):
    plain, needy = libraries / "libplain.so", libraries / "libneedy.so"
    told = run("release", "--check", plain)
    assert told.returncode == 0 and told.stdout.startswith(f"{plain}: needs glibc 2."), told
    assert refusal("release", "--check", plain, needy).endswith("expected libraries of glibc only, got libplain.so")
    assert "expected glibc 2.1 or older, got 2." in refusal("release", "--glibc", "2.1", "--check", plain)
    assert "expected a program that uses glibc" in refusal("release", "--check", __file__)


def test_wheels_that_other_machines_cannot_use_are_refused(libraries, tmp_path):
    plain, needy = libraries / "libplain.so", libraries / "libneedy.so"
    assert "got no such file" in refusal("wheel", "--check", tmp_path / "none.whl")
    assert "cannot be unpacked" in refusal("wheel", "--check", plain)
    assert f"expected {NATIVE} in it" in refusal("wheel", "--check", write_wheel(tmp_path, ("a.py", __file__)))
    other = write_wheel(tmp_path, (NATIVE, needy))
    assert "doesn't run on the other machines" in refusal("wheel", "--check", other)
    newer = write_wheel(tmp_path, (NATIVE, plain))
    assert "doesn't run on the other machines" in refusal("wheel", "--glibc", "2.1", "--check", newer)
    assert "--python: expected a program" in refusal("wheel", "--python", tmp_path / "none", "--check", newer)


def test_a_wheel_that_does_not_work_is_refused(libraries, tmp_path):
    package = ROOT / "src" / "python" / "tonic_shards"
    files = [(f"tonic_shards/{file.name}", file) for file in package.glob("*.py")]
    files.append(("numpy.py", "/dev/null"))
    wheel = write_wheel(tmp_path, (NATIVE, libraries / "libplain.so"), *files)
    done = run("wheel", "--python", sys.executable, "--check", wheel)
    assert done.returncode == 1 and f"{NATIVE}: needs glibc 2." in done.stdout
    assert "PyInit__native" in done.stderr and done.stderr.endswith("it is installed, and does not work\n"), done


def test_the_trial_of_a_wheel_passes(tmp_path):
    trial = ROOT / "tests" / "python" / "try_package.py"
    told = subprocess.run([sys.executable, trial], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert told.startswith("tonic-toolkit ") and told.endswith("works\n")
