"""The package as editors and type checkers see it: stubs, annotations, docstrings, and that every name is tested."""

import ast
import inspect
import pathlib
import subprocess
import sys

import pytest

import tonic_shards as ts

PACKAGE = pathlib.Path(ts.__file__).parent
TESTS = pathlib.Path(__file__).parent
# Names of the native module that are not for users. Other parts of the package use them.
PRIVATE = {
    "main", "catalogue", "check_id", "check_recipe", "check_sample_form", "convert", "part_of_step", "reopen", "AddedSet",
    "Epoch", "Progress",
}


def public():
    """The public names, and the public names of the classes among them."""
    for name in [*(name for name in ts.__all__ if name != "tonic"), "tonic.DiskCached", "tonic.recipe"]:
        found = ts
        for part in name.split("."):
            found = getattr(found, part)
        yield name, found
        if inspect.isclass(found) and not issubclass(found, Exception):
            inherited = set(dir(tuple)) if issubclass(found, tuple) else set()
            for member in vars(found):
                if not member.startswith("_") and member not in inherited:
                    yield f"{name}.{member}", inspect.getattr_static(found, member)


def test_every_public_name_has_a_docstring_and_a_test():
    tests = " ".join(file.read_text() for file in TESTS.glob("test_*.py") if file.name != pathlib.Path(__file__).name)
    names = dict(public())
    assert len(names) > 50
    for name, found in names.items():
        last = name.split(".")[-1]
        is_field = type(found).__name__ == "_tuplegetter"  # of a NamedTuple: told below the field
        assert name == "__version__" or is_field or (inspect.getdoc(found) or "").strip(), f"{name} has no docstring"
        assert last in tests, f"{name} is in no test"


def test_docstrings_tell_the_arguments_and_the_errors():
    for name, found in public():
        if not callable(found) or name.count(".") > name.startswith("tonic."):
            continue
        try:
            parameters = inspect.signature(found).parameters
        except ValueError:
            continue
        doc = inspect.getdoc(found)
        told = doc.split("Parameters:")[-1]
        wanted = [p for p in parameters if p not in ("self", "args", "kwargs", "options")]
        if issubclass(found, (tuple, Exception)) if inspect.isclass(found) else len(wanted) < 2:
            continue
        missing = [parameter for parameter in wanted if parameter not in told]
        assert not missing, f"{name}: {missing} are not in its docstring"
        if inspect.isclass(found) and found.__module__ != "builtins":
            assert "Raises:" in doc, f"{name}: no errors in its docstring"


def test_the_native_module_has_no_name_that_is_not_told():
    native = {name for name in vars(ts._native) if not name.startswith("__")}
    assert native - PRIVATE - set(ts.__all__) == set()


@pytest.mark.parametrize("version", [(3, 9)])
def test_the_files_are_python_of_the_oldest_version(version):
    for file in PACKAGE.glob("*.py"):
        tree = ast.parse(file.read_text(), feature_version=version)
        told = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
        assert told or file.name == "__init__.py", f"{file.name}: annotations are evaluated"


def test_the_stubs_are_those_of_the_native_module(tmp_path):
    pytest.importorskip("mypy.stubtest")
    # `__all__` is made by pyo3.
    (tmp_path / "allowed").write_text("tonic_shards\\._native\\.__all__\n")
    (tmp_path / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n")
    options = ["--allowlist", tmp_path / "allowed", "--mypy-config-file", tmp_path / "mypy.ini"]
    command = [sys.executable, "-m", "mypy.stubtest", "tonic_shards._native", *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_typed(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n")
    (tmp_path / "user.py").write_text(
        "import tonic_shards as ts\n"
        "dataset: ts.ShardDataset = ts.ShardDataset('a', steps=3, layout='tc')\n"
        "sampler = ts.BatchSampler(dataset, 3)\n"
        "sampler.load_state_dict(ts.Loader('a', 3, pad='batch').state_dict())\n"
        "reveal_type(dataset[0])\n"
        "reveal_type(next(iter(sampler)))\n"
        "ts.Loader('a', 3, pad='no')\n"
    )
    for what in (["-p", "tonic_shards"], ["user.py"]):
        command = [sys.executable, "-m", "mypy", "--strict", "--allow-untyped-calls", "--config-file", str(tmp_path / "mypy.ini"), *what]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        if what[0] == "-p":
            assert done.returncode == 0, done.stdout + done.stderr
        else:
            assert 'Revealed type is "list[int]"' in done.stdout or "builtins.list[builtins.int]" in done.stdout
            assert 'Argument "pad"' in done.stdout and done.stdout.count("error:") == 1, done.stdout
