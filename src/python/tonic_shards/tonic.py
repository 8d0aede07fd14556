"""For those who come from Tonic: its transforms as a recipe, and a set in place of its disk cache."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import os
from typing import Any, Callable, Optional, Sequence, Union

import numpy as np

from . import _native
from ._native import ShardSet
from .dataset import ShardDataset
from .recipe import Recipe, read, to_toml
from .writer import Writer

_WHOLE = ("whole number", "count", "size")


def recipe(compose: Any) -> str:
    """The recipe, in TOML, that makes the frames of a Compose of Tonic.

    Frames are bit-equal to Tonic's; README.md of tonic-prep lists where they differ on purpose.

    Parameters:
        compose: tonic.transforms.Compose, or a list of transforms. The last one makes frames.

    Raises:
        ValueError: for a transform that a recipe cannot have; the text says which, and why. Random transforms belong to
            training, and functions of frames to `transform` of ShardDataset or DiskCached.
    """
    transforms = list(getattr(compose, "transforms", compose if isinstance(compose, (list, tuple)) else [compose]))
    if not transforms:
        raise ValueError("recipe: expected transforms, the last of which makes frames, got none")
    catalogue = json.loads(_native.catalogue())
    known = {entry["name"]: entry["parameters"] for kind in catalogue.values() for entry in kind}
    framings = {entry["name"] for entry in catalogue["framings"]}
    framed = [i for i, transform in enumerate(transforms) if _name(transform) in framings]
    steps, last = transforms[: framed[0]] if framed else transforms, len(transforms)
    tables = [_table(number, transform, known) for number, transform in enumerate(steps, 1)]
    if not framed:
        _native.check_recipe(
            to_toml({"transform": tables, "frames": {"time_window": 1}})
        )  # says what is wrong with a step
        raise ValueError(f"transform {last}, {_name(transforms[-1])}: expected one that makes frames, such as ToFrame")
    frames, after = _framing(framed[0] + 1, transforms[framed[0]], transforms[framed[0] + 1 :], known)
    if after:
        number, name = last - len(after) + 1, _name(after[0])
        raise ValueError(
            f"transform {number}, {name}: expected nothing after {frames['name']}, because frames are stored; give it "
            "as transform of ShardDataset or DiskCached, which apply it to each sample that they read"
        )
    return _native.check_recipe(to_toml({"transform": tables, "frames": frames}))


def _framing(number: int, framing: Any, after: list[Any], known: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """The parameters of a framing, and the transforms after it. ToBinaRep includes the ToFrame before it."""
    table = _table(number, framing, known)
    if not after or _name(after[0]) != "ToBinaRep":
        return table, after
    binary = _table(number + 1, after[0], known)
    slices = after[0].n_frames * after[0].n_bits
    before = {name: value for name, value in table.items() if name not in ("name", "sensor_size")}
    if table["name"] != "ToFrame" or before != {"n_time_bins": slices}:
        got = to_toml({"frames": before}).split("\n", 1)[1].strip().replace("\n", ", ")
        raise ValueError(
            f"transform {number + 1}, ToBinaRep: expected ToFrame(n_time_bins={slices}) before it, n_frames * n_bits, "
            f"got {table['name']} with {got}"
        )
    return binary, after[1:]


def _name(transform: Any) -> str:
    return (
        type(transform).__name__ if _is_tonic(transform) else getattr(transform, "__name__", type(transform).__name__)
    )


def _is_tonic(transform: Any) -> bool:
    return type(transform).__module__.split(".")[0] == "tonic" and dataclasses.is_dataclass(transform)


def _table(number: int, transform: Any, known: dict[str, Any]) -> dict[str, Any]:
    """The name and the parameters of a transform. Leaves out parameters with Tonic's default, which is also the default
    in a recipe."""
    name = _name(transform)
    if not _is_tonic(transform):
        raise ValueError(
            f"transform {number}, {name}: expected a transform of Tonic, got {transform!r}; a function of frames "
            "belongs to transform of ShardDataset or DiskCached"
        )
    if name not in known:
        return {"name": name}  # check_recipe raises an error that says why the transform is not known
    parameters, table = {parameter["name"]: parameter for parameter in known[name]}, {"name": name}
    for field in dataclasses.fields(transform):
        value = getattr(transform, field.name)
        if value is None or (value == field.default and not parameters.get(field.name, {}).get("required")):
            continue
        if field.name not in parameters:
            raise ValueError(
                f"transform {number}, {name}: {field.name}: expected its default, {field.default}, got {value}"
            )
        whole = any(word in parameters[field.name]["kind"] for word in _WHOLE)
        table[field.name] = _whole(value) if whole else value
    return table


def _whole(value: Any) -> Any:
    """A float without a fraction as an int: Tonic accepts 1e6 as a time."""
    if isinstance(value, (list, tuple)):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, (float, np.floating)) and float(value).is_integer() else value


class DiskCached(ShardDataset):
    """A set in place of tonic.DiskCachedDataset: fills a set from a dataset of Tonic once, and then reads it.

        dataset = tonic.datasets.SHD("data", transform=transform)
        cached = ts.tonic.DiskCached(dataset, "shards/shd")

    `cached[i]` is (frames, target), with the frames of `dataset[i]`. The transform of the dataset becomes the recipe of
    the set. If the directory holds a set already, its recipe is compared with the dataset's. A set is filled at once,
    and not sample by sample as they are asked for.

    Parameters:
        dataset: a map-style dataset of (events, target), with targets that are numbers or names of classes. None: the
            set must be there.
        path: directory of the set; or the URL of one that is there.
        reset_cache: fills the set anew.
        transform, target_transform: functions of the frames and of the target, for each sample that is read.
        transforms: a function of both.
        recipe: which frames. None: those of dataset.transform. If it is given, the dataset must give events.
        sensor_size, classes: None: those of the dataset. Targets are indices into classes.
        pad: pads samples with zeros to the longest that the recipe allows, so that they can be stacked. If False,
            samples have their own lengths, for Tonic's PadTensors, which pads the samples of a batch to the longest.
        dtype: of the frames. None: int16, as Tonic's, for a set with counts of uint8; int32 for uint16; int64 for
            uint32; float32 for surfaces.
        cache_bytes: how much memory decoded chunks may take.
        quiet: shows no progress.
        options: more options of Writer, such as lenient=True, for a set that is filled now.

    Raises:
        ValueError: for a transform that a recipe cannot have, events that are refused, or a target that is no class.
        IncompatibleError: if the set in the directory has another recipe or another number of samples.
    """

    def __init__(
        self,
        dataset: Any,
        path: Union[str, "os.PathLike[str]"],
        reset_cache: bool = False,
        transform: Optional[Callable[[Any], Any]] = None,
        target_transform: Optional[Callable[[int], Any]] = None,
        transforms: Optional[Callable[[Any, Any], Any]] = None,
        *,
        recipe: Optional[Recipe] = None,
        sensor_size: Optional[Sequence[int]] = None,
        classes: Optional[Sequence[str]] = None,
        pad: bool = False,
        dtype: Optional[str] = None,
        cache_bytes: int = 128 << 20,
        quiet: bool = False,
        **options: Any,
    ) -> None:
        unknown = sorted(set(options).difference(inspect.signature(Writer).parameters))
        if unknown:
            raise TypeError(f"DiskCached: expected options of Writer, got {', '.join(unknown)}")
        is_there = "://" in os.fspath(path) or os.path.exists(os.path.join(path, "manifest.json"))
        if dataset is not None:
            text, dataset = _recipe_of(dataset, recipe)
            if reset_cache or not is_there:
                size = sensor_size if sensor_size is not None else getattr(dataset, "sensor_size", None)
                if size is None:
                    raise ValueError("sensor_size: expected (W, H, P), because the dataset has none, got None")
                options |= {"classes": classes or _classes_of(dataset), "overwrite": reset_cache, "quiet": quiet}
                _fill(dataset, Writer(path, size, recipe=text, **options), quiet)
        super().__init__(ShardSet(path, cache_bytes=cache_bytes), transform, target_transform)
        self.transforms = transforms
        if dataset is not None:
            _compare(self.set, text, len(dataset))
        counts = {"uint8": "int16", "uint16": "int32", "uint32": "int64"}
        self.dtype = np.dtype(dtype or counts.get(self.set.dtype, self.set.dtype))
        self.form = {"steps": self.set.steps if pad else None}
        self.is_image = 'name = "ToImage"' in self.set.recipe

    def _frames(self, sample: Any) -> Any:
        frames = sample.dense(**self.form).astype(self.dtype, copy=False)
        return frames[0] if self.is_image else frames

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        frames, target = super().__getitem__(index)
        return (frames, target) if self.transforms is None else self.transforms(frames, target)


def _recipe_of(dataset: Any, asked: Optional[Recipe]) -> tuple[str, Any]:
    """The recipe for a dataset, and the dataset without the transform that the recipe was made from."""
    if asked is not None:
        return _native.check_recipe(read(asked)[1]), dataset
    if getattr(dataset, "transforms", None) is not None:
        raise ValueError(
            "dataset.transforms: expected none, because it makes frames and targets at once; use transform"
        )
    if getattr(dataset, "transform", None) is None:
        raise ValueError("recipe: expected one, because the dataset has no transform, got None")
    text, events = recipe(dataset.transform), copy.copy(dataset)
    events.transform = None
    return text, events


def _classes_of(dataset: Any) -> Optional[list[str]]:
    """The names of a dataset's classes, if it has some that can be names."""
    classes = getattr(dataset, "classes", None)
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in ([] if classes is None else classes)]
    return names if names and len(set(names)) == len(names) and all(names) else None


def _fill(dataset: Any, writer: Writer, quiet: bool) -> None:
    with writer, _native.Progress("read", len(dataset), quiet) as progress:
        for number in range(len(dataset)):
            events, target = dataset[number]
            try:
                writer.add(events, target)
            except TypeError as error:
                raise ValueError(
                    f"sample {number}: target: expected a class, a number or a name, got {target!r}"
                ) from error
            progress.add()


def _compare(found: ShardSet, text: str, samples: int) -> None:
    given = _native.check_recipe(found.recipe)
    for what, expected, got in (("recipe", text, given), ("number of samples", samples, len(found))):
        if expected != got:
            expected, got = (str(value).strip().replace("\n", "; ") for value in (expected, got))
            raise _native.IncompatibleError(
                f"{found.path}: the set was filled with another {what}: expected {expected}, got {got}; "
                "reset_cache=True fills it anew"
            )
