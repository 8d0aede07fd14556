"""Recipes: a file, a text or a dict of TOML, or transforms of Tonic."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, Optional, Union

Recipe = Union[str, "os.PathLike[str]", Mapping[str, Any], Any]
"""A recipe: the path of a TOML file, TOML as text, a dict of the same structure, or a Compose or a list of transforms
of Tonic."""


def read(recipe: Recipe) -> tuple[Optional[str], str]:
    """The file of a recipe, or None, and its text in TOML."""
    if isinstance(recipe, str) and ("=" in recipe or "[" in recipe or "\n" in recipe) and not os.path.exists(recipe):
        return None, recipe
    if isinstance(recipe, (str, os.PathLike)):
        path = os.fspath(recipe)
        with open(path, encoding="utf-8") as file:
            return path, file.read()
    if isinstance(recipe, Mapping):
        return None, to_toml(recipe)
    if (
        hasattr(recipe, "transforms")
        or isinstance(recipe, (list, tuple))
        or type(recipe).__module__.startswith("tonic.")
    ):
        from . import tonic

        return None, tonic.recipe(recipe)
    kind = type(recipe).__name__
    raise TypeError(f"recipe: expected a path, TOML, a dict or a Compose of Tonic, got {kind}")


def to_toml(recipe: Mapping[str, Any]) -> str:
    """A recipe in TOML: {"transform": [{"name": "CropTime", "max": 800000}], "frames": {"time_window": 5000}}."""
    lines = []
    for key, value in recipe.items():
        many = key == "transform" and not isinstance(value, Mapping)
        for table in value if many else [value]:
            if not isinstance(table, Mapping):
                raise TypeError(f"recipe: {key}: expected a dict of parameters, got {table!r}")
            lines.append(f"[[{key}]]" if many else f"[{_key(key)}]")
            lines += [f"{_key(name)} = {_value(name, number)}" for name, number in table.items() if number is not None]
    return "\n".join(lines) + "\n"


def _key(name: Any) -> str:
    return json.dumps(str(name))


def _value(name: str, value: Any) -> str:
    if hasattr(value, "tolist"):  # numbers and arrays of NumPy
        value = value.tolist()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(key, inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(name, inner) for inner in value) + "]"
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value, allow_nan=False) if not isinstance(value, float) else _float(name, value)
    raise TypeError(f"recipe: {name}: expected a number, a text or a list, got {value!r}")


def _float(name: str, value: float) -> str:
    text = repr(value)
    if "n" in text:  # nan, inf
        raise ValueError(f"recipe: {name}: expected a finite number, got {text}")
    return text if "." in text or "e" not in text else text.replace("e", ".0e")
